"""Smoothing and enlarging along one axis, as matrices."""

import numpy as np

from leap_audit.run.session import Array

__all__ = ["blur_matrix", "enlargement"]


def blur_matrix(n: int, sigma: float) -> Array:
    """Return the n × n Gaussian blur with standard deviation `sigma` in pixels, rows summing to 1.

    Beyond the border the picture is cut off, not reflected: what is outside counts for nothing.
    """
    distance = np.arange(n)[:, None] - np.arange(n)[None]
    weights = np.exp(-0.5 * (distance / max(sigma, 1e-6)) ** 2)
    return np.asarray((weights / weights.sum(1, keepdims=True)).astype(np.float32))


def enlargement(cells: int, n: int) -> Array:
    """Return the n × cells bilinear enlargement: cell centres lie at (i + 0.5) · n / cells."""
    position = np.clip((np.arange(n) + 0.5) * cells / n - 0.5, 0, cells - 1)
    low = np.minimum(position.astype(int), max(cells - 2, 0))
    weight = position - low
    matrix = np.zeros((n, cells), np.float32)
    matrix[np.arange(n), low] = 1 - weight
    matrix[np.arange(n), np.minimum(low + 1, cells - 1)] += weight
    return matrix
