"""The sign test: the probability of a count by chance."""

import math

__all__ = ["sign_test"]


def sign_test(gained: int, lost: int) -> float:
    """Return the probability, 0..1, of at least `gained` gains among as many changes in all, each
    as likely a gain as a loss."""
    n = gained + lost
    return float(sum(math.comb(n, k) for k in range(gained, n + 1)) / 2**n)
