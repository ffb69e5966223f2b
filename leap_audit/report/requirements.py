"""The appendix that maps what frameworks ask for to what in the report is evidence for it."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Requirement", "Requirements", "requirements"]


@dataclass(frozen=True)
class Requirement:
    source: str
    asks: str
    evidence: tuple[tuple[str, str], ...]
    """(anchor of the part of the report, what it contributes)."""
    not_shown: str
    note: str = ""


@dataclass(frozen=True)
class Requirements:
    as_of: str
    """When the statements were last checked, month and year."""
    each: tuple[Requirement, ...]


@cache
def requirements() -> Requirements:
    """Return the contents of requirements.toml."""
    table = tomllib.loads((Path(__file__).parent / "requirements.toml").read_text("utf-8"))
    return Requirements(
        table["as_of"],
        tuple(
            Requirement(**(each | {"evidence": tuple(map(tuple, each["evidence"]))}))
            for each in table["requirement"]
        ),
    )
