"""Load a model from a file or an object: a canonical graph, its head, input and classes.

`leap_audit.ingest.load` is the only entry point.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leap_audit.ingest.loading import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import `load` lazily: the modules beside it are imported more often."""
    if name == "load":
        from leap_audit.ingest.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
