"""How well the isolations of a finished audit cover what a mask says is the object.

    python benchmarks/mask_overlap.py AUDIT_FOLDER SAMPLE_MASK.png [--class 3] [--sample 0]

The mask is a picture whose pixels are class numbers, of the size of the model's input. Prints, for
each isolation of the sample (or of the one class), the intersection over union of its region with
the class's pixels, the same at the area that the mask itself has, the best over all areas, and
what a centred square of the mask's area would get.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leap_audit.artifacts import Audit, Isolation

Mask = NDArray[np.bool_]


def overlap(region: Mask, truth: Mask) -> float:
    """Return intersection over union."""
    return float((region & truth).sum() / max(1, (region | truth).sum()))


def brightest(ranking: NDArray[np.uint8], area: float) -> Mask:
    """Return the first fraction `area` of a ranking."""
    return np.asarray(ranking > 255 * (1 - area))


def centred(truth: Mask) -> Mask:
    """Return a square of as many pixels in the middle of the picture."""
    height, width = truth.shape
    half = np.sqrt(truth.sum()) / 2
    rows, columns = np.ogrid[:height, :width]
    inside = (np.abs(rows - height / 2) < half) & (np.abs(columns - width / 2) < half)
    return np.asarray(inside)


def figures(isolation: Isolation, folder: Path, truth: Mask) -> str:
    """Return one line on how an isolation covers the truth."""
    ranking = np.asarray(Image.open(folder / isolation.mask))
    own = overlap(brightest(ranking, isolation.area), truth)
    fair = overlap(brightest(ranking, float(truth.mean())), truth)
    best = max(overlap(brightest(ranking, area), truth) for area in np.linspace(0.02, 0.6, 59))
    first = brightest(ranking, 0.02)
    return (
        f"{isolation.name}: area {isolation.area:.2f}, IoU {own:.3f}; at the mask's area "
        f"{truth.mean():.3f}: {fair:.3f}; best of all areas {best:.3f}; centred square "
        f"{overlap(centred(truth), truth):.3f}; first 2 % in the mask {truth[first].mean():.3f}; "
        f"p {isolation.prob:.3f}, kept {isolation.prob_keep:.3f}, "
        f"erased {isolation.prob_delete:.3f}"
    )


def main() -> None:
    """Print the figures of one sample's isolations."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("folder", type=Path)
    words.add_argument("mask", type=Path)
    words.add_argument("--class", dest="class_", type=int)
    words.add_argument("--sample", type=int, default=0)
    said = words.parse_args()
    audit = Audit.model_validate_json((said.folder / "audit.json").read_text(encoding="utf-8"))
    levels = np.asarray(Image.open(said.mask).convert("L"))
    for isolation in audit.samples[said.sample].isolations:
        truth = levels == isolation.class_
        if said.class_ in (None, isolation.class_) and truth.any():
            print(figures(isolation, said.folder, truth))


if __name__ == "__main__":
    main()
