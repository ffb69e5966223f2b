"""How probable a count is by chance, and how far a share may be off."""

import math
from collections.abc import Sequence

__all__ = ["benjamini_hochberg", "sign_test", "wilson"]


def sign_test(gained: int, lost: int) -> float:
    """Return the probability, 0..1, of at least `gained` gains among as many changes in all, each
    as likely a gain as a loss."""
    n = gained + lost
    return float(sum(math.comb(n, k) for k in range(gained, n + 1)) / 2**n)


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Return each probability corrected for the number of tests, in their order, 0..1.

    Benjamini and Hochberg 1995: with those below q called real, a share of at most q of them is
    expected to be false.
    """
    order = sorted(range(len(ps)), key=lambda i: ps[i], reverse=True)
    found, least = [1.0] * len(ps), 1.0
    for place, i in enumerate(order):
        least = min(least, ps[i] * len(ps) / (len(ps) - place))
        found[i] = least
    return found


def wilson(hits: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the interval of a share, 0..1, by Wilson (1927); z: 1.96 for 95 %. of is above 0.

    Unlike the plain one it stays inside 0..1 and has a width where all or none are hits.
    """
    share, spread = hits / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
