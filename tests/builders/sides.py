"""Two audits in folders of their own, and their comparison."""

from pathlib import Path
from typing import Any

from leap_audit.artifacts import Check, Finding
from leap_audit.compare import Comparison, Side, compare
from tests.builders.audits import changed, make_audit, with_pictures


def make_side(folder: Path, changes: dict[str, Any] | None = None, **shape: Any) -> Side:
    """Return an audit that is written into `folder`, with these `changes`."""
    folder.mkdir()
    audit = changed(make_audit(with_pictures(folder), **shape), **(changes or {}))
    audit.write(folder)
    return Side.read(folder)


def compared(tmp_path: Path, old: Side, new: Side) -> tuple[Comparison, Path]:
    """Return the comparison and the folder with its pictures."""
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    return compare(old, new, out), out


def rewritten(side: Side, **changes: Any) -> Side:
    """Return the same side with a changed audit."""
    audit = changed(side.audit, **changes)
    audit.write(side.folder)
    return Side.read(side.folder)


def finding(id: str, severity: str = "medium", **more: Any) -> Finding:
    return Finding(
        id=id, severity=severity, title=f"title of {id}", evidence="e.", limits="l.", **more
    )


def check(status: str, name: str = "accuracy") -> Check:
    return Check(id=name, question="?", status=status, measured="m", threshold="t")
