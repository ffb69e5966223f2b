"""Run ONNX graphs on ONNX Runtime, on the execution provider that is there."""

from leap_audit.run.providers import Provider, choose_provider
from leap_audit.run.session import Loop, Session

__all__ = ["Loop", "Provider", "Session", "choose_provider"]
