"""The commands verify and sign: tables, JSON, exit codes."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner, Result

from leap_audit.cli import app
from leap_audit.cli.verify import PASSWORD, _password_of
from leap_audit.verify import rerun as repeating
from leap_audit.verify import views
from leap_audit.verify.rerun import ChangedField, Rerun
from tests.builders.keys import ec, write_pair
from tests.verify.conftest import Audited


@pytest.fixture(autouse=True)
def _printed_before(original: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing a PDF takes long, and is compared in test_matches.py."""
    pdf = (original.folder / "report.pdf").read_bytes()
    monkeypatch.setattr(views, "print_report", lambda *_: pdf)


def run(*words: object) -> Result:
    environment = {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
    return CliRunner().invoke(app, [str(word) for word in words], env=environment)


def test_everything_in_order(audited: Audited) -> None:
    given = ("--model", audited.model, "--classes", audited.classes, "--samples", audited.photos)
    result = run("verify", audited.folder, *given)
    assert result.exit_code == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["matches"] * 7
    assert "7 compared, 0 do not match; 0 not looked at." in result.stderr
    bare = run("verify", audited.folder)
    assert bare.exit_code == 0
    assert bare.stdout.count("not given") == 3
    assert "3 not looked at" in bare.stderr


def test_what_does_not_match(audited: Audited) -> None:
    (audited.folder / "report.html").write_text("another")
    result = run("verify", audited.folder, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["status"] == "differs"
    assert [each["file"] for each in told["files"] if each["state"] == "differs"] == ["report.html"]
    assert told["rerun"] is None


def test_what_is_no_audit(tmp_path: Path, audited: Audited) -> None:
    assert run("verify", tmp_path / "none").exit_code == 3
    assert run("verify", audited.photos).exit_code == 3
    (audited.folder / "audit.json").write_text("{")
    assert run("verify", audited.folder).exit_code == 3
    assert run("verify", audited.folder, "--key", "k.pem").exit_code == 2


def test_a_repetition_that_differs(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [ChangedField(f"prototypes.{n}.logit", "1.0", "2.0") for n in range(12)]
    again = Rerun(found, ["numpy 1 then, 2 now"])
    monkeypatch.setattr(repeating, "rerun", lambda *_: again)
    result = run("verify", audited.folder, "--rerun")
    assert result.exit_code == 1
    assert "12 fields of audit.json came out differently" in result.stdout
    assert "prototypes.9.logit  1.0  ->  2.0" in result.stdout
    assert "prototypes.10" not in result.stdout
    assert "and 2 more" in result.stdout
    assert "numpy 1 then, 2 now; figures may differ for it" in result.stdout
    monkeypatch.setattr(repeating, "rerun", lambda *_: Rerun([], []))
    result = run("verify", audited.folder, "--rerun")
    assert (result.exit_code, "came out the same" in result.stdout) == (0, True)


def test_sign_and_verify(audited: Audited, tmp_path: Path) -> None:
    private, public = write_pair(tmp_path, "key", ec.SECP256R1())
    result = run("sign", audited.folder, "--key", private)
    signature = Path(result.stdout.strip())
    assert (result.exit_code, signature) == (0, tmp_path / "audit.sig")
    words = ("verify", audited.folder, "--signature", signature, "--key", public)
    assert run(*words).exit_code == 0
    csv = audited.folder / "results.csv"
    csv.write_bytes(csv.read_bytes() + b"\n")
    result = run(*words)
    assert result.exit_code == 1
    assert re.search("^differs +signature", result.stdout, re.MULTILINE)
    assert run("sign", tmp_path / "photos", "--key", private).exit_code == 3


def test_the_password_of_a_key(
    audited: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_pair(tmp_path, "key", ec.SECP256R1(), "secret words")
    monkeypatch.delenv(PASSWORD, raising=False)
    result = run("sign", audited.folder, "--key", private)
    assert (result.exit_code, PASSWORD in result.stderr) == (2, True)
    monkeypatch.setenv(PASSWORD, "secret words")
    result = run("sign", audited.folder, "--key", private)
    assert (result.exit_code, "secret" in result.stdout + result.stderr) == (0, False)
    signature = Path(result.stdout.strip())
    assert run("verify", audited.folder, "--signature", signature, "--key", public).exit_code == 0
    monkeypatch.delenv(PASSWORD)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    asked: list[str] = []
    monkeypatch.setattr(typer, "prompt", lambda text, **_: asked.append(text) or "secret words")
    assert _password_of(private) == "secret words"
    assert asked == [f"Password of {private}"]
