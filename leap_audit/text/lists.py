"""Lists of names and tables of words as lines of text."""

from collections.abc import Sequence

from leap_audit.text.filenames import clean

__all__ = ["columns", "few"]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return one line for each row, its words under one another; control characters escaped."""
    cleaned = [[clean(word) for word in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    return [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in cleaned
    ]


def few(names: Sequence[str], limit: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = [f"and {len(names) - limit} more"] if len(names) > limit else []
    return ", ".join([*names[:limit], *more])
