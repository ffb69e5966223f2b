"""Walk nested JSON values of any depth, without recursion."""

from collections.abc import Iterator
from typing import Any

__all__ = ["nested_tables"]


def nested_tables(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a JSON value, at any depth, itself included."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
