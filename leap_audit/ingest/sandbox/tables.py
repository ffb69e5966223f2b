"""Tables of options in TOML or JSON files of others, read in a child process."""

from pathlib import Path
from typing import Any

from leap_audit.config import read_table
from leap_audit.errors import ConfigRefused
from leap_audit.ingest.files.once import read_once
from leap_audit.ingest.sandbox.parent import contained

__all__ = ["table_in"]


def table_in(path: Path) -> tuple[dict[str, Any], str]:
    """Return the table in a TOML or JSON file, and its SHA-256. Raises ConfigRefused."""
    return contained(_table, path, alone=True, refusal=ConfigRefused)


def _table(path: Path) -> tuple[dict[str, Any], str]:
    return read_once(path, lambda: read_table(path), ConfigRefused)
