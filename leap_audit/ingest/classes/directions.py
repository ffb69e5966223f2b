"""Read the directions that stand for classes from a file: vectors, and in a table their names."""

import csv
import io
from pathlib import Path

import numpy as np

from leap_audit.errors import ClassesRefused, UsageError
from leap_audit.files import read_regular
from leap_audit.ingest.files.hashing import read_hashed
from leap_audit.ingest.inputs.values import read_array
from leap_audit.ingest.outputs.directions import Directions
from leap_audit.ingest.sandbox.parent import run_in_child
from leap_audit.run.session import Array
from leap_audit.text.filenames import legible

__all__ = ["read_directions", "read_directions_in_child"]

LARGEST = 256 << 20
HOW = "give one row for each class: a name and its numbers in a .csv, or the numbers in a .npy."


def read_directions_in_child(path: Path, scale: float) -> Directions:
    """Return what `read_directions` makes of a file, read in a child process."""
    return run_in_child(read_directions, path, scale, alone=True, refusal=ClassesRefused)


def read_directions(path: Path, scale: float) -> Directions:
    """Return the directions in a file.

    path: a .npy array, (classes, features), or a .csv table without a head, each row a name and
    the numbers of its direction.

    Raises ClassesRefused: it is neither, or a direction is no direction.
    """
    (names, values), digest = read_hashed(path, lambda: _named_vectors(path), ClassesRefused)
    return Directions(values, scale, names, legible(path.name), digest)


def _named_vectors(path: Path) -> tuple[tuple[str, ...], Array]:
    names: tuple[str, ...] = ()
    if path.suffix.lower() == ".csv":
        names, values = _table(path)
    else:
        try:
            values = np.asarray(read_array(path))
        except UsageError as error:
            raise ClassesRefused(f"--directions: {error}") from None
    if values.ndim != 2 or values.dtype.kind not in "fiu" or len(values) < 2:
        raise ClassesRefused(
            f"{path}: holds {values.dtype} numbers of the shape {list(values.shape)}; at least "
            f"two directions are compared: {HOW}"
        )
    values = values.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(wrong):
        raise ClassesRefused(
            f"{path}: row {wrong[0] + 1} is zero or not finite, which is no direction; leave it "
            "out, or compute it anew."
        )
    return names, values


def _table(path: Path) -> tuple[tuple[str, ...], Array]:
    try:
        text = read_regular(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ClassesRefused(f"{path}: is not text in UTF-8; {HOW}") from None
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    names: list[str] = []
    values: list[list[float]] = []
    for number, (name, *numbers) in enumerate(rows, 1):
        try:
            values.append([float(each) for each in numbers])
        except ValueError:
            raise ClassesRefused(
                f"{path}: row {number}: holds something else than numbers after its name; {HOW}"
            ) from None
        if len(numbers) != len(values[0]) or not numbers:
            raise ClassesRefused(
                f"{path}: row {number} has {len(numbers)} numbers, and row 1 {len(values[0])}; "
                f"{HOW}"
            )
        names.append(name.strip())
    if len(set(names)) < len(names) or not all(names):
        raise ClassesRefused(f"{path}: each direction needs a name of its own; {HOW}")
    return tuple(names), np.array(values, np.float64)
