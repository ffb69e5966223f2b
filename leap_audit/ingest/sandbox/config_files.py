"""Read a foreign TOML or JSON file in a child process."""

from pathlib import Path
from typing import Any

from leap_audit.errors import ConfigRefused
from leap_audit.ingest.files.hashing import read_hashed
from leap_audit.ingest.sandbox.parent import run_in_child
from leap_audit.tables import read_table

__all__ = ["read_table_in_child"]


def read_table_in_child(path: Path) -> tuple[dict[str, Any], str]:
    """Return the table in a TOML or JSON file, and its SHA-256. Raises ConfigRefused."""
    return run_in_child(_table, path, alone=True, refusal=ConfigRefused)


def _table(path: Path) -> tuple[dict[str, Any], str]:
    return read_hashed(path, lambda: read_table(path), ConfigRefused)
