"""Check untrusted JSON before use: finite numbers, valid text, limited depth and size."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

__all__ = ["implausible"]

DEEPEST = 32
MOST_VALUES = 20_000_000
LONGEST_TEXT = 200_000
LONGEST_LIST = 500_000
LONGEST_CURVE = 20_000
LARGEST_NUMBER = 1e30
LARGEST_INTEGER = 2**64
INPUTS = "set"
"""The option with the values of a model's other inputs, by their names."""


def implausible(found: Any) -> str:
    """Return what is wrong with a table read from JSON, as words for a sentence; empty: nothing.

    Numbers are finite and of a size that can be drawn, text is valid Unicode, nothing nests deeper
    or is longer than an audit is, classes are among those that are named.
    """
    classes = found.get("classes") if isinstance(found, dict) else None
    known = len(classes) if isinstance(classes, list) else 0
    for count, (key, value, depth) in enumerate(_walked(found)):
        wrong = _wrong(key, value, depth, known)
        if count > MOST_VALUES:
            wrong = "more values than any audit"
        if wrong:
            return wrong
    return _wrong_date(found)


def _walked(found: Any) -> Iterator[tuple[str, Any, int]]:
    waiting = [("", found, 0)]
    while waiting:
        key, value, depth = waiting.pop()
        yield key, value, depth
        if depth > DEEPEST:
            continue
        if isinstance(value, dict):
            for name, inner in value.items():
                yield "", name, depth
                # Names of a model's inputs, which may be called like a field of an audit.
                waiting.append(("" if key == INPUTS else name, inner, depth + 1))
        elif isinstance(value, list):
            waiting.extend((key, inner, depth + 1) for inner in value)


def _wrong(key: str, value: Any, depth: int, classes: int) -> str:
    if depth > DEEPEST:
        return "values that nest too deeply"
    if isinstance(value, float) and not abs(value) <= LARGEST_NUMBER:
        return f"the number {value:g}"
    if type(value) is int:
        if abs(value) > LARGEST_INTEGER:
            return "a number of more than 20 digits"
        if key in ("class", "target", "known") and not 0 <= value < classes:
            return f"class {value} of {classes}"
    if isinstance(value, str):
        return _wrong_text(value)
    most = LONGEST_CURVE if key == "curve" else LONGEST_LIST
    if isinstance(value, list | dict) and len(value) > most:
        return f"a list of {len(value):,} values"
    return ""


def _wrong_text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        return f"a text of {len(text):,} letters"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "text that is no Unicode"
    return ""


def _wrong_date(found: Any) -> str:
    ran = found.get("environment") if isinstance(found, dict) else None
    started = ran.get("started") if isinstance(ran, dict) else None
    if not isinstance(started, str):
        return ""  # which the schema refuses
    try:
        return "" if datetime.fromisoformat(started).year > 1 else "a date before all dates"
    except ValueError:
        return f"{started[:40]!r} as a date"
