"""leap-audit attach: an audit goes with its model."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from leap_audit.attach.ways import WAYS
from leap_audit.cli import record_flags as flags
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app
from leap_audit.errors import OutputRefused, UsageError

if TYPE_CHECKING:
    from leap_audit.attach.push import Upload
    from leap_audit.attach.record import Record
    from leap_audit.terminal import Terminal

__all__: list[str] = []

ABOUT_ATTACH = (
    "Add an audit to a model card, a model or a registry.\n\n"
    "In a model card it writes one marked section, with the verdict, the key figures and some "
    "pictures, and leaves every other byte alone; what the section shows goes into the folder "
    "[bold]leap-audit[/] beside the card. Nothing is uploaded unless --push, --mlflow or --wandb "
    "says so."
)


@app.command(cls=Command, help=ABOUT_ATTACH)
def attach(
    audit_dir: flags.AuditDir,
    card: flags.Card = None,
    report: flags.Report = "copy",
    onnx: flags.Onnx = None,
    out: flags.OnnxOut = None,
    cyclonedx: flags.CycloneDx = None,
    intoto: flags.InToto = None,
    mlflow: flags.Mlflow = None,
    mlflow_run: flags.MlflowRun = None,
    wandb: flags.Wandb = None,
    push: flags.Push = None,
    create_pr: flags.CreatePr = False,
    yes: flags.Yes = False,
    debug: flags.Debug = False,
) -> None:
    """Attach an audit to what the words name, and print what was written."""
    with answering(debug=debug) as terminal:
        if not any((card, onnx, cyclonedx, intoto, mlflow, wandb)):
            others = ", ".join(way.flag for way in WAYS.values() if way.flag)
            raise UsageError(f"nothing to attach to: give a model card, README.md, or {others}.")
        if (push or create_pr) and not (push and card):
            raise UsageError("--push uploads a card: give README.md, and --push OWNER/NAME.")
        if push and report == "link":
            raise UsageError("--push uploads the report as a copy: leave --report link out.")
        if push and not yes and not _can_ask():
            raise UsageError("--push asks before it uploads; where nobody answers, add --yes.")
        if (mlflow_run and not mlflow) or (out and not onnx):
            raise UsageError("--mlflow-run goes with --mlflow URI, and --out with --onnx MODEL.")
        if wandb and not all(wandb.rpartition("/")):
            raise UsageError(f"--wandb takes ENTITY/PROJECT, not {wandb!r}.")
        from leap_audit.attach.card import card_files, write_card
        from leap_audit.attach.push import planned_upload
        from leap_audit.attach.record import Record
        from leap_audit.ingest.audits import refusing_what_cannot_be_shown
        from leap_audit.publish.folder import write_file

        record = Record.read(audit_dir)
        place = None if onnx is None else out or onnx.with_name(f"{onnx.stem}.audited.onnx")
        _require_outside(audit_dir, [card, place, cyclonedx, intoto])
        # Everything is made before anything is written: a refusal leaves all as it was.
        with refusing_what_cannot_be_shown(audit_dir):
            files = None if card is None else card_files(record, card, report)
        upload = planned_upload(files, push, create_pr=create_pr) if push and files else None
        with refusing_what_cannot_be_shown(audit_dir):
            documents = _documents(record, onnx, place, cyclonedx, intoto)
        if files is not None:
            written = [str(path) for path in write_card(files)]
            print("\n".join(written or [f"{files.card}: unchanged"]), flush=True)
        for path, data in documents:
            write_file(path, data)
            print(path, flush=True)
        _log(record, mlflow, mlflow_run, wandb, terminal)
        if upload is not None:
            _push(upload, terminal, yes=yes)


def _documents(
    record: "Record",
    model: Path | None,
    copy: Path | None,
    cyclonedx: Path | None,
    intoto: Path | None,
) -> list[tuple[Path, bytes]]:
    from leap_audit.attach.cyclonedx import cyclonedx_of
    from leap_audit.attach.intoto import intoto_of
    from leap_audit.attach.onnx import copy_with_figures

    made = []
    if model is not None and copy is not None:
        made.append((copy, copy_with_figures(record, model, copy)))
    if cyclonedx is not None:
        made.append((cyclonedx, cyclonedx_of(record)))
    if intoto is not None:
        made.append((intoto, intoto_of(record)))
    return made


def _require_outside(audit_dir: Path, places: Iterable[Path | None]) -> None:
    """An audit's folder holds the audit alone, so that it can be verified and replaced."""
    for place in filter(None, places):
        if place.resolve().is_relative_to(audit_dir.resolve()):
            raise OutputRefused(f"{place}: lies in the audit's folder; give a place outside of it.")


def _log(
    record: "Record", mlflow: str | None, run: str | None, wandb: str | None, terminal: "Terminal"
) -> None:
    if mlflow is None and wandb is None:
        return
    from leap_audit.attach.record import figures_of
    from leap_audit.tracking import tracking

    record.require_plain_files()
    entity, _, project = (wandb or "").rpartition("/")
    figures = {figure.label: figure.text for figure in figures_of(record.audit)}
    with tracking(
        project or "leap-audit",
        options=figures,
        wandb_entity=entity or None,
        mlflow_tracking_uri=mlflow,
        mlflow_run_id=run,
        folder=Path("leap_files"),
    ) as logged:
        logged.folder(record.folder, "leap-audit")
    terminal.note(f"{record.folder}: logged as the artifact 'leap-audit'.")


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _push(upload: "Upload", terminal: "Terminal", *, yes: bool) -> None:
    from leap_audit.attach.push import push

    for line in upload.lines():
        terminal.note(line)
    if not yes and not typer.confirm("Upload?", err=True):
        terminal.note("Nothing was uploaded.")
        return
    print(push(upload), flush=True)
