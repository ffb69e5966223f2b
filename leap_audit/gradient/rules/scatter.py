"""Gradients added to where numbers were taken from."""

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from leap_audit.graph.emit import Emitter

__all__ = ["added_at"]

HALF_PRECISION = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def added_at(
    op: Emitter,
    shape: Sequence[int],
    indices: ir.Value | None,
    updates: ir.Value,
    axis: int | None = None,
) -> ir.Value:
    """Return zeros of a shape with updates added at indices.

    axis: that of ScatterElements; without it the indices are those of ScatterND.

    Half precision is added in float32: ONNX Runtime's CPU provider adds no other, and sums of many
    would lose their last ones.
    """
    assert updates.dtype is not None
    half = updates.dtype in HALF_PRECISION
    dtype = ir.DataType.FLOAT if half else updates.dtype
    zeros = op.Expand(op.constant(0.0, dtype), list(shape))
    given = op.Cast(updates, to=dtype.value) if half else updates
    attributes: dict[str, Any] = {"reduction": "add"}
    name = "ScatterND"
    if axis is not None:
        name, attributes["axis"] = "ScatterElements", axis
    (total,) = op.emit(name, [zeros, indices, given], attributes, 1)
    return op.Cast(total, to=updates.dtype.value) if half else total
