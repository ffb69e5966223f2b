"""The whole way, from a file to a report: each stage called once, in order."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leap_audit.pipeline.flow import audit
    from leap_audit.pipeline.inspection import Inspection, inspect
    from leap_audit.pipeline.result import AuditResult

__all__ = ["AuditResult", "Inspection", "audit", "inspect"]

_MODULES = {
    "AuditResult": "leap_audit.pipeline.result",
    "Inspection": "leap_audit.pipeline.inspection",
    "audit": "leap_audit.pipeline.flow",
    "inspect": "leap_audit.pipeline.inspection",
}


def __getattr__(name: str) -> Any:
    """Load a module at the first use of its name.

    The child process imports `pipeline.graphs` alone: the report's libraries read files of the
    system, which the sandbox denies.
    """
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
