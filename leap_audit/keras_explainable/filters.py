"""Filters of maps, as keras_explainable.filters has them."""

from typing import Any

import numpy as np

from leap_audit.run.session import Array

__all__ = [
    "Signal",
    "absolute_normalize",
    "negative",
    "negative_normalize",
    "normalize",
    "positive",
    "positive_normalize",
]

SPATIAL_AXIS = (-3, -2)
"""The axes of the rows and columns of maps, (n, rows, columns, units)."""


class Signal(np.ndarray[Any, Any]):
    """An array that also has `numpy()`, as the tensors of TensorFlow do."""

    def numpy(self) -> Array:
        """Return the plain array."""
        return np.asarray(self)


def normalize(x: Any, axis: tuple[int, ...] = SPATIAL_AXIS) -> Signal:
    """Return values brought to 0..1 along the axes; all 0 where they are the same."""
    values = _array(x)
    above = values - values.min(axis=axis, keepdims=True)
    top = above.max(axis=axis, keepdims=True)
    found: Signal = np.divide(above, top, out=np.zeros_like(above), where=top > 0).view(Signal)
    return found


def positive(x: Any, axis: tuple[int, ...] = SPATIAL_AXIS) -> Signal:  # noqa: ARG001
    """Return max(x, 0)."""
    return np.maximum(_array(x), 0).view(Signal)


def negative(x: Any, axis: tuple[int, ...] = SPATIAL_AXIS) -> Signal:  # noqa: ARG001
    """Return max(-x, 0), the size of what is negative; the original returns max(x, 0)."""
    return np.maximum(-_array(x), 0).view(Signal)


def positive_normalize(x: Any, axis: tuple[int, ...] = SPATIAL_AXIS) -> Signal:
    """Return max(x, 0), brought to 0..1."""
    return normalize(positive(x, axis), axis)


def absolute_normalize(x: Any, axis: tuple[int, ...] = SPATIAL_AXIS) -> Signal:
    """Return |x|, brought to 0..1."""
    return normalize(np.abs(_array(x)), axis)


def negative_normalize(x: Any, axis: tuple[int, ...] = SPATIAL_AXIS) -> Signal:
    """Return max(-x, 0), brought to 0..1."""
    return normalize(negative(x, axis), axis)


def _array(x: Any) -> Array:
    values = np.asarray(x)
    return values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float32)
