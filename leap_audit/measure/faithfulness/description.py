"""What a map looks like: how few pixels it names."""

import numpy as np

from leap_audit.run.session import Array

__all__ = ["complexity", "sparseness"]


def sparseness(values: Array) -> float:
    """Return the Gini index of |map|, 0 (all pixels alike) to 1 (one pixel)."""
    size = np.sort(np.abs(np.asarray(values, np.float64)).ravel())
    total = size.sum()
    if total == 0:
        return 0.0
    n = len(size)
    return float(((2 * np.arange(1, n + 1) - n - 1) * size).sum() / (n * total))


def complexity(values: Array) -> float:
    """Return the entropy of |map| / sum |map|, 0 (one pixel) to log(pixels)."""
    size = np.abs(np.asarray(values, np.float64)).ravel()
    if (total := size.sum()) == 0:
        return 0.0
    shares = size[size > 0] / total
    return float(-(shares * np.log(shares)).sum())
