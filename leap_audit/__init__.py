"""Audit reports for vision models: what a model has learned, from an ONNX file alone.

    import leap_audit
    leap_audit.audit("model.onnx", classes="classes.txt", targets="1,8")

does what `leap-audit model.onnx --classes classes.txt --targets 1,8` does, and `leap_audit.inspect`
does what it does with `--dry-run`.
"""

from typing import TYPE_CHECKING, Any

from leap_audit.telemetry import disable_telemetry

if TYPE_CHECKING:
    from leap_audit.pipeline import AuditResult, Inspection, audit, inspect

__version__ = "0.1.0"

__all__ = ["AuditResult", "Inspection", "__version__", "audit", "inspect"]

disable_telemetry()  # before any library is loaded that would speak


def __getattr__(name: str) -> Any:
    """Load the pipeline when it is first asked for, so that `--version` need not wait for it."""
    if name in ("AuditResult", "Inspection", "audit", "inspect"):
        from leap_audit import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
