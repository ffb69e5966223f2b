"""The API that users of leap_ie know: `generate`, on any ONNX model, and `display_results`."""

from leap_audit.engine.generate import generate
from leap_audit.notebook import display_results

__all__ = ["display_results", "generate"]
