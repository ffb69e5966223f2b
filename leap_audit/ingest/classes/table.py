"""Read class names from a table with a column of names and perhaps one of class indices."""

import csv
import io
import re
from collections.abc import Sequence

from leap_audit.errors import ClassesRefused
from leap_audit.ingest.classes.lines import ClassList
from leap_audit.ingest.classes.values import in_order

__all__ = ["delimiter_of", "looks_like_table", "read_class_table"]

NAME_COLUMNS = (
    *("displayname", "name", "classname", "labelname", "categoryname", "class", "label"),
    *("category", "species", "description", "title"),
)
NUMBER_COLUMNS = (
    *("index", "idx", "id", "classid", "classindex", "classidx", "labelid", "labelindex"),
    *("number", "no", "code", "target", "categoryid", ""),
)
EITHER = ("class", "label", "category", "target", "code")
"""Columns that hold names in some tables and numbers in others. All as `_column` writes them."""
_IDENTIFIER = re.compile(r"n\d{8}|/[mgt]/\w+")
"""Of WordNet or Freebase."""


def delimiter_of(text: str, suffix: str) -> str:
    """Return what separates the cells of a table: a tab in a .tsv, else what its first line has."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if suffix == ".tsv" or ("\t" in first and "," not in first):
        return "\t"
    return max(",;|", key=lambda mark: (first.count(mark), mark == ","))


def looks_like_table(text: str, suffix: str) -> bool:
    """Whether a text is a table: by its name, its cells, or a first line that names columns."""
    if suffix in (".csv", ".tsv"):
        return True
    lines = [line for line in text.splitlines() if line.strip()]
    for mark in "\t;|":
        counts = {line.count(mark) for line in lines}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            return True
    head = [_column(cell.strip(" \"'")) for cell in re.split(r"[,;|\t]", lines[0])] if lines else []
    numbers = {*NUMBER_COLUMNS, *EITHER} - {""}
    named = [cell for cell in head if cell in NAME_COLUMNS]
    return len(head) > 1 and any(n in numbers and n != name for name in named for n in head)


def read_class_table(text: str, suffix: str, where: str) -> ClassList:
    """Return the names of a table, in the order of their numbers if it has any, else of its rows.

    Columns are known by the names in the first row. Without that row a table has one column; or
    two, of which one holds numbers or the identifiers of WordNet or Freebase.

    Raises ClassesRefused: it is no table, no column is known, or the numbers have a gap.
    """
    mark = delimiter_of(text, suffix)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True))
    except csv.Error as error:
        raise ClassesRefused(f"{where}: is not a table of names ({error}).") from None
    placed = [
        (f"row {number}", [cell.strip() for cell in row])
        for number, row in enumerate(rows, 1)
        if any(cell.strip() for cell in row)
    ]
    if not placed or len({len(row) for _, row in placed}) != 1:
        raise ClassesRefused(
            f"{where}: its rows have different numbers of cells; quote names that have a comma, or "
            "give text with one name per line."
        )
    named, numbered, headed = _columns([row for _, row in placed], where)
    placed = placed[headed:]
    empty = next((place for place, row in placed if not row[named]), None)
    if empty is not None:
        raise ClassesRefused(
            f"{where}: {empty} is empty; every class needs a name, 'unused' for one that stands "
            "for nothing."
        )
    if numbered is None:
        return ClassList(tuple(row[named] for _, row in placed))
    wrong = next((place for place, row in placed if not _whole(row[numbered])), None)
    if wrong is not None:
        raise ClassesRefused(
            f"{where}: {wrong} has no whole number in column {numbered + 1}; number every class."
        )
    found = [(int(row[numbered]), row[named], place) for place, row in placed]
    names, from_one = in_order(found, where)
    note = "The table numbers its classes from 1: number 1 is the model's first output."
    return ClassList(tuple(names), (note,) if from_one else (), from_one)


def _columns(rows: Sequence[Sequence[str]], where: str) -> tuple[int, int | None, bool]:
    """The column of names, that of numbers, and whether the first row names the columns."""
    head = [_column(cell) for cell in rows[0]]
    body = rows[1:]
    whole = [bool(body) and all(_whole(row[i]) for row in body) for i in range(len(head))]
    numbers = [i for i, cell in enumerate(head) if cell in NUMBER_COLUMNS]
    numbers += [i for i, cell in enumerate(head) if cell in EITHER and whole[i]]
    numbers = [i for i in numbers if whole[i]] or numbers
    names = [head.index(name) for name in NAME_COLUMNS if name in head]
    named = [i for i in names if not whole[i]] or [i for i in names if i not in numbers] or names
    if named:
        left = [i for i in numbers if i != named[0]]
        return named[0], left[0] if left else None, True
    if len(head) == 1:
        return 0, None, False
    kinds = [
        "number"
        if all(map(_whole, column))
        else "identifier"
        if all(map(_IDENTIFIER.fullmatch, column))
        else "text"
        for column in zip(*rows, strict=True)
    ]
    if kinds.count("text") == 1 and kinds.count("number") <= 1:
        number = kinds.index("number") if "number" in kinds else None
        return kinds.index("text"), number, False
    if len(head) == 2 and sum(whole) == 1 and not _whole(rows[0][whole.index(True)]):
        return whole.index(False), whole.index(True), True  # a head above numbers, in other words
    raise ClassesRefused(
        f"{where}: which of its {len(head)} columns has the names? Call that one 'name' in the "
        "first row, and one with the numbers, if there is any, 'index'."
    )


def _column(cell: str) -> str:
    """The name of a column as it is looked up: `Class ID`, `classId` and `class-id` are one."""
    return re.sub(r"[\s_\-]+", "", cell).casefold()


def _whole(cell: str) -> bool:
    return cell.isascii() and cell.isdecimal() and len(cell) < 10
