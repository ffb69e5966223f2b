"""Audit reports for vision models: what a model has learned, from an ONNX file alone.

    import leap_audit
    result = leap_audit.audit("model.onnx", classes="classes.txt", targets="1,8")
    result.open()

does what `leap-audit model.onnx --classes classes.txt --targets 1,8` does, then opens the report
in a browser. `leap_audit.inspect` does what `--dry-run` does. `leap_audit.explain` explains what a
model says of a picture, `leap_audit.check` checks the explanation, and `leap_audit.methods` lists
how it can be explained.
"""

import importlib
from typing import TYPE_CHECKING, Any

from leap_audit.telemetry import disable_telemetry

if TYPE_CHECKING:
    from leap_audit.measure.detection_targets import DetectionTarget as Detection
    from leap_audit.measure.targets import ClassTarget as Class
    from leap_audit.measure.targets import DifferenceTarget as Difference
    from leap_audit.measure.targets import DimensionTarget as Dimension
    from leap_audit.measure.targets import DirectionTarget as Direction
    from leap_audit.measure.targets import EmbeddingTarget as Embedding
    from leap_audit.measure.targets import PlaceTarget as Place
    from leap_audit.measure.targets import SimilarityTarget as Similarity
    from leap_audit.measure.targets import TensorTarget as Tensor
    from leap_audit.pipeline import AuditResult, Inspection, audit, inspect
    from leap_audit.pipeline.explain import (
        PictureExplanation,
        check,
        detections,
        explain,
        methods,
    )

__version__ = "0.2.0.dev0"

__all__ = [
    "AuditResult",
    "Class",
    "Detection",
    "Difference",
    "Dimension",
    "Direction",
    "Embedding",
    "Inspection",
    "PictureExplanation",
    "Place",
    "Similarity",
    "Tensor",
    "__version__",
    "audit",
    "check",
    "detections",
    "explain",
    "inspect",
    "methods",
]

TARGETS = (
    "Class",
    "Detection",
    "Difference",
    "Dimension",
    "Direction",
    "Embedding",
    "Place",
    "Similarity",
    "Tensor",
)

disable_telemetry()  # before any library is loaded that would speak


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load the pipeline at its first use, so that `--version` need not wait for it."""
    if name in ("AuditResult", "Inspection", "audit", "inspect"):
        from leap_audit import pipeline

        return getattr(pipeline, name)
    if name in ("PictureExplanation", "check", "detections", "explain", "methods"):
        return getattr(importlib.import_module("leap_audit.pipeline.explain"), name)
    if name in TARGETS:
        return getattr(importlib.import_module("leap_audit.measure.targets"), f"{name}Target")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
