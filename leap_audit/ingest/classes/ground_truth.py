"""Read the ground truth of photographs: from a table, or from the names of their folders."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from leap_audit.errors import PictureRefused
from leap_audit.ingest.classes.lists import read_class_text
from leap_audit.ingest.classes.names import quoted
from leap_audit.ingest.classes.table import delimiter_of

__all__ = ["ground_truth", "normalised_name"]

FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "picture", "")
CLASS_COLUMNS = ("class", "label", "class_name", "name", "category", "target", "class_index")


def ground_truth(
    paths: Sequence[Path],
    classes: Sequence[str],
    labels: Path | None,
    *,
    private: bool = False,
) -> list[int | None]:
    """Return the true class of each picture; None where it is unknown.

    labels: a table (.csv, .tsv) with a column of files (file, filename, path, image) and one of
    classes (class, label, name), by name or number; a file counts by its path's end. Without it a
    picture in a folder that is called like a class shows that class: case, spaces, hyphens and
    underscores do not matter, and one of several names separated by commas is enough. private:
    names of files, and what the table says, may name patients, and stand in no message.

    Raises PictureRefused: the table cannot be read, names a class that is none, or names none of
    the pictures.
    """
    index = _index(classes)
    if labels is None:
        return [index.get(normalised_name(path.resolve().parent.name)) for path in paths]
    where = "the table of --labels" if private else str(labels)
    said = _table(labels, index, len(classes), where, private=private)
    found = [_looked_up(said, path) for path in paths]
    if paths and all(each is None for each in found):
        first = "" if private else f", the first of which is {paths[0]}"
        raise PictureRefused(
            f"{where}: names none of the {len(paths)} pictures{first}; "
            "give their file names in the first column."
        )
    return found


def _index(classes: Sequence[str]) -> dict[str, int]:
    """Class by name; names that two classes bear are left out."""
    found: dict[str, set[int]] = {}
    for index, name in enumerate(classes):
        for part in {name, *name.split(",")}:
            found.setdefault(normalised_name(part), set()).add(index)
    return {name: min(of) for name, of in found.items() if len(of) == 1 and name}


def normalised_name(name: str) -> str:
    """Normalise a class name: case, spaces, hyphens and underscores do not matter."""
    return re.sub(r"[\s_\-]+", " ", name).strip().casefold()


def _table(
    path: Path, index: dict[str, int], classes: int, where: str, *, private: bool
) -> dict[str, int]:
    """File -> class, of a table with or without a head."""
    text = read_class_text(path)
    delimiter = delimiter_of(text, path.suffix.lower())
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]
    except csv.Error as error:
        raise PictureRefused(f"{where}: is not a table of files and classes ({error}).") from None
    if not rows or min(map(len, rows)) < 2:
        raise PictureRefused(f"{where}: needs two columns, file and class, in every row.")
    head = [cell.strip().casefold() for cell in rows[0]]
    file = next((head.index(name) for name in FILE_COLUMNS if name in head), None)
    class_ = next((head.index(name) for name in CLASS_COLUMNS if name in head), None)
    if file is None or class_ is None or file == class_:
        file, class_ = 0, 1
    else:
        rows = rows[1:]
    said = {}
    for place, row in enumerate(rows, 1):
        if max(file, class_) >= len(row):
            raise PictureRefused(f"{where}: needs two columns, file and class, in every row.")
        cell = row[class_].strip()
        number = index.get(normalised_name(cell))
        if number is None and cell.isdecimal() and int(cell) < classes:
            number = int(cell)
        if number is None:
            said_of = f"the class in row {place}" if private else quoted(cell)
            raise PictureRefused(
                f"{where}: {said_of} is none of the model's {classes} classes, nor the number "
                "of one."
            )
        said[Path(row[file].strip()).as_posix()] = number
    return said


def _looked_up(said: dict[str, int], path: Path) -> int | None:
    """Look up a path in the table, by its longest suffix that the table has."""
    parts = path.parts
    return next((said[e] for i in range(len(parts)) if (e := "/".join(parts[i:])) in said), None)
