"""Places in a picture in words."""

__all__ = ["place_in_words"]


def place_in_words(down: float, right: float) -> str:
    """Return where a point lies, as fractions from the upper left: 'in the upper-left corner'."""
    rows = ("upper", "", "lower")[_third(down)]
    columns = ("left", "", "right")[_third(right)]
    if rows and columns:
        return f"in the {rows}-{columns} corner"
    if rows:
        return "at the top" if rows == "upper" else "at the bottom"
    if columns:
        return f"at the {columns} side"
    return "in the middle"


def _third(share: float) -> int:
    return min(2, int(3 * share))
