"""Sets of operators and types, entered once and composed by every stage that follows tensors."""

import onnx_ir as ir

__all__ = [
    "ARRANGING",
    "CASTING",
    "FLOATS",
    "MOVING",
    "PICKING",
    "QUANTISED",
    "RESHAPING",
    "ROUNDING",
    "SHAPE_ONLY",
]

FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)
QUANTISED = (ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.UINT16, ir.DataType.INT16)
"""Integers that stand for other numbers in a quantised model, or for a picture's pixels."""

RESHAPING = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that keep all numbers in their order."""
ARRANGING = frozenset({*RESHAPING, "Transpose"})
"""Operators that keep all numbers, in their order or with the axes in another."""
PERMUTING = frozenset({"DepthToSpace", "ReverseSequence", "SpaceToDepth", "Transpose"})
"""Operators that keep all numbers in another order."""
PICKING = frozenset({"Gather", "Slice", "Split"})
"""Operators that keep whole slices of a tensor."""
SELECTING = frozenset({*PICKING, "Compress", "GatherElements", "GatherND"})
"""Operators that keep some numbers; which, does not depend on the numbers."""
REPEATING = frozenset({"Expand", "Tile"})
"""Operators that repeat numbers."""
ROUNDING = frozenset({"DynamicQuantizeLinear", "QuantizeLinear"})
"""Operators whose integers stand for other numbers: their rounding counts as the identity."""
CASTING = frozenset({"Cast", "CastLike"})
"""Operators that change the type."""

MOVING = frozenset({*RESHAPING, *PERMUTING, *SELECTING, *REPEATING, "Concat"})
"""Operators whose output holds numbers of their first input (Concat: of all) and no others."""
SHAPE_ONLY = frozenset({*ARRANGING, "Cast"})
"""Operators between two tensors that hold the same scores."""
