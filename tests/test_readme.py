"""What the README shows of gradients runs as it stands."""

import re
import shlex
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from leap_audit.cli import app

README = Path(__file__).resolve().parents[1] / "README.md"
SECTION = README.read_text(encoding="utf-8").split("## The gradient by itself")[1].split("\n## ")[0]


@pytest.fixture
def here(tmp_path: Path, sample_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write to, in which the sample models lie as in a checkout."""
    (tmp_path / "sample_models").symlink_to(sample_models, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands(here: Path) -> None:
    commands = re.findall(r"^leap-audit (.*)$", SECTION, re.MULTILINE)
    assert len(commands) == 2
    for words in commands:
        result = CliRunner().invoke(app, shlex.split(words))
        assert result.exit_code == 0, result.output
    graph = onnx.load(here / "digits.grad.onnx").graph
    assert [value.name for value in graph.input][1:] == ["cotangent"]


def test_the_flags() -> None:
    told = CliRunner().invoke(app, ["gradient", "--help"]).stdout
    rows = [line for line in SECTION.splitlines() if line.startswith("| `--")]
    named = set(re.findall(r"`(--[a-z]+)", " ".join(rows)))
    assert named == {"--batch", "--wrt", "--of", "--shape", "--check", "--rules"}
    assert all(flag in told for flag in named)


@pytest.mark.usefixtures("here")
def test_the_python(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["gradient"].shape == names["x"].shape  # type: ignore[attr-defined]
    assert names["logits"].shape == (8, 10)  # type: ignore[attr-defined]
    assert capsys.readouterr().out.startswith("onnxruntime ")
