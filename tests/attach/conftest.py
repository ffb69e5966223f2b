"""A finished audit in a folder, as attaching finds it: audit.json, pictures and a report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leap_audit.artifacts import Check, PolicyIdentity
from leap_audit.attach.record import Record
from tests.builders.audits import make_audit, with_pictures

Made = Callable[..., Record]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return what writes an audit with these changes to a folder and reads it back."""

    def make(**changes: Any) -> Record:
        folder = tmp_path / "model-audit"
        folder.mkdir()
        make_audit(with_pictures(folder), **changes).write(folder)
        (folder / "report.pdf").write_bytes(b"%PDF-1.7 a report")
        (folder / "results.csv").write_bytes(b"")
        (folder / "report.html").write_bytes(b"<!doctype html>")
        return Record.read(folder)

    return make


@pytest.fixture
def record(made: Made) -> Record:
    return made()


@pytest.fixture
def judged() -> dict[str, Any]:
    """The changes that make an audit one that was held against a policy, and failed."""
    check = {"question": "Is it?", "measured": "0.5", "threshold": "at least 0.9"}
    return {
        "verdict": "FAIL",
        "policy": PolicyIdentity(name="strict", file="strict.toml", sha256="ef" * 32),
        "checks": (
            Check(id="coverage", status="PASS", **check),
            Check(id="border", status="WARN", **check),
            Check(id="converged", status="FAIL", **check),
            Check(id="right", status="NOT ASSESSED", **check),
        ),
    }
