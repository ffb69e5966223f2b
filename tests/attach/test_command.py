"""The command attach: what it asks for, refuses and prints; the list of ways that it reads."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from leap_audit.attach import push as pushed
from leap_audit.attach.record import Record
from leap_audit.attach.ways import WAYS
from leap_audit.cli import app
from tests.attach.conftest import Made

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

command = import_module("leap_audit.cli.attach")
PAGE = Path(__file__).parents[2] / "docs" / "with-the-model.md"


def run(*words: object, answer: str | None = None) -> Result:
    environment = {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
    return CliRunner().invoke(app, ["attach", *map(str, words)], input=answer, env=environment)


@pytest.mark.parametrize("name", WAYS)
def test_every_way_is_an_option_and_described(name: str) -> None:
    way = WAYS[name]
    page = PAGE.read_text(encoding="utf-8")
    said = run("--help").stdout
    assert (way.flag or way.metavar) in said
    assert way.about.split(",")[0] in said
    assert f"`{way.flag or 'leap-audit attach'}" in page
    assert not way.extra or f"leap-audit[{way.extra}]" in page


def test_everything_at_once(made: Made, judged: dict[str, Any], tmp_path: Path) -> None:
    record = made(**judged)
    card, bom, statement = (tmp_path / name for name in ("README.md", "bom.json", "result.json"))
    words = (record.folder, card, "--cyclonedx", bom, "--intoto", statement)
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    written = {Path(line) for line in result.stdout.splitlines()}
    assert written == {
        card,
        bom,
        statement,
        tmp_path / "leap-audit/prototypes.png",
        tmp_path / "leap-audit/report.pdf",
    }
    assert all(path.is_file() for path in written)
    assert json.loads(statement.read_text())["predicate"]["result"] == "FAILED"
    again = run(*words[:2])
    assert again.stdout == f"{card}: unchanged\n"


def test_a_refusal_leaves_everything_as_it_was(record: Record, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("<!-- leap-audit:start -->\n")
    before = sorted(tmp_path.rglob("*"))
    result = run(record.folder, card, "--cyclonedx", tmp_path / "bom.json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "the marks of its leap-audit section are broken" in result.stderr
    assert card.read_text() == "<!-- leap-audit:start -->\n"
    card.unlink()
    result = run(record.folder, card, "--intoto", tmp_path / "x.json")  # no verdict to state
    assert result.exit_code == 3
    assert sorted(tmp_path.rglob("*")) == [path for path in before if path != card]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ((), 2, "nothing to attach to"),
        (("README.md", "--create-pr"), 2, "--push uploads a card"),
        (("--cyclonedx", "b.json", "--push", "me/m"), 2, "--push uploads a card"),
        (("README.md", "--push", "me/m"), 2, "add --yes"),
        (("README.md", "--push", "me/m", "--report", "link", "--yes"), 2, "as a copy"),
        (("README.md", "--mlflow-run", "x"), 2, "goes with --mlflow"),
        (("README.md", "-o", "x.onnx"), 2, "--out with --onnx"),
        (("--wandb", "project"), 2, "ENTITY/PROJECT"),
    ],
)
def test_words_that_do_not_fit(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any, code: int, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = run(record.folder, *words)
    assert result.exit_code == code
    assert why in " ".join(result.stderr.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_places_that_are_refused(record: Record, tmp_path: Path) -> None:
    result = run(record.folder, record.folder / "README.md")
    assert result.exit_code == 3
    assert "lies in the audit's folder" in " ".join(result.stderr.split())
    assert run(tmp_path / "none", tmp_path / "README.md").exit_code == 3


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_push_says_what_it_does_and_asks(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    sent: list[pushed.Upload] = []

    def push(upload: pushed.Upload) -> str:
        sent.append(upload)
        return "https://hub.example/pr/1"

    monkeypatch.setattr(pushed, "push", push)
    words = (record.folder, tmp_path / "README.md", "--push", "me/model", "--create-pr")
    monkeypatch.setattr(command, "_can_ask", lambda: True)
    result = run(*words, answer=answer)
    assert result.exit_code == 0, result.stderr
    told = " ".join(result.stderr.split())
    assert "as a pull request to me/model" in told
    assert told.index("README.md, ") < told.index("Upload?")
    assert ("hub.example" in result.stdout) is (answer == "y")
    assert len(sent) == (answer == "y")
    assert ("Nothing was uploaded" in told) is (answer == "n")


def test_a_push_that_was_agreed_to_beforehand(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushed, "push", lambda _: "https://hub.example/commit/1")
    result = run(record.folder, tmp_path / "README.md", "--push", "me/model", "--yes")
    assert result.exit_code == 0
    assert "straight into the main branch of me/model" in " ".join(result.stderr.split())
    assert result.stdout.endswith("https://hub.example/commit/1\n")
