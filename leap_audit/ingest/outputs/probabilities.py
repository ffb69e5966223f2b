"""Softmax and sigmoid, and the total that the numbers of the classes add up to."""

import numpy as np
import onnx_ir as ir

from leap_audit.run.session import Array

__all__ = ["PERCENT", "SPREAD", "SUMS_FLOAT", "share_total", "sigmoid", "softmax"]

PERCENT = 100.0
SUMS = {ir.DataType.FLOAT16: 5e-3, ir.DataType.BFLOAT16: 4e-2}
SUMS_FLOAT = 1e-4
"""How far the sum of probabilities may be from 1."""
SPREAD = 1e-3
"""Numbers that differ by less may be those of many functions, straight lines among them."""
UNDECIDED = 1e-3
"""What the first class must leave to the others for a sum to tell that they share."""
TELLING = 2
"""Pictures that must tell."""


def share_total(values: Array, dtype: ir.DataType, *, together: bool) -> float | None:
    """Return what the numbers of the classes add up to on every picture, None if to no one number.

    values: (pictures, classes, places), none below zero. together: whether they are computed from
    one another, or may be; else they must move, and tell more than that one class has it all, for
    classes on their own may seem to add up too. A total that is neither 1 nor 100 must move.
    """
    sums = values.sum(1)
    total = float(np.median(sums))
    tolerance = SUMS.get(dtype, SUMS_FLOAT)
    if total <= 0 or values.min() < -tolerance * total:
        return None
    if np.abs(sums - total).max() > tolerance * total:
        return None
    whole = next((t for t in (1.0, PERCENT) if abs(total - t) <= tolerance * t), total)
    moves = np.ptp(values, axis=0).max() > SPREAD * total
    left = 1 - values.max(1) / total
    tells = moves and (left > UNDECIDED).any(-1).sum() >= TELLING
    return whole if tells or (together and (moves or whole in (1.0, PERCENT))) else None


def softmax(x: Array) -> Array:
    """Return the softmax along the second axis."""
    powers = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def sigmoid(x: Array) -> Array:
    """Return the sigmoid of each number."""
    return np.asarray(np.exp(-np.logaddexp(0, -x)))
