"""Audit reports for vision models: what a model has learned, from an ONNX file alone."""

__version__ = "0.1.0"
