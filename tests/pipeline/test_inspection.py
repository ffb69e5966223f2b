"""A dry run says what an audit would say before its long work, and writes nothing."""

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from typer.testing import CliRunner

import leap_audit
from leap_audit.cli import app
from leap_audit.errors import ClassesRefused
from leap_audit.progress import Advance
from tests.builders.running import TINY


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(text)

    def stage(self, name: str, total: int) -> AbstractContextManager[Advance]:
        from leap_audit.progress import Silent

        return Silent().stage(name, total)


def test_a_dry_run_says_what_an_audit_says(
    sample_models: Path, tmp_path: Path, unprinted: None
) -> None:
    model, names = sample_models / "digits_shortcut.onnx", sample_models / "digits.txt"
    dry, whole = Heard(), Heard()
    settings = {**TINY, "targets": "3,7", "seeds": 2}
    found = leap_audit.inspect(model, names, progress=dry, **settings)
    leap_audit.audit(model, names, progress=whole, out=tmp_path / "audit", **settings)

    def without_time(lines: list[str]) -> list[str]:
        return [line.partition(": about")[0] for line in lines]

    assert without_time(dry.lines) == without_time(whole.lines)[: len(dry.lines)]
    assert dry.lines[-1].startswith("Plan: 2 of 10 classes from 2 seeds, ")
    assert (found.plan.classes, found.plan.seeds, found.plan.classes_in_all) == (2, 2, 10)
    assert found.classes[3] == "three"
    assert found.plan.seconds > 0


def test_the_command_writes_nothing(
    sample_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(sample_models / "digits_shortcut.onnx"), "--dry-run", "--json"]
    words += ["--samples", str(sample_models / "pictures" / "marked")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout[done.stdout.index("{") :])
    assert said["status"] == "dry run"
    assert said["model"]["task"] == "classification"
    assert said["plan"]["isolations"] > said["plan"]["classes"]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_an_audit_refuses(sample_models: Path) -> None:
    with pytest.raises(ClassesRefused, match="2 class names"):
        leap_audit.inspect(sample_models / "digits_shortcut.onnx", ["one", "two"])
