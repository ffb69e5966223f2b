"""From what people have to a canonical graph and what is known of it.

`leap_audit.ingest.load` is the one door.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leap_audit.ingest.door import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Load the door when it is first asked for: the modules beside it are imported more often."""
    if name == "load":
        from leap_audit.ingest.door import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
