"""How far two maps of one picture name the same places."""

import numpy as np

from leap_audit.run.session import Array

__all__ = ["TOP_SHARE", "top_overlap"]

TOP_SHARE = 0.1
"""Share of a picture's pixels, the highest of each map, that are compared."""


def top_overlap(a: Array, b: Array, share: float = TOP_SHARE) -> float:
    """Return which part of the highest pixels of two maps is the same, 0..1.

    By chance it is `share`. Feature agreement of Krishna et al. 2022, for pixels: those that a map
    hardly tells apart count for nothing, and they are most of a picture. Pixels that tie at the
    edge of the highest share what is left; so a map that is the same everywhere names all alike.
    """
    return float(np.minimum(_highest(a, share), _highest(b, share)).sum())


def _highest(values: Array, share: float) -> Array:
    """Weights of the highest pixels, which add up to 1."""
    flat = np.asarray(values, np.float64).ravel()
    count = max(1, round(share * flat.size))
    edge = np.partition(flat, -count)[-count]
    above, tied = flat > edge, flat == edge
    return np.asarray((above + tied * ((count - above.sum()) / tied.sum())) / count)
