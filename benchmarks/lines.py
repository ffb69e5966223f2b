"""Lines of measurements in a CSV file, each written when it is finished."""

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.photographs import Photograph, read_rows, read_sorted
from leap_audit.ingest.model import Model

__all__ = ["append", "asked_photographs", "read"]


def read(path: Path) -> list[dict[str, str]]:
    """Return the lines of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(path: Path, columns: Sequence[str], lines: Sequence[Mapping[str, object]]) -> None:
    """Add lines to a file, below a header."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()
        writer.writerows(lines)


def asked_photographs(args: argparse.Namespace, model: Model) -> list[Photograph]:
    """Return the photographs that `--rows` names: of the list in `--folder`, or of `--images`."""
    if args.images is None:
        return list(read_rows(args.folder, model, args.rows))
    return list(read_sorted(args.images, model, args.rows))
