"""Read the directions that stand for classes from a file: vectors, and in a table their names."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leap_audit.errors import ClassesRefused, UsageError
from leap_audit.files import read_regular
from leap_audit.ingest.classes.names import quoted
from leap_audit.ingest.classes.table import delimiter_of
from leap_audit.ingest.files.hashing import read_hashed
from leap_audit.ingest.inputs.values import read_array
from leap_audit.ingest.outputs.directions import Directions
from leap_audit.ingest.sandbox.parent import run_in_child
from leap_audit.run.session import Array
from leap_audit.text.filenames import legible

__all__ = ["notes_on_directions", "read_directions", "read_directions_in_child"]

LARGEST = 256 << 20
SAME = 0.999
"""The cosine from which two directions are nearly the same."""
BLOCK = 512
"""Directions that are compared with all at once."""
NAMED = 6
"""Pairs of directions that a note names at most."""
MARKS = ",;\t|"
"""What may stand between the cells of a table."""
HOW = "give one row for each class: a name and its numbers in a .csv, or the numbers in a .npy."


class _Read(NamedTuple):
    """What a file of directions holds."""

    names: tuple[str, ...]
    """Empty of an array."""
    values: Array
    rows: Sequence[int]
    """The number of each direction's row in the file, from 1."""


def read_directions_in_child(path: Path, scale: float) -> Directions:
    """Return what `read_directions` makes of a file, read in a child process."""
    return run_in_child(read_directions, path, scale, alone=True, refusal=ClassesRefused)


def read_directions(path: Path, scale: float) -> Directions:
    """Return the directions in a file.

    path: a .npy array, (classes, features), or a table without a head, .csv or .tsv, each row a
    name and the numbers of its direction; between them a comma, a semicolon, a tab or a bar.
    Behind another mark than a comma, numbers may have a decimal comma.

    Raises ClassesRefused: it is neither, a name is missing or stands twice, or a direction is no
    direction.
    """
    (names, values), digest = read_hashed(path, lambda: _named_vectors(path), ClassesRefused)
    return Directions(values, scale, names, legible(path.name), digest)


def notes_on_directions(
    directions: Directions, names: Sequence[str], *, several: bool = False
) -> tuple[str, ...]:
    """Return a note that names the directions that are nearly the same, if any are.

    names: of the directions. several: each class has a probability of its own; else they share
    100 %, and such classes take answers from each other.
    """
    pairs = _nearly_same(directions.vectors)
    if not pairs:
        return ()
    listed = [
        f"{quoted(names[first])} and {quoted(names[second])} (cosine {cosine:.4f})"
        for first, second, cosine in pairs[:NAMED]
    ]
    more = f"; and {len(pairs) - NAMED:,} more pairs" if len(pairs) > NAMED else ""
    effect = "get the same answers" if several else "take answers from each other"
    return (
        "Classes whose directions are nearly the same, so that they "
        f"{effect}: {'; '.join(listed)}{more}.",
    )


def _nearly_same(vectors: Array) -> list[tuple[int, int, float]]:
    """Pairs of directions with a cosine of SAME or more, and the cosine; the nearest first."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs: list[tuple[int, int, float]] = []
    for start in range(0, len(units), BLOCK):
        cosines = units[start : start + BLOCK] @ units.T
        for i, j in np.argwhere(cosines >= SAME).tolist():
            if j > start + i:
                pairs.append((start + i, j, float(cosines[i, j])))
    return sorted(pairs, key=lambda pair: (-round(pair[2], 4), pair[:2]))


def _named_vectors(path: Path) -> tuple[tuple[str, ...], Array]:
    if path.suffix.lower() in (".csv", ".tsv"):
        names, values, rows = _table(path)
    else:
        try:
            array = np.asarray(read_array(path))
        except UsageError as error:
            raise ClassesRefused(f"--directions: {error}") from None
        names, values, rows = (), array, range(1, len(array) + 1 if array.ndim else 1)
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
            f"{path}: row {rows[wrong[0]]} is zero or not finite, which is no direction; leave it "
            "out, or compute it anew."
        )
    return names, values


def _table(path: Path) -> _Read:
    try:
        text = read_regular(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ClassesRefused(f"{path}: is not text in UTF-8; {HOW}") from None
    try:
        mark = _mark(text, path.suffix.lower())
        found = enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=mark), 1)
        rows = [(number, row) for number, row in found if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ClassesRefused(f"{path}: is not a table ({error}); {HOW}") from None
    values = []
    for number, (_, *cells) in rows:
        numbers = _numbers(cells, mark)
        if numbers is None:
            raise ClassesRefused(
                f"{path}: row {number}: holds something else than numbers after its name; {HOW}"
            )
        values.append(numbers)
        if len(numbers) != len(values[0]) or not numbers:
            raise ClassesRefused(
                f"{path}: row {number} has {len(numbers)} numbers, and row {rows[0][0]} "
                f"{len(values[0])}; {HOW}"
            )
    names = [row[0].strip() for _, row in rows]
    places = [number for number, _ in rows]
    _require_names(path, names, places, mark)
    if len(rows) > 1 and len(values[0]) > 2 and values[0] == list(range(len(values[0]))):
        raise ClassesRefused(
            f"{path}: row {places[0]} numbers the columns; leave this head out, since each row is "
            "read as a class."
        )
    return _Read(tuple(names), np.array(values, np.float64), places)


def _mark(text: str, suffix: str) -> str:
    """What separates the cells: the mark by which the first row has the most numbers."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    counts = {}
    for mark in MARKS:
        cells = next(csv.reader([first], delimiter=mark), [])
        counts[mark] = len(_numbers(cells[1:], mark) or ())
    best = max(MARKS, key=lambda mark: counts[mark])
    return best if counts[best] else delimiter_of(text, suffix)


def _numbers(cells: Sequence[str], mark: str) -> list[float] | None:
    """The numbers in cells; None where one is no number."""
    try:
        return [float(cell if mark == "," else cell.replace(",", ".")) for cell in cells]
    except ValueError:
        return None


def _require_names(path: Path, names: Sequence[str], rows: Sequence[int], mark: str) -> None:
    """Raise ClassesRefused: no row has a name, one has none, or two have the same."""
    counted = all(name.isdecimal() for name in names) and len(set(names)) == len(names)
    if names and not counted and _numbers(names, mark) is not None:
        raise ClassesRefused(
            f"{path}: holds numbers alone; put a name before those of each row, or give them in a "
            ".npy and their names with --classes."
        )
    first: dict[str, int] = {}
    for name, row in zip(names, rows, strict=True):
        if not name:
            raise ClassesRefused(
                f"{path}: row {row} has no name; put that of its class before its numbers."
            )
        if name in first:
            raise ClassesRefused(
                f"{path}: row {row} has the name of row {first[name]}, {quoted(name)}; give each "
                "direction a name of its own."
            )
        first[name] = row
