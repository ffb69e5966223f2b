"""Sets of operators and types, entered once and composed by every stage that follows tensors."""

import onnx_ir as ir

__all__ = ["CASTING", "FLOATS", "MOVING", "QUANTISED", "RESHAPING", "ROUNDING", "SHAPE_ONLY"]

FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)
QUANTISED = (ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.UINT16, ir.DataType.INT16)
"""Integers that stand for other numbers in a quantised model, or for a picture's pixels."""

RESHAPING = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that keep all numbers in their order."""
PERMUTING = frozenset({"DepthToSpace", "ReverseSequence", "SpaceToDepth", "Transpose"})
"""Operators that keep all numbers in another order."""
SELECTING = frozenset({"Compress", "Gather", "GatherElements", "GatherND", "Slice", "Split"})
"""Operators that keep some numbers; which, does not depend on the numbers."""
REPEATING = frozenset({"Expand", "Tile"})
"""Operators that repeat numbers."""
ROUNDING = frozenset({"DynamicQuantizeLinear", "QuantizeLinear"})
"""Operators whose integers stand for other numbers: their rounding counts as the identity."""
CASTING = frozenset({"Cast", "CastLike"})
"""Operators that change the type."""

MOVING = frozenset({*RESHAPING, *PERMUTING, *SELECTING, *REPEATING, "Concat"})
"""Operators whose output holds numbers of their first input (Concat: of all) and no others."""
SHAPE_ONLY = frozenset({*RESHAPING, "Cast", "Transpose"})
"""Operators between two tensors that hold the same scores."""
