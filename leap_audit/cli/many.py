"""leap-audit many: the audits of several models, a table of them, and one exit code."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leap_audit.cli import flags, judging
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app
from leap_audit.cli.trust import TrustModel

if TYPE_CHECKING:
    from leap_audit.pipeline.many import AuditedModel, ModelList

__all__: list[str] = []

ABOUT_MANY = (
    "Audit several models, one folder each, and print a table of them.\n\n"
    "Give a list in a TOML file (docs/many-models.md), or model files, which then all have the "
    "default options. The exit code is the gravest of all: 3 where one has no verdict or could "
    "not be audited, else 1 where one failed, else 0."
)
Models = Annotated[
    list[Path], typer.Argument(metavar="LIST.toml | MODEL ...", help="The models to audit.")
]
ManyOut = Annotated[
    Path | None, flags.option("--out -o", "Output", "Folder of the audits (audits).", "FOLDER")
]


@app.command(cls=Command, help=ABOUT_MANY, short_help="Audit several models.")
def many(
    models: Models,
    out: ManyOut = None,
    effort: flags.EffortOf = None,
    minutes: flags.Minutes = None,
    ray: flags.Ray = None,
    policy: judging.Policy = None,
    fresh: flags.Fresh = False,
    trust_model: TrustModel = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
    debug: flags.Debug = False,
) -> None:
    """Audit the models of a list, and print how each ended."""
    with answering(debug=debug, quiet=quiet, as_json=as_json, trust=trust_model) as terminal:
        from leap_audit.pipeline.many import audit_many

        said = {k: v for k, v in {"effort": effort, "minutes": minutes}.items() if v is not None}
        listed = _listed(models, out, policy, said)
        outcomes = audit_many(listed, progress=terminal, fresh=fresh, ray=ray)
    if as_json:
        print(json.dumps([_summary(each) for each in outcomes], indent=2), flush=True)
    else:
        print("\n".join(_table(outcomes)), flush=True)
    codes = [_code(each) for each in outcomes]
    if code := max(codes, default=0):
        raise typer.Exit(code)


def _listed(
    models: list[Path], out: Path | None, policy: str | None, said: dict[str, Any]
) -> "ModelList":
    from leap_audit.ingest.sandbox.config_files import read_table_in_child
    from leap_audit.pipeline.many import list_of_files, list_of_table
    from leap_audit.tables import layered

    if len(models) == 1 and models[0].suffix.lower() == ".toml":
        listed = list_of_table(read_table_in_child(models[0])[0], models[0])
    else:
        listed = list_of_files(tuple(models), Path("audits"), {})
    changes: dict[str, Any] = {"options": layered(listed.options, said)}
    if out is not None:
        changes["out"] = out
    if policy is not None:
        changes["policy"] = policy
    return listed.model_copy(update=changes)


def _code(outcome: "AuditedModel") -> int:
    return 3 if outcome.audit is None else judging.exit_code(outcome.audit)


def _summary(outcome: "AuditedModel") -> dict[str, Any]:
    from leap_audit.cli.answers import summary_of

    if outcome.audit is None:
        return {"name": outcome.name, "status": "refused", "error": outcome.reason}
    return {"name": outcome.name, **summary_of(outcome.audit, outcome.folder)}


def _table(outcomes: "list[AuditedModel]") -> list[str]:
    """A line for each model: its name, its status, its verdict, grave findings, its report."""
    rows = [("model", "status", "verdict", "high", "medium", "report")]
    for each in outcomes:
        if each.audit is None:
            rows.append((each.name, "refused", "", "", "", each.reason))
            continue
        found = [finding.severity for finding in each.audit.findings]
        counts = (str(found.count("high")), str(found.count("medium")))
        report = str(each.folder / "report.html")
        rows.append((each.name, each.audit.status, each.audit.verdict, *counts, report))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[5]])
        for row in rows
    ]
