"""Format numbers for a reader."""

import math

__all__ = ["count", "decimal", "listed", "percent"]

_LISTED = 5


def percent(fraction: float | None) -> str:
    """Return 0.914 as '91 %', with a decimal where it matters and never a false 0 or 100."""
    if fraction is None or not math.isfinite(fraction):
        return "not measured"
    value = 100 * fraction
    if 0 < value < 0.05:
        return "<0.1\u00a0%"
    if 99.95 <= value < 100:
        return ">99.9\u00a0%"
    digits = 0 if 9.95 <= value < 98.95 else 1
    return f"{f'{value:.{digits}f}'.removesuffix('.0')}\u00a0%"


def count(number: int, thing: str, several: str = "") -> str:
    """Return '1 class', '3 classes', '1,204 pictures'."""
    return f"{number:,} {thing if number == 1 else several or thing + 's'}"


def listed(names: list[str], limit: int = _LISTED) -> str:
    """Return the names as a sentence says them, each once, the rest counted."""
    unique = list(dict.fromkeys(names))
    rest = len(unique) - limit
    if rest > 0:
        return f"{', '.join(unique[:limit])} and {rest} more"
    return " and ".join(filter(None, [", ".join(unique[:-1]), *unique[-1:]]))


def decimal(value: float, digits: int = 2) -> str:
    """Return 0.5 as '0.50' and -1234 as '−1,234.00', with a true minus sign; zero has none."""
    return f"{value:z,.{digits}f}".replace("-", "−")
