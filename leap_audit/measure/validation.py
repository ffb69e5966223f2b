"""How good the measurements have proved to be, on networks where that could be measured."""

import tomllib
from importlib.resources import files

__all__ = ["validated"]

NEVER = "Not yet held against other methods."


def validated(stage: str) -> str:
    """Return what is known of a stage's method, and since when, as sentences for the report.

    The figures are of the networks named in it, not of the one that is audited; they are those of
    benchmarks/README.md, which says how to repeat them. Of a stage that validation.toml does not
    know it says so.
    """
    text = (files("leap_audit.measure") / "validation.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text).get(stage)
    if found is None:
        return NEVER
    return f"{found['validated']} Measured on {found['date'].isoformat()}."
