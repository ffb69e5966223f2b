"""What one place is that is logged to, and what both take alike."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pandas as pd

from leap_audit.errors import LeapAuditError, PictureRefused, RuntimeMissing
from leap_audit.text.names import shortened

__all__ = ["PICTURES", "Keys", "Tracker", "missing", "named_pictures", "plain", "refused"]

PICTURES = ("prototype", "isolation", "mask")
"""Columns of the results that name pictures."""


class Tracker(Protocol):
    """One place that is logged to."""

    def stage(
        self, target: str, step: int, probabilities: Mapping[str, float], picture: Path | None
    ) -> None:
        """Log what the model makes of a target's picture at a step."""

    def results(self, table: pd.DataFrame, folder: Path) -> None:
        """Log the results, and the pictures that they name, which lie in `folder`.

        Raises PictureRefused: one of them is missing.
        """

    def folder(self, folder: Path, name: str) -> None:
        """Log a folder, with everything in it, as an artifact of this name."""


class Keys:
    """Names of classes as both services take them in keys, each with a key of its own."""

    def __init__(self) -> None:
        self._key_of: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return the key of a name."""
        if name not in self._key_of:
            plain = re.sub(r"[^\w .-]", "_", shortened(name)).strip(" .") or "_"
            key, number = plain, 1
            while key in self._key_of.values():
                number += 1
                key = f"{plain} {number}"
            self._key_of[name] = key
        return self._key_of[name]


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with None for every missing value."""
    return table.astype(object).where(table.notna(), None)


def named_pictures(table: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Return name -> file of every picture that the table names, each once.

    Raises PictureRefused: one of them is missing.
    """
    columns = [column for column in PICTURES if column in table]
    names = dict.fromkeys(str(name) for column in columns for name in table[column].dropna())
    paths = {name: folder / name for name in names}
    for name, path in paths.items():
        if not path.is_file():
            raise PictureRefused(
                f"{path}: the results name this picture, but it is not there; log them before "
                f"{shortened(name)} is moved."
            )
    return paths


def missing(package: str) -> RuntimeMissing:
    """Return the error that a package is not there."""
    return RuntimeMissing(f"{package} is not installed: pip install 'leap-audit[tracking]'.")


def refused(service: str, error: Exception, secret: str | None) -> LeapAuditError:
    """Return what the service says, in a line and without what must not be shown."""
    text = str(error).replace(secret, "…") if secret else str(error)
    lines = text.strip().splitlines() or [type(error).__name__]
    return LeapAuditError(
        f"{service} refuses the run ({lines[0][:200].rstrip('.')}); check its options, or leave "
        "them out to run without it."
    )
