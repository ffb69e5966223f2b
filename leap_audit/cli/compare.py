"""leap-audit compare: two audits in, what changed between them out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from leap_audit.cli import flags
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app
from leap_audit.errors import OutputRefused

if TYPE_CHECKING:
    from leap_audit.compare import Comparison

__all__: list[str] = []

ABOUT_COMPARE = (
    "Say what changed between two audits of two versions of a model.\n\n"
    "Nothing is run again. What the audits hold is matched by the names of classes, and "
    "photographs by their SHA-256. The exit code is 1 if the verdict or "
    "a check got worse, or as --fail-on says, and 3 if an audit is incomplete."
)


@app.command(cls=Command, help=ABOUT_COMPARE)
def compare(
    old: flags.OldAudit,
    new: flags.NewAudit,
    fail_on: flags.FailOn = "worse",
    out: flags.CompareOut = None,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
    debug: flags.Debug = False,
) -> None:
    """Compare two audits, and print where the comparison is."""
    with answering(debug=debug, quiet=quiet, as_json=as_json) as terminal:
        from leap_audit.compare import Side, fails, write_comparison
        from leap_audit.compare import compare as compared
        from leap_audit.compare.page import COMPARISON, comparison_folder
        from leap_audit.ingest.audits import refusing_what_cannot_be_shown
        from leap_audit.publish.folder import AuditFolder

        sides = Side.read(old), Side.read(new)
        place = out or comparison_folder(old, new)
        if any(place.resolve() == side.folder.resolve() for side in sides):
            raise OutputRefused(f"{place}: is one of the audits; give another folder as --out.")
        with AuditFolder.open(place, COMPARISON) as folder:
            with refusing_what_cannot_be_shown(new):
                found = compared(*sides, folder.staging)
                write_comparison(found, folder.staging)
            written = folder.publish(found.status == "complete")
        for line in _lines(found):
            terminal.note(line)
        if as_json:
            print(json.dumps(_summary(found, written), indent=2), flush=True)
        else:
            print(written / "comparison.html", flush=True)
        failed = fails(found, fail_on)
    if found.status == "incomplete":
        raise typer.Exit(3)
    if failed:
        raise typer.Exit(1)


def _lines(found: "Comparison", limit: int = 5) -> list[str]:
    """What a person wants to know at the end: the verdicts, then what changed."""
    lines = [
        f"{found.status.capitalize()}: {found.old.model.file} → {found.new.model.file}. "
        f"Verdict: {found.old.verdict} → {found.new.verdict}.",
        *(f"  worse: {each}" for each in found.worse),
        *(f"  {each.severity}, {each.direction}: {each.title}" for each in found.changes[:limit]),
    ]
    if len(found.changes) > limit:
        lines.append(f"  and {len(found.changes) - limit} more changes in the comparison")
    if found.settings or found.warnings:
        lines.append(
            f"  {len(found.warnings)} doubts and {len(found.settings)} settings that differ make "
            "it less sure"
        )
    return lines


def _summary(found: "Comparison", folder: Path) -> dict[str, Any]:
    """What a script needs to know of a comparison."""
    views = {"json": "comparison.json", "html": "comparison.html", "pdf": "comparison.pdf"}
    states = [pair.state for pair in found.findings]
    return {
        "schema": found.schema_,
        "status": found.status,
        "verdict": {"old": found.old.verdict, "new": found.new.verdict},
        "worse": list(found.worse),
        "folder": str(folder),
        "reports": {kind: str(folder / file) for kind, file in views.items()},
        "findings": {state: states.count(state) for state in ("new", "gone", "still", "unknown")},
        "changes": [
            {
                "id": each.id,
                "severity": each.severity,
                "direction": each.direction,
                "title": each.title,
            }
            for each in found.changes
        ],
        "photographs": len(found.photographs),
        "photographs_answered_differently": sum(pair.changed for pair in found.photographs),
        "settings_that_differ": len(found.settings),
        "warnings": list(found.warnings),
    }
