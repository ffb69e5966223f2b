"""Where maps of detections lie, and what the model says of them: FastestDet on photographs.

    python -m benchmarks.detectors MODEL PICTURES [--most 20] [--least 0.8]

For each method the median share of the map inside the detection's box, beside the share of the
picture that the box covers, and the median gain of insertion over deletion of the matched score.
The share says where a map lies, the gain whether the model depends on what it shows.
"""

import argparse
from pathlib import Path

import numpy as np

import leap_audit
from leap_audit.pipeline.explain import opened
from leap_audit.run.session import Array

__all__ = ["inside"]

METHODS = ("elementwise", "hirescam", "gradcam", "saliency", "drise")
MASKS = 500
"""Of D-RISE, whose paper takes 5000."""


def inside(values: Array, box: tuple[float, float, float, float]) -> tuple[float, float]:
    """Return the share of a map's size inside a box, and the share of the picture that it covers.

    values: (height, width), whose sign is left out; box: left, top, right, bottom as fractions.
    """
    height, width = values.shape
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    left, top, right, bottom = box
    mask = np.outer((rows > top) & (rows < bottom), (columns > left) & (columns < right))
    sizes = np.abs(values)
    return float((sizes * mask).sum() / sizes.sum()), float(mask.mean())


def main() -> None:
    """Print a line a method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--most", type=int, default=20, help="photographs that are explained")
    parser.add_argument("--least", type=float, default=0.8, help="confidence of a detection")
    words = parser.parse_args()
    run, _ = opened(words.model, threads=0)
    shares: dict[str, list[float]] = {name: [] for name in METHODS}
    gains: dict[str, list[float]] = {name: [] for name in METHODS}
    areas: list[float] = []
    for path in sorted(words.pictures.iterdir()):
        found = leap_audit.detections(run, path)
        if not found or found[0].confidence < words.least:
            continue
        for name in METHODS:
            more = {"masks": MASKS} if name == "drise" else {}
            each = leap_audit.explain(run, path, found[0].target(), name, **more)
            share, area = inside(each.map, found[0].box)
            shares[name].append(share)
            gains[name].append(leap_audit.check(each, slow=False)["gain_blur"])
        areas.append(area)
        if len(areas) == words.most:
            break
    print(f"{len(areas)} photographs; the boxes cover {np.median(areas):.2f} (median)")
    for name in METHODS:
        print(
            f"{name:<12} inside the box {np.median(shares[name]):.2f}, "
            f"insertion less deletion {np.median(gains[name]):+.3f}"
        )


if __name__ == "__main__":
    main()
