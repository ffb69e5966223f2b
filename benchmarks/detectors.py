"""Where maps of detections lie, and what the model says of them: FastestDet on photographs.

    python -m benchmarks.detectors MODEL PICTURES [--most 6] [--least 0.8]

For each method the median share of the map inside the detection's box, beside the share of the
picture that the box covers, and the median gain of insertion over deletion of the matched score.
Of an isolation the share is that of its region. The share says where a map lies, the gain whether
the model depends on what it shows.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import leap_audit
from leap_audit.config import AuditOptions, IsolationOptions
from leap_audit.measure.isolation.attribution import matched_subject
from leap_audit.measure.isolation.region import read_region
from leap_audit.pipeline.explain import PictureExplanation, opened
from leap_audit.pipeline.photographs import read_album
from leap_audit.progress import Silent
from leap_audit.run.session import Array

__all__ = ["inside"]

ISOLATION = "isolation_ranking"
METHODS = ("elementwise", "hirescam", "gradcam", "saliency", "drise", ISOLATION)
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


def lit(each: PictureExplanation) -> Array:
    """Return where an explanation lies: its map, or the region that is read off a ranking."""
    if each.method != ISOLATION:
        return each.map
    subject = matched_subject(each.subject)
    region = read_region(each.run, subject, each.map, IsolationOptions())
    return np.asarray(region.inside, np.float64)


def main() -> None:
    """Print a line a method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--most", type=int, default=6, help="photographs that are explained")
    parser.add_argument("--least", type=float, default=0.8, help="confidence of a detection")
    parser.add_argument("--methods", default=",".join(METHODS), help="names, with commas between")
    words = parser.parse_args()
    names = words.methods.split(",")
    run, labels = opened(words.model, threads=0)
    said = AuditOptions.parse({"samples": (str(words.pictures),)}, "benchmark")
    album = read_album(said, labels, run.model.preprocessing, Silent())
    shares: dict[str, list[float]] = {name: [] for name in names}
    gains: dict[str, list[float]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    areas: list[float] = []
    for title, picture in zip(album.names, album.pictures, strict=True):
        found = leap_audit.detections(run, picture)
        if not found or found[0].confidence < words.least:
            continue
        for name in names:
            started = time.perf_counter()
            more = {"masks": MASKS} if name == "drise" else {}
            each = leap_audit.explain(run, picture, found[0].target(), name, **more)
            seconds[name].append(time.perf_counter() - started)
            share, area = inside(lit(each), found[0].box)
            shares[name].append(share)
            gains[name].append(leap_audit.check(each, slow=False)["gain_blur"])
            figures = f"{name} {shares[name][-1]:.2f} {gains[name][-1]:+.3f}"
            print(f"{title}: {figures}", file=sys.stderr, flush=True)
        areas.append(area)
        if len(areas) == words.most:
            break
    print(f"{len(areas)} photographs; the boxes cover {np.median(areas):.2f} (median)")
    for name in names:
        print(
            f"{name:<18} inside the box {np.median(shares[name]):.2f}, "
            f"insertion less deletion {np.median(gains[name]):+.3f}, "
            f"{np.median(seconds[name]):.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
