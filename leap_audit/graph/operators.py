"""Sets of operators and types that several stages name."""

import onnx_ir as ir

__all__ = ["FLOATS", "SHAPE_ONLY"]
SHAPE_ONLY = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Transpose"}
)


FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)
