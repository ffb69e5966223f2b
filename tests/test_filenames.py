"""Names of files that are no text, or hide something: shown, and an audit goes to its end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leap_audit.artifacts import Audit
from leap_audit.cli import app
from leap_audit.config import AuditOptions
from leap_audit.publish.folder import default_folder
from leap_audit.text.filenames import legible, plain_name

BYTES = os.fsdecode(b"caf\xe9")
STRANGE = (BYTES, "a\u202egpj", "two\nlines", "bell\x07", "\x1b[31mred", "zero\u200bwidth")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.onnx", "plain name.onnx"),
        ("café 日本", "café 日本"),
        (BYTES, r"caf\xe9"),
        (os.fsdecode(b"\xff\xfe"), r"\xff\xfe"),
        ("a\u202egpj", r"a\u202egpj"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[31m", r"\x1b[31m"),
        ("Screenshot 3.05\u202fPM.png", "Screenshot 3.05\u202fPM.png"),
        ("\ud800", r"\ud800"),
        (Path("a") / BYTES, f"a/{'caf'}\\xe9"),
    ],
)
def test_what_is_shown(name: str, shown: str) -> None:
    assert legible(name) == shown
    assert legible(shown) == shown
    legible(name).encode("utf-8")


def test_folders_and_files_get_names_that_can_be_typed() -> None:
    assert plain_name(BYTES) == "caf_"
    assert plain_name("a\n\u202eb") == "a_b"
    assert default_folder(Path("x") / f"{BYTES}.onnx") == Path("caf_-audit")
    assert default_folder(Path("nets/m.v2.onnx")) == Path("m.v2-audit")


def test_recorded_options_are_text() -> None:
    options = AuditOptions(samples=(Path(BYTES),), labels=Path(f"{BYTES}.csv"))
    assert options.model_dump(mode="json")["samples"] == [r"caf\xe9"]
    assert options.model_dump()["samples"] == (Path(BYTES),)
    options.model_dump_json()


def run(*words: object, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "leap_audit", *map(str, words)],
        cwd=folder,
        capture_output=True,
        check=False,
    )


POLICY = "[checks.classes-reached]\nfail_below = 0.0\n"
QUICK = "[prototype]\nsteps = 2\n[isolation]\nsteps = 2\ngrid = 4\nper_prototype = 1\n"


def test_an_audit_of_such_names(sample_models: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"in {BYTES}\n\u202e"
    folder.mkdir()
    model, names, config = (folder / f"{BYTES}{end}" for end in (".onnx", ".txt", ".toml"))
    policy, pre = folder / f"policy {BYTES}.toml", folder / f"pre {BYTES}\n.json"
    shutil.copy(sample_models / "digits_clean.onnx", model)
    shutil.copy(sample_models / "digits.txt", names)
    config.write_text(QUICK)
    policy.write_text(POLICY)
    pre.write_text('{"range": [0, 1]}')
    picture = sorted(sample_models.glob("pictures/plain/*/*.png"))[0]
    samples = folder / f"samples {BYTES}"
    samples.mkdir()
    for name in STRANGE:
        shutil.copy(picture, samples / f"{name}.png")
    table = folder / f"{BYTES}.csv"
    table.write_text("file,class\nbell\x07.png,0\n")
    out = folder / f"out {BYTES}"
    done = run(
        *(model, "--classes", names, "--config", config, "--policy", policy, "--samples", samples),
        *("--labels", table, "--preprocessing", pre, "--out", out, "--junit", folder / "j.xml"),
        *("--targets", "3", "--seeds", "1", "--top-classes", "1", "--threads", "1", "--json"),
        folder=tmp_path,
    )
    assert done.returncode in (0, 1), done.stderr.decode(errors="replace")
    done.stdout.decode("utf-8")
    done.stderr.decode("utf-8")
    assert b"itself failed" not in done.stderr
    assert json.loads(done.stdout)["folder"].endswith(r"out caf\xe9")
    record = Audit.read(out)
    assert record.model.file == r"caf\xe9.onnx"
    assert record.model.classes_file == r"caf\xe9.txt"
    assert record.policy is not None
    assert record.policy.file == r"policy caf\xe9.toml"
    assert {sample.file for sample in record.samples} == {f"{legible(n)}.png" for n in STRANGE}
    for path in out.iterdir():
        if path.suffix in (".json", ".html", ".csv"):
            text = path.read_text(encoding="utf-8")
            assert not set(text) & {"\u202e", "\u200b", "\x07", "\x1b"}, path
    words = ["verify", str(out), "--model", str(model), "--classes", str(names)]
    checked = CliRunner().invoke(app, words)
    assert "itself failed" not in checked.output
    checked.stdout_bytes.decode("utf-8")


@pytest.mark.parametrize("command", ["gradient", "export", "operators"])
def test_other_commands_take_such_names(
    sample_models: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / f"{BYTES}\n.onnx"
    shutil.copy(sample_models / "digits_clean.onnx", model)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [command, str(model)])
    assert done.exit_code == 0, done.output
    made = {path.name for path in tmp_path.iterdir()} - {model.name}
    assert made == {"gradient": {"caf_.grad.onnx"}, "export": {"caf_.onnx"}}.get(command, set())


@pytest.mark.parametrize("word", ["--classes", "--config", "--policy", "--samples", ""])
def test_what_is_missing_is_one_sentence(sample_models: Path, tmp_path: Path, word: str) -> None:
    missing = str(tmp_path / f"{BYTES}\n")
    model = [str(sample_models / "digits_clean.onnx"), word] if word else []
    done = CliRunner().invoke(
        app, ["audit", *model, missing, "--json", "--out", str(tmp_path / "o")]
    )
    assert done.exit_code == 3
    assert r"caf\xe9\n" in json.loads(done.stdout)["error"]
    assert "itself failed" not in done.output
