"""Tables of options: read from a TOML or JSON file, and laid over one another."""

import errno
import json
import tomllib
from pathlib import Path
from typing import Any

from leap_audit.errors import ConfigRefused
from leap_audit.files import read_regular

__all__ = ["layered", "read_table"]

LARGEST = 64_000
"""Bytes of a file of options that is read."""
MOST_DOTS = 2000
"""In a line of it: a key of 30,000 parts takes Python's parser a minute."""


def read_table(path: Path) -> dict[str, Any]:
    """Return the table a TOML or JSON file holds.

    Raises ConfigRefused: the file is missing, not text, or not a table.
    """
    kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
    try:
        text = read_regular(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigRefused(f"{path}: is not text; give a TOML or JSON file.") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            size = f"{LARGEST // 1000} kB"
            raise ConfigRefused(f"{path}: is above {size}, too large a file of options.") from None
        raise ConfigRefused(f"{path}: cannot be read ({error.strerror}).") from None
    if kind == "TOML" and max(line.count(".") for line in [*text.split("\n"), ""]) > MOST_DOTS:
        raise ConfigRefused(f"{path}: is not valid TOML (nested too deeply).")
    try:
        table = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error if isinstance(error, ValueError) else "nested too deeply"
        raise ConfigRefused(f"{path}: is not valid {kind} ({reason}).") from None
    if not isinstance(table, dict):
        raise ConfigRefused(f"{path}: holds a {type(table).__name__}, not a table of options.")
    return table


def layered(*tables: dict[str, Any]) -> dict[str, Any]:
    """Return one table in which each value is from the last table that has it, at any depth."""
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            below = result.get(key)
            if isinstance(value, dict) and isinstance(below, dict):
                value = layered(below, value)
            result[key] = value
    return result
