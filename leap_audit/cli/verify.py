"""leap-audit verify, sign: whether everything is still what was audited, and who says so."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from leap_audit.cli import record_flags as flags
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app
from leap_audit.cli.trust import TrustModel
from leap_audit.errors import UsageError
from leap_audit.text.lists import columns

if TYPE_CHECKING:
    from leap_audit.verify.matches import Row
    from leap_audit.verify.rerun import Rerun

__all__: list[str] = []

PASSWORD = "LEAP_AUDIT_KEY_PASSWORD"
"""The environment variable that holds the password of an encrypted key."""
SHOWN = 10
"""Differences of a repetition that are printed."""

ABOUT_VERIFY = (
    "Compare an audit with the files that it was made of, and its report with audit.json.\n\n"
    "Files that are not given are named as not looked at. The exit code is 1 if anything does not "
    "match. Whoever can change audit.json can change its hashes too: only a signature, made where "
    "that person has no key, shows that."
)
ABOUT_SIGN = (
    "Sign everything in the folder of an audit, into a file beside it.\n\n"
    "Neither a network nor an account is needed, only a private key; [bold]leap-audit verify "
    "--signature[/] checks it with the public one. The password of an encrypted key is asked for, "
    f"or read from the environment variable {PASSWORD}."
)


@app.command(
    cls=Command, help=ABOUT_VERIFY, short_help="Check whether an audit still matches its files."
)
def verify(
    audit_dir: flags.AuditDir,
    model: flags.Model = None,
    classes: flags.Classes = None,
    samples: flags.Samples = None,
    rerun: flags.Rerun = False,
    trust_model: TrustModel = False,
    signature: flags.Signature = None,
    key: flags.PublicKey = None,
    as_json: flags.Json = False,
    debug: flags.Debug = False,
) -> None:
    """Print what matches and what does not."""
    with answering(debug=debug, as_json=as_json, trust=trust_model) as terminal:
        if (signature is None) != (key is None):
            raise UsageError("--signature and --key go together: the file and the public key.")
        from leap_audit.attach.record import Record
        from leap_audit.ingest.audits import refusing_what_cannot_be_shown
        from leap_audit.verify.matches import WRONG, match_files, match_folder
        from leap_audit.verify.rerun import rerun as repeated
        from leap_audit.verify.signature import verify_signature
        from leap_audit.verify.views import match_views

        record = Record.read(audit_dir, altered=True)
        audit = record.audit
        rows = match_files(audit, model, classes, samples or [])
        rows += match_folder(audit, audit_dir)
        with refusing_what_cannot_be_shown(audit_dir):
            rows += match_views(audit, audit_dir, record.pictures)
        if signature is not None and key is not None:
            rows.append(verify_signature(audit_dir, signature, key))
        again = repeated(audit, model, classes, samples or [], terminal) if rerun else None
        wrong = [row for row in rows if row.state in WRONG]
        holds = not wrong and not (again and again.differences)
        if as_json:
            print(json.dumps(_for_programs(rows, again, holds), indent=2), flush=True)
        else:
            lines = columns([(row.state, row.kind, row.file, row.about) for row in rows])
            print("\n".join([*lines, *_repeated(again)]), flush=True)
        looked = sum(row.state in {"matches", *WRONG} for row in rows)
        terminal.note(
            f"{looked} compared, {len(wrong)} do not match; {len(rows) - looked} not looked at."
        )
    if not holds:
        raise typer.Exit(1)


@app.command(cls=Command, help=ABOUT_SIGN, short_help="Sign the folder of an audit.")
def sign(
    audit_dir: flags.AuditDir,
    key: flags.PrivateKey,
    out: flags.SignatureOut = None,
    debug: flags.Debug = False,
) -> None:
    """Sign the folder, and print where the signature is."""
    with answering(debug=debug) as terminal:
        from leap_audit.attach.record import Record
        from leap_audit.verify.signature import default_signature, sign_folder

        record = Record.read(audit_dir)
        if record.audit.status != "complete":
            terminal.warn("The audit is incomplete; the signature does not make it whole.")
        place = out or default_signature(audit_dir)
        sign_folder(audit_dir, key, place, _password_of(key))
        print(place, flush=True)


def _password_of(key: Path) -> str | None:
    """Return the password of a private key, from the environment or the keyboard."""
    from leap_audit.verify.signature import is_encrypted

    if not is_encrypted(key):
        return None
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    if not sys.stdin.isatty():
        raise UsageError(
            f"{key}: is encrypted; put its password into the environment variable {PASSWORD}, or "
            "run the command in a terminal, where it asks."
        )
    return str(typer.prompt(f"Password of {key}", hide_input=True, err=True))


def _repeated(again: "Rerun | None") -> list[str]:
    if again is None:
        return []
    if not again.differences:
        said = ["matches  rerun  every field of audit.json came out the same"]
    else:
        shown = again.differences[:SHOWN]
        count = len(again.differences)
        said = [f"differs  rerun  {count} fields of audit.json came out differently"]
        said += columns([("", each.path, each.then, "->", each.now) for each in shown])
        said += [f"  and {count - SHOWN} more"] if count > SHOWN else []
    return said + [f"  {line}; figures may differ for it" for line in again.versions]


def _for_programs(rows: "list[Row]", again: "Rerun | None", holds: bool) -> dict[str, Any]:
    return {
        "status": "matches" if holds else "differs",
        "files": [asdict(row) for row in rows],
        "rerun": asdict(again) if again else None,
    }
