"""The command line: words become options, results go to stdout, errors are one sentence."""

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner, Result

from leap_audit import __version__
from leap_audit.artifacts import (
    Audit,
    Coverage,
    Environment,
    Finding,
    ModelIdentity,
    PolicyIdentity,
    Preprocessing,
)
from leap_audit.cli import app
from leap_audit.cli.examples import EXAMPLES
from leap_audit.config import AuditOptions
from leap_audit.errors import AuditIncomplete, FlatGradient, ModelRefused
from leap_audit.gradient import Agreement
from leap_audit.run import Session, choose_provider
from tests.builders.classifiers import write_model

Call = dict[str, Any]


def an_audit(**changes: Any) -> Audit:
    asked = Preprocessing(
        layout="NCHW",
        channel_order="RGB",
        range=(0, 1),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        resize="crop",
        input_size=(8, 8),
    )
    model = ModelIdentity(
        file="m.onnx",
        sha256="0" * 64,
        opset=21,
        parameters=1,
        inputs=(),
        outputs=(),
        layout="NCHW",
        preprocessing=asked,
        task="classification",
        size_bytes=1,
        logits="output",
    )
    fields: dict[str, Any] = {
        "status": "complete",
        "model": model,
        "classes": ("cat", "dog"),
        "environment": Environment(
            versions={}, provider="CPU", seed=0, threads=1, command="", started="", seconds=1.5
        ),
        "config": {},
        "coverage": Coverage(classes_audited=1, classes_in_all=2, operators={}, engine="graph"),
        "findings": (
            Finding(id="f", severity="high", title="[bold]x\x1b[31m", evidence="", limits=""),
        ),
    }
    return Audit(**fields | changes)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What the command asks of the pipeline; its answer is in the call's place 'answer'."""
    made: list[Call] = []
    pretend(monkeypatch, made, lambda: an_audit())
    return made


def pretend(monkeypatch: pytest.MonkeyPatch, made: list[Call], answer: Callable[[], Audit]) -> None:
    def audit(model: Path, classes: Path | None, *, out: Path, **more: Any) -> SimpleNamespace:
        made.append({"model": model, "classes": classes, "out": out, **more})
        return SimpleNamespace(folder=Path(out), audit=answer())

    module = ModuleType("leap_audit.pipeline")
    module.audit = audit  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "leap_audit.pipeline", module)
    monkeypatch.setattr("leap_audit.pipeline", module, raising=False)


def run(*words: str, width: int = 80) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": str(width), "NO_COLOR": "1"})


def test_a_model_alone_is_an_audit(calls: list[Call]) -> None:
    result = run("nets/m.v2.onnx")
    assert result.exit_code == 0
    assert result.stdout == f"{Path('m.v2-audit/report.html')}\n"
    assert calls[0]["model"] == Path("nets/m.v2.onnx")
    assert calls[0]["out"] == Path("m.v2-audit")
    assert calls[0]["classes"] is None
    assert calls[0]["options"] == AuditOptions()
    assert calls[0]["command"] == "leap-audit nets/m.v2.onnx"


def test_the_command_may_be_named_and_flags_may_come_first(calls: list[Call]) -> None:
    for words in (["audit", "m.onnx", "-q"], ["-q", "m.onnx"], ["--", "m.onnx"]):
        assert run(*words).exit_code == 0
        assert calls.pop()["model"] == Path("m.onnx")


def test_without_words_the_help(calls: list[Call]) -> None:
    texts = [run(*words) for words in ([], ["help"], ["--help"])]
    assert [result.exit_code for result in texts] == [0, 0, 0]
    assert texts[0].stdout == texts[1].stdout == texts[2].stdout
    assert "leap-audit model.onnx" in texts[0].stdout
    assert run("help", "compare").stdout == run("compare", "--help").stdout
    assert calls == []


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("comapre a b", "'leap-audit compare'"),
        ("Doctor", "'leap-audit doctor'"),
        ("help verfy", "'leap-audit verify'"),
        ("help zzz", "There is no command 'zzz'"),
        ("m.onnx --polcy p.toml", "--policy"),
        ("compare a b --fail high", "--fail-on"),
    ],
)
def test_the_nearest_command_and_flag(calls: list[Call], words: str, near: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert near in " ".join(result.stderr.split())
    assert calls == []


def test_a_file_that_is_called_nearly_like_a_command(
    calls: list[Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compared").touch()
    assert run("compared").exit_code == 0
    assert calls[0]["model"] == Path("compared")


def test_the_flags_are_spelt_as_documented(calls: list[Call]) -> None:
    words = (
        "m.onnx --classes c.txt --layout nhwc --channel-order BGR --range -1,1 "
        "--mean 103.939,-116.779,123.68 --std 1 --resize stretch --input-size 192x256 "
        "--targets 1,8 --targets all --samples a --samples b/ --top-classes 2 --seed 7 "
        "--steps 9 --threads 2 --batch 4 --provider cpu --out audit/ "
        "--task Multi-Label --region 0,0.25,1,0.5 --labels l.csv --no-photographs"
    )
    assert run(*words.split()).exit_code == 0
    (call,) = calls
    assert (call["classes"], call["out"]) == (Path("c.txt"), Path("audit"))
    assert call["command"] == f"leap-audit {words}"
    options = call["options"]
    assert options.preprocessing.model_dump(exclude_unset=True) == {
        "layout": "NHWC",
        "channel_order": "BGR",
        "range": (-1, 1),
        "mean": (103.939, -116.779, 123.68),
        "std": (1,),
        "resize": "stretch",
        "input_size": (192, 256),
    }
    assert (options.task, options.region) == ("multi-label", (0, 0.25, 1, 0.5))
    assert options.targets == ("1,8", "all")
    assert options.samples == (Path("a"), Path("b"))
    assert (options.labels, options.photographs) == (Path("l.csv"), False)
    assert (options.top_classes, options.seed, options.prototype.steps) == (2, 7, 9)
    assert (options.threads, options.batch, options.provider) == (2, 4, "cpu")


def test_the_values_of_other_inputs(calls: list[Call]) -> None:
    words = (
        "m.onnx --input x:0 --set training=False --set keep=0.5 --set size=224,224 --set n=-3 "
        "--set mask=a=b.npy --signature predict"
    )
    assert run(*words.split()).exit_code == 0
    options = calls[0]["options"]
    assert (options.input, options.signature) == ("x:0", "predict")
    sizes = options.set.pop("size")
    assert sizes.tolist() == [224, 224]
    assert options.set == {"training": False, "keep": 0.5, "n": -3, "mask": "a=b.npy"}
    for wrong in ("training", "=3", "a="):
        assert run("m.onnx", "--set", wrong).exit_code == 2
    assert run("m.onnx", "--set", "a=1", "--set", "a=2").exit_code == 2


def test_words_win_over_files(calls: list[Call], tmp_path: Path) -> None:
    (tmp_path / "o.toml").write_text(
        "seed = 1\nthreads = 3\n[preprocessing]\nlayout = 'NHWC'\nmean = 1\nstd = 2\n"
    )
    (tmp_path / "p.json").write_text('{"mean": 5, "std": 6}')
    files = ["--config", str(tmp_path / "o.toml"), "--preprocessing", str(tmp_path / "p.json")]
    assert run("m.onnx", *files, "--seed", "2", "--std", "7").exit_code == 0
    options = calls[0]["options"]
    assert (options.seed, options.threads) == (2, 3)
    declared = options.preprocessing
    assert (declared.layout, declared.mean, declared.std) == ("NHWC", (5,), (7,))


@pytest.mark.parametrize(
    "words",
    [
        "m.onnx --task boxes",
        "m.onnx --region 0,1",
        "m.onnx --range x",
        "m.onnx --range 1",
        "m.onnx --range nan,1",
        "m.onnx --mean 1,,2",
        "m.onnx --std inf",
        "m.onnx --input-size big",
        "m.onnx --input-size -3",
        "m.onnx --seed x",
        "m.onnx --steps 0",
        "m.onnx --layout CHWN",
        "m.onnx --no-such-flag",
        "m.onnx n.onnx",
        "--quiet",
        "gradient m.onnx --batch 0",
        "gradient m.onnx --rules saliency",
    ],
)
def test_wrong_words_end_with_2(calls: list[Call], words: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert not calls
    assert result.stdout == ""
    assert "Usage:" in result.stderr


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("o.toml", "seeed = 1", "unknown option 'seeed'; did you mean 'seed'"),
        ("o.toml", "seed = -1", "seed: "),
        ("o.json", "{", "is not valid JSON"),
        ("none.toml", None, "No such file"),
    ],
)
def test_a_refused_file_of_options_ends_with_3(
    calls: list[Call], tmp_path: Path, file: str, text: str | None, says: str
) -> None:
    if text:
        (tmp_path / file).write_text(text)
    result = run("m.onnx", "--config", str(tmp_path / file))
    assert result.exit_code == 3
    assert not calls
    assert result.stderr.startswith("error: ")
    assert file in result.stderr
    assert says in result.stderr


def test_a_summary_for_programs(calls: list[Call]) -> None:
    result = run("m.onnx", "--json", "--quiet")
    summary = json.loads(result.stdout)
    assert summary["folder"] == "m-audit"
    assert summary["reports"]["html"] == str(Path("m-audit/report.html"))
    assert (summary["status"], summary["verdict"]) == ("complete", "NOT ASSESSED")
    assert (summary["classes_audited"], summary["classes_in_all"]) == (1, 2)
    assert summary["findings_by_severity"] == {"high": 1}
    assert summary["concern"] == "high"
    (finding,) = summary["findings"]
    assert (finding["id"], finding["severity"]) == ("f", "high")
    assert finding["title"] == "[bold]x\x1b[31m"
    assert result.stderr == ""


def test_the_end_in_words_is_harmless(calls: list[Call]) -> None:
    result = run("m.onnx")
    assert "Complete: 1 of 2 classes, 0 photographs. Verdict: NOT ASSESSED." in result.stderr
    assert r"high: [bold]x\x1b[31m" in result.stderr


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"verdict": "FAIL"}, 1),
        ({"verdict": "PASS"}, 0),
        ({"verdict": "WARN"}, 0),
        ({}, 0),
        ({"policy": PolicyIdentity(name="x", file="", sha256="")}, 3),
        ({"verdict": "FAIL", "status": "incomplete"}, 3),
    ],
)
def test_the_exit_code_is_the_verdict(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], code: int
) -> None:
    pretend(monkeypatch, [], lambda: an_audit(**changes))
    assert run("m.onnx").exit_code == code


def _raising(error: BaseException) -> Callable[[], Audit]:
    def answer() -> Audit:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModelRefused("m.onnx: is [red]not\x1b[31m ONNX."), r"m.onnx: is [red]not\x1b[31m ONNX."),
        (AuditIncomplete("Interrupted; see m-audit."), "Interrupted; see m-audit."),
        (KeyboardInterrupt(), "nothing was written"),
        (MemoryError(), "not enough memory"),
        (
            OSError(28, "No space left on device", "/x/y"),
            "/x/y: No space left on device: the disk is full. Make room there",
        ),
        (ZeroDivisionError("by [zero]"), "itself failed (ZeroDivisionError: by [zero])"),
    ],
)
def test_every_failure_is_a_sentence_and_3(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, says: str
) -> None:
    pretend(monkeypatch, [], _raising(error))
    result = run("m.onnx", width=200)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in run("m.onnx", "--debug").stderr
    told = json.loads(run("m.onnx", "--json").stdout)
    incomplete = isinstance(error, AuditIncomplete)
    assert told["status"] == ("incomplete" if incomplete else "refused")


def test_the_gradient_of_a_model_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x_grad", 1, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["x_grad"])
    graph = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [value]))
    asked: list[Any] = []

    def build_gradient(model: Any, **given: Any) -> Any:
        asked.append((model, {name: value for name, value in given.items() if value}))
        warnings.warn("Round stands in the way", FlatGradient, stacklevel=1)
        return graph

    module = ModuleType("leap_audit.gradient")
    module.build_gradient = build_gradient  # type: ignore[attr-defined]
    module.check_gradient = lambda *_: Agreement(0.5, 6)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "leap_audit.gradient", module)
    monkeypatch.chdir(tmp_path)
    write_model(Path("m.onnx"), [("Relu", ["x"], "y")], {}, outputs=[("y", ("n", 1, 8, 8))])
    result = run("gradient", "m.onnx")
    assert result.stdout == "m.grad.onnx: 1 nodes, outputs x_grad\n"
    assert onnx.load("m.grad.onnx") == graph
    assert run("gradient", "m.onnx", "-o", "n.onnx", "--batch", "4").exit_code == 0
    assert [given for _, given in asked] == [{"batch": 1}, {"batch": 4}]
    assert all(model == onnx.load("m.onnx") for model, _ in asked)
    assert "warning: Round stands in the way" in result.stderr
    more = ["--wrt", "a", "--wrt", "b", "--of", "c", "--shape", "x=3,8,9"]
    assert run("gradient", "m.onnx", *more).exit_code == 0
    shapes = {"x": (3, 8, 9)}
    assert asked[-1][1] == {"batch": 1, "wrt": ["a", "b"], "of": "c", "shapes": shapes}
    assert run("gradient", "m.onnx", "--shape", "x=0").exit_code == 2
    wrong = run("gradient", "m.onnx", "-o", "wrong.onnx", "--check")
    assert wrong.exit_code == 3
    assert "5.0e-01 apart" in wrong.stderr
    assert not Path("wrong.onnx").exists()
    assert run("gradient", "m.onnx", "--rules", "Guided").stdout.endswith(", rules guided\n")
    assert asked[-1][1] == {"batch": 1, "rules": "guided"}
    refused = run("gradient", "m.onnx", "-o", "m.onnx")
    assert refused.exit_code == 3
    assert "is the model itself" in refused.stderr
    assert run("gradient", "m.onnx", "-o", "none/n.onnx").exit_code == 3


def test_the_operators_are_listed() -> None:
    everything, missing = run("operators"), run("operators", "--missing")
    assert (everything.exit_code, missing.exit_code) == (0, 0)
    lines = everything.stdout.splitlines()
    assert any(re.match(r"Sigmoid +rule +dx = dy \* y", line) for line in lines)
    names = [line.split()[0] for line in lines if re.match(r"\S+ +missing", line)]
    assert [line.split()[0] for line in missing.stdout.splitlines()] == names
    assert f"{len(lines)} operators: " in everything.stderr


def test_the_operators_of_a_model_are_listed(
    sample_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(sample_models / "digits_clean.onnx")
    result = run("operators", model)
    assert result.exit_code == 0
    assert re.search(r"^Conv +rule +4 +\S+, \S+, \S+, and 1 more$", result.stdout, re.MULTILINE)
    assert "5 operators: 5 rule." in result.stderr
    assert run("operators", model, "--missing").stdout == ""
    from leap_audit.gradient import RULES

    monkeypatch.delitem(RULES, "MaxPool")
    refused = run("operators", model, "--missing")
    assert refused.exit_code == 3
    assert re.fullmatch(r"MaxPool  missing  3  \S+, \S+, \S+\n", refused.stdout)
    assert "error: " in refused.stderr
    assert "no gradient rule for: MaxPool (3 nodes" in refused.stderr
    assert run("operators", "none.onnx").exit_code == 3


def test_the_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"leap-audit {__version__}\n")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["--help"], "leap-audit"),
        (["m.onnx", "-h"], "audit"),
        *(([command, "--help"], command) for command in EXAMPLES if command != "leap-audit"),
    ],
)
def test_help_teaches_with_examples(words: list[str], command: str, width: int) -> None:
    result = run(*words, width=width)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= width
    for title, examples in EXAMPLES[command].items():
        assert title in result.stdout
        for _, line in examples:
            assert line.split("\n")[0] in result.stdout
    assert "..." not in result.stdout.partition("Commands:")[2]


def test_every_flag_of_the_examples_exists(calls: list[Call]) -> None:
    helps = "".join(run(command, "-h").stdout for command in EXAMPLES if command != "leap-audit")
    known = set(re.findall(r"--[a-z-]+", helps))
    words = [line for panels in EXAMPLES.values() for panel in panels.values() for _, line in panel]
    assert set(re.findall(r"--[a-z-]+", " ".join(words))) <= known


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_help_and_version_import_nothing_heavy(word: str) -> None:
    code = (
        f"import sys\nfrom leap_audit.cli import main\nsys.argv = ['leap-audit', '{word}']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print({'numpy', 'onnx', 'onnxruntime', 'pydantic', 'PIL', 'rich'} & set(sys.modules))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "set()"


def test_python_m_is_the_same() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "leap_audit", "none.onnx", "--range", "x"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert told.returncode == 2
    assert "Usage: leap-audit audit" in told.stderr


def test_export_writes_what_an_audit_reads(sample_models: Path, tmp_path: Path) -> None:
    model = sample_models / "digits_clean.onnx"
    plain, canonical = tmp_path / "plain.onnx", tmp_path / "canonical.onnx"
    assert run("export", str(model), "-o", str(plain)).exit_code == 0
    result = run("export", str(model), "-o", str(canonical), "--canonical")
    assert result.exit_code == 0
    assert "opset 21" in result.stdout
    pictures = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    want, *others = (
        Session(onnx.load(path), choose_provider("cpu"), 1).run({"picture": pictures})[0]
        for path in (model, plain, canonical)
    )
    for have in others:
        np.testing.assert_allclose(have, want, atol=1e-4)


def test_export_never_writes_over_the_model(sample_models: Path, tmp_path: Path) -> None:
    model = tmp_path / "digits_clean.onnx"
    model.write_bytes((sample_models / "digits_clean.onnx").read_bytes())
    before = model.read_bytes()
    result = run("export", str(model), "-o", str(model))
    assert result.exit_code == 3
    assert "is the model itself" in result.stderr
    assert model.read_bytes() == before
