"""With SOURCE_DATE_EPOCH two runs of the same audit give the same bytes, wherever they run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "sample_models"
WORDS = ["--targets", "1,2", "--steps", "2", "--seeds", "2", "--classes", "digits.txt"]
WORDS += ["--config", "few.toml"]
PHOTOGRAPHS = ["one", "two"]
"""Classes whose photographs are explained: those of all take most of the time."""
FEW = "[experiments]\nhosts = 6\ncarriers = 1\nsearch_steps = 1\nsearch_pictures = 2\n"
FEW += "[isolation]\nsteps = 2\ngrid = 4\nper_prototype = 1\n"


def audited(folder: Path, **variables: str) -> dict[str, bytes]:
    folder.mkdir(parents=True)
    shutil.copy(SAMPLES / "digits_clean.onnx", folder)
    shutil.copy(SAMPLES / "digits.txt", folder)
    (folder / "few.toml").write_text(FEW)
    for name in PHOTOGRAPHS:
        shutil.copytree(SAMPLES / "pictures" / "plain" / name, folder / "plain" / name)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)}
    samples = ["--samples", str(folder / "plain")]  # a place of its own
    subprocess.run(
        [sys.executable, "-m", "leap_audit", "digits_clean.onnx", *WORDS, *samples, "--out", "out"],
        env=environment | {"SOURCE_DATE_EPOCH": "1700000000"} | variables,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    out = folder / "out"
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    """One takes longer than a second, so that the other begins in another."""
    first = audited(tmp_path / "a", TZ="UTC", LC_ALL="C")
    variables = {"TZ": "Pacific/Auckland", "LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8"}
    second = audited(tmp_path / "b" / "elsewhere", **variables, PYTHONHASHSEED="7")
    assert {"audit.json", "report.html", "report.pdf", "results.csv"} <= first.keys()
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert b"2023-11-14T22:13:20" in first["audit.json"]


def test_a_time_that_is_none(tmp_path: Path) -> None:
    from leap_audit.errors import ConfigRefused
    from leap_audit.pipeline.environment import now

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "yesterday")
        with pytest.raises(ConfigRefused, match="SOURCE_DATE_EPOCH=yesterday: is no number"):
            now()


@pytest.fixture
def _heard() -> Iterator[None]:
    """Let a child hear SIGINT, which the tests themselves ignore where a shell put them aside."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM")
@pytest.mark.usefixtures("_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_finished_survives_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    model = str(SAMPLES / "digits_clean.onnx")
    words = [sys.executable, "-m", "leap_audit", model, "--steps", "20000", "--out", "out"]
    words += ["--targets", "1"]
    with subprocess.Popen(
        words, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Prototypes"):
                break
        time.sleep(0.2)
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(120) == 3
    assert "INCOMPLETE" in said
    assert '"status": "incomplete"' in (tmp_path / "out" / "audit.json").read_text()
