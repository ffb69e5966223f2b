"""DeepLIFT on whole networks: how far the contributions of pixels are from adding up.

    python -m benchmarks.deeplift MODEL... [--picture FILE] [--baseline zero blur] [--csv FILE]

MODEL: ONNX files, or folders of them. Of each network the class is explained whose score differs
most between the picture and the baseline. Printed: the difference of the scores, the sum of the
absolute contributions, the completeness gap as a share of the difference, and as a share of the
contributions, which rounding is a share of: where they cancel, the first is larger. Multipliers,
scores and sums are those of the method `deeplift`, in float32. A model that DeepLIFT cannot run on
is named with the reason. Without a picture: smooth noise.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import LeapAuditError
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.ingest.pictures.images import read_picture
from leap_audit.measure.attribution.baselines import Baseline, baseline
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.run import Run
from leap_audit.measure.smooth import blur_matrix
from leap_audit.measure.targets import ClassTarget
from leap_audit.run import choose_provider
from leap_audit.run.session import Array

__all__ = ["Gap", "gap_of"]


class Gap(NamedTuple):
    """How far contributions are from adding up."""

    difference: float
    """The score on the picture less that on the baseline."""
    contributions: float
    """The sum of the absolute contributions."""
    gap: float

    @property
    def of_difference(self) -> float:
        """Return the gap as a share of the difference of the scores."""
        return abs(self.gap) / max(abs(self.difference), 1e-30)

    @property
    def of_contributions(self) -> float:
        """Return the gap as a share of the sum of the absolute contributions."""
        return abs(self.gap) / max(self.contributions, 1e-30)


def gap_of(run: Run, picture: Array, start: Array) -> Gap:
    """Return the gap for the class whose score differs most between two pictures."""
    scores = run.at_once(2).logits(np.stack([picture, start])).astype(np.float64)
    class_ = int(np.abs(scores[0] - scores[1]).argmax())
    score = Score(run, ClassTarget(class_), 2)
    found = score.multipliers(picture, start)
    parts = found.values * found.gradient
    ends = score(np.stack([picture, start]))
    difference = float(ends[0] - ends[1])
    return Gap(difference, float(np.abs(parts).sum()), float(parts.sum()) - difference)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob("*.onnx")) if path.is_dir() else [path]


def _picture(model: Model, file: Path | None) -> Array:
    if file is not None:
        return read_picture(file, model.preprocessing)
    channels, height, width = model.picture_shape
    noise = np.random.default_rng(0).standard_normal((channels, height, width))
    rows, columns = blur_matrix(height, height / 24), blur_matrix(width, height / 24)
    smooth = rows @ noise @ columns.T
    return np.asarray(np.clip(0.5 + smooth / (4 * smooth.std()), 0, 1), np.float32)


def _rows(path: Path, file: Path | None, baselines: Sequence[Baseline]) -> Iterator[list[str]]:
    try:
        model = load(path, DeclaredPreprocessing(), choose_provider("cpu"))
        run = Run(model, 2)
        picture = _picture(model, file)
        for name in baselines:
            found = gap_of(run, picture, baseline(model, picture, name))
            numbers = (found.difference, found.contributions)
            shares = (found.of_difference, found.of_contributions)
            texts = [*(f"{x:.3g}" for x in numbers), *(f"{x:.1e}" for x in shares)]
            yield [path.name, name, *texts]
    except LeapAuditError as error:
        yield [path.name, "refused", str(error)]


def main() -> None:
    """Print a line for each network and baseline."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--baseline", nargs="+", default=["zero", "blur"])
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    rows = []
    for path in _files(args.models):
        for row in _rows(path, args.picture, args.baseline):
            print(*row, sep="\t", flush=True)
            rows.append(row)
    if args.csv is not None:
        with args.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


if __name__ == "__main__":
    main()
