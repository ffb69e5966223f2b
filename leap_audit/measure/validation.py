"""How good the measurements have proved to be, on networks where that could be measured."""

import tomllib
from importlib.resources import files

__all__ = ["validated"]


def validated(stage: str) -> str:
    """Return what was measured of a stage's method, and when, as a sentence for the report.

    It is of the networks named in it, not of the one that is audited. KeyError: nothing was
    measured. The figures are those of benchmarks/README.md, which says how to repeat them.
    """
    text = (files("leap_audit.measure") / "validation.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)[stage]
    return f"{found['validated']} Measured on {found['date'].isoformat()}."
