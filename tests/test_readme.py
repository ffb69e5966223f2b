"""What README and guides show is true: commands parse, Python runs, figures are measured."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import onnx
import pytest
import typer.main
from typer.testing import CliRunner

from leap_audit.cli import app
from leap_audit.config import AuditOptions
from leap_audit.policy import READY

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GRADIENT = (ROOT / "docs" / "gradient.md").read_text(encoding="utf-8")
PAGES = ["README.md", *(f"docs/{each.name}" for each in sorted((ROOT / "docs").glob("*.md")))]
FACTS: dict[str, Any] = json.loads((ROOT / "docs/sample/facts.json").read_text(encoding="utf-8"))
OVERLAP: dict[str, Any] = json.loads((ROOT / "docs/sample/overlap.json").read_text())


@pytest.fixture
def here(tmp_path: Path, sample_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write to, in which the sample models lie as in a checkout."""
    (tmp_path / "sample_models").symlink_to(sample_models, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(page: str) -> list[list[str]]:
    """Return the words of every leap-audit command in the code blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:bash|yaml|groovy|)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks += re.findall(r"(?:^    leap-audit .*\n)+", text, re.MULTILINE)
    found = []
    for block in blocks:
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            match = re.match(r"\s*(?:- |entry: |\S*/bin/)?leap-audit +(.*)", line)
            if match:
                words = shlex.split(match[1], comments=True)
                found.append(words[: words.index(">")] if ">" in words else words)
    return [each for each in found if each]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_parses(page: str) -> None:
    """Each command and flag exists, and takes these values."""
    program = typer.main.get_command(app)
    for words in commands(page):
        name = words[0] if words[0] in program.commands else "audit"  # type: ignore[attr-defined]
        rest = words[1:] if words[0] == name else words
        command = program.commands[name]  # type: ignore[attr-defined]
        if "--help" in rest:
            continue
        with command.make_context(name, list(rest), resilient_parsing=False) as context:
            assert context.params, words


def test_commands_are_found() -> None:
    assert len(commands("README.md")) >= 5
    assert len(commands("docs/ci.md")) >= 5
    assert ["model.onnx"] in commands("README.md")


def test_a_wrong_command_is_noticed() -> None:
    program = typer.main.get_command(app).commands["compare"]  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="--fial"):
        program.make_context("compare", ["a", "b", "--fial", "high"])


@pytest.mark.usefixtures("here")
def test_the_python_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    quick = "seeds=1, steps=4, isolation={'steps': 2}, photographs=False"
    assert "seeds=1" in code
    names: dict[str, Any] = {}
    exec(code.replace("seeds=1", quick), names)
    card = capsys.readouterr().out
    assert card.startswith("Audit of digits_clean.onnx: complete, 2 of 10 classes")
    assert names["result"].report.name == "report.html"
    assert names["result"].report.exists()


def test_the_python_of_the_guide() -> None:
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/engineer.md").read_text(encoding="utf-8"), re.DOTALL
    )
    called = re.search(r"leap_audit\.audit\((.*)\)", code)
    assert called is not None
    given = set(re.findall(r"(\w+)=", called[1])) - {"classes"}
    assert given <= set(AuditOptions.model_fields)
    for attribute in set(re.findall(r"result\.(\w+)", code)):
        assert attribute in {"audit", "report", "open"}


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)", README):
        assert (ROOT / target).exists(), target


def test_the_policies_that_it_names_exist() -> None:
    assert "first-week" in README
    assert {"first-week", "release", "default"} <= set(READY)


def test_the_figures_are_those_of_the_sample() -> None:
    """docs/sample/facts.json and overlap.json are what `make sample` measured."""
    plain = " ".join(README.split())
    figures = FACTS["experiment"]["figures"]
    corrected, wrong = (f"{figures[name]:g}" for name in ("corrected", "wrong answers"))
    turned, pasted = (f"{figures[name]:g}" for name in ("turned", "pasted into"))
    assert f"corrected {corrected} of {wrong} wrong answers" in plain
    assert f"turned {turned} of {pasted} other photographs" in plain
    assert figures["turned by the control"] == 0
    assert f"*{FACTS['experiment']['title']}. " in plain
    assert FACTS["experiment"]["confirmed"]
    assert f"| {FACTS['right']['old']} | {FACTS['right']['new']} |" in README
    assert f"right on {FACTS['photographs']} photographs" in plain
    assert f"severity high | {len(FACTS['high']['old'])} | none |" in README
    assert FACTS["high"]["new"] == []
    assert OVERLAP["pair"] == ["one", "two"]
    assert f"{OVERLAP['mistakes of the pair']} of the mistakes" in plain
    assert f"makes {OVERLAP['mistakes']} mistakes" in plain
    assert f"reads {OVERLAP['pictures']:,} distorted digits" in plain
    assert f"average pair has {OVERLAP['mean of a pair']}" in plain
    assert f"{OVERLAP['in the first fifth']:.0%}".replace("%", " %") in plain
    assert f"is {OVERLAP['rank correlation']}." in plain


def test_the_commands_of_the_gradient(here: Path) -> None:
    found = re.findall(r"^leap-audit (.*)$", GRADIENT, re.MULTILINE)
    assert len(found) == 2
    for words in found:
        result = CliRunner().invoke(app, shlex.split(words))
        assert result.exit_code == 0, result.output
    graph = onnx.load(here / "digits.grad.onnx").graph
    assert [value.name for value in graph.input][1:] == ["cotangent"]


def test_the_flags_of_the_gradient() -> None:
    told = CliRunner().invoke(app, ["gradient", "--help"]).stdout
    rows = [line for line in GRADIENT.splitlines() if line.startswith("| `--")]
    named = set(re.findall(r"`(--[a-z]+)", " ".join(rows)))
    assert named == {"--batch", "--wrt", "--of", "--shape", "--check", "--rules"}
    assert all(flag in told for flag in named)


@pytest.mark.usefixtures("here")
def test_the_python_of_the_gradient(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GRADIENT, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["gradient"].shape == names["x"].shape  # type: ignore[attr-defined]
    assert names["logits"].shape == (8, 10)  # type: ignore[attr-defined]
    assert capsys.readouterr().out.startswith("onnxruntime ")


def test_the_recipes_that_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in (*PAGES, "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        pattern = r"(?:`|run: |^ *)make ([a-z]+)(?=`| *$| +[#A-Z])"
        for recipe in re.findall(pattern, text, re.MULTILINE):
            assert re.search(rf"^{recipe}:", makefile, re.MULTILINE), f"{page}: make {recipe}"
