"""Descriptions that nest to any depth, as files hold them: walked without recursion."""

from collections.abc import Iterator
from typing import Any

__all__ = ["tables_in"]


def tables_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every table in what was read from JSON, however deep, itself included."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
