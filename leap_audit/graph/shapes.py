"""Shapes of the values of a graph."""

from collections.abc import Iterable

import onnx_ir as ir

from leap_audit.errors import ModelRefused

__all__ = ["WHY_OPEN", "forget_shapes", "shape_of", "static_shape"]

WHY_OPEN = "leap_audit: why the shape is open"
"""Key in a value's `meta`: a sentence, after a space, that names the node that leaves the value
without a static shape."""


def forget_shapes(values: Iterable[ir.Value | None]) -> None:
    """Leave the shapes of computed tensors to be inferred once more."""
    for value in values:
        if value is not None and value.producer() is not None:
            value.shape = None


def shape_of(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the shape of a tensor, None where a part of it is not known."""
    if value is None or value.shape is None or not all(isinstance(d, int) for d in value.shape):
        return None
    return tuple(int(d) for d in value.shape)  # type: ignore[arg-type]


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """Return the shape of a value of a canonical graph.

    Raises ModelRefused: shape inference left a dimension open.
    """
    shape = shape_of(value)
    if shape is None:
        why = value.meta.get(WHY_OPEN, "")
        raise ModelRefused(
            f"tensor {value.name!r} has no fixed size ({value.shape}).{why} Export the model "
            "without this step, or with fixed sizes."
        )
    return shape
