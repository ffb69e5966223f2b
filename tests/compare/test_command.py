"""leap-audit compare: exit codes, what is printed and what is written."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from leap_audit.cli import app
from leap_audit.cli.examples import EXAMPLES
from leap_audit.compare import page
from tests.builders.sides import finding, make_side


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page, "render_pdf", lambda html, _: b"%PDF " + html[:15].encode())
    make_side(tmp_path / "v1-audit")
    make_side(tmp_path / "v2-audit", {"findings": (finding("planted:0", "high"),)})
    make_side(tmp_path / "failed-audit", {"verdict": "FAIL"})
    make_side(tmp_path / "half-audit", {"status": "incomplete", "verdict": "FAIL"})


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["compare", *words], env={"COLUMNS": "80", "NO_COLOR": "1"})


def test_it_writes_a_folder_and_says_where() -> None:
    result = run("v1-audit", "v2-audit/audit.json")
    assert result.exit_code == 0
    assert result.stdout.strip().endswith(str(Path("v1-v2-compare/comparison.html")))
    assert "high, worse: New: title of planted:0" in result.stderr
    names = {entry.name for entry in Path("v1-v2-compare").iterdir()}
    assert names == {"comparison.json", "comparison.html", "comparison.pdf", "images"}
    told = json.loads(Path("v1-v2-compare/comparison.json").read_text(encoding="utf-8"))
    assert told["schema"] == "leap-audit-comparison/1"
    again = run("v1-audit", "v2-audit")  # an earlier comparison is replaced
    assert again.exit_code == 0
    assert not Path("v1-v2-compare-2").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["v1-audit", "v2-audit", "--fail-on", "high"], 1),
        (["v2-audit", "v1-audit", "--fail-on", "high"], 0),
        (["v1-audit", "failed-audit"], 1),
        (["v1-audit", "failed-audit", "--fail-on", "never"], 0),
        (["v1-audit", "half-audit"], 3),
        (["v1-audit", "none-audit"], 3),
        (["v1-audit", "v2-audit", "--out", "v1-audit"], 3),
        (["v1-audit"], 2),
        (["v1-audit", "v2-audit", "--fail-on", "grave"], 2),
    ],
)
def test_the_exit_code(words: list[str], code: int) -> None:
    before = Path("v1-audit/audit.json").read_bytes()
    assert run(*words).exit_code == code
    assert Path("v1-audit/audit.json").read_bytes() == before


def test_an_incomplete_audit_is_compared_all_the_same() -> None:
    result = run("v1-audit", "half-audit", "--json", "--quiet")
    summary = json.loads(result.stdout)
    assert summary["status"] == "incomplete"
    assert summary["findings"].keys() == {"new", "gone", "still", "unknown"}
    assert "INCOMPLETE" in Path(summary["reports"]["html"]).read_text(encoding="utf-8")


def test_an_audit_is_never_replaced_by_a_comparison() -> None:
    result = run("v1-audit", "v2-audit", "--out", "half-audit")
    assert result.exit_code == 3
    assert "holds something else" in result.stderr


def test_the_help_has_the_examples() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for examples in EXAMPLES["compare"].values():
        for _, line in examples:
            assert line in result.stdout
