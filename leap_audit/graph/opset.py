"""The version of ONNX that every graph of ours is written in."""

__all__ = ["IR_VERSION", "ONNX_DOMAIN", "OPSET"]

OPSET = 21
IR_VERSION = 10
"""The version of the file format in which OPSET appeared."""
ONNX_DOMAIN = ("", "ai.onnx")
"""The two names of ONNX's own domain."""
