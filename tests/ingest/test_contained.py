"""Whatever a child does, what comes back is its result or one sentence."""

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from leap_audit import errors
from leap_audit.config import AuditOptions
from leap_audit.ingest.sandbox.parent import GIB, Limits, run_in_child
from leap_audit.ingest.sandbox.unpickler import DataUnpickler
from tests.builders import misbehaviour

LIMITS = Limits(memory=GIB, seconds=60)
MODEL = Path("m.onnx")


@pytest.fixture(autouse=True)
def _in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAP_AUDIT_CONTAINED", "LEAP_AUDIT_MEMORY", "LEAP_AUDIT_SECONDS"):
        monkeypatch.delenv(name, raising=False)


def test_the_result_comes_back() -> None:
    assert run_in_child(misbehaviour.doubled, "ab", times=3, limits=LIMITS) == "ababab"


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (misbehaviour.crash, "crashed (segmentation fault)"),
        (misbehaviour.abort, "needed more memory than it may have (1.0 GiB)"),
        (misbehaviour.swell, "needed more memory than it may have (1.0 GiB)"),
        (misbehaviour.stumble, "failed (KeyError: 'shape')"),
        (misbehaviour.forged, "gave an answer that is no data"),
    ],
)
def test_an_end_is_a_sentence(function: Callable[[Path], Any], says: str) -> None:
    with pytest.raises(errors.ModelRefused) as caught:
        run_in_child(function, MODEL, limits=LIMITS)
    sentence = str(caught.value)
    assert sentence.startswith(f"m.onnx: reading it {says}")
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert str(caught.value.__cause__)


def test_what_takes_too_long_is_ended() -> None:
    begun = time.monotonic()
    with pytest.raises(errors.ModelRefused, match=r"took longer than 1 s; .*LEAP_AUDIT_SECONDS=2"):
        run_in_child(misbehaviour.hang, MODEL, limits=Limits(GIB, 1))
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("refuse", [misbehaviour.refuse, misbehaviour.refuse_in_its_own_words])
def test_a_refusal_keeps_its_class_and_its_traceback(refuse: Callable[[Path], None]) -> None:
    with pytest.raises(errors.TargetRefused, match=r"^m.onnx: is not a class\.$") as caught:
        run_in_child(refuse, MODEL, limits=LIMITS)
    assert type(caught.value) is errors.TargetRefused
    assert f"in {refuse.__name__}" in str(caught.value.__cause__)


def test_warnings_are_warned_again() -> None:
    with pytest.warns(errors.FlatGradient, match="no gradient passes through: Round"):
        assert run_in_child(misbehaviour.warn, MODEL, limits=LIMITS) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(errors.FlatGradient):
            run_in_child(misbehaviour.warn, MODEL, limits=LIMITS)


def test_what_is_printed_stays_out_of_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_in_child(misbehaviour.chatter, MODEL, limits=LIMITS) == "answer"
    assert capfd.readouterr() == ("", "")


def test_a_large_result() -> None:
    found = run_in_child(misbehaviour.large, 300, limits=LIMITS)
    assert found.nbytes == 300 << 20
    assert not found[:: 1 << 20].any()


def _children() -> set[str]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_interruption_ends_the_child() -> None:
    before = _children()
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_in_child(misbehaviour.hang, MODEL, limits=LIMITS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert _children() <= before


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_the_child_ends_with_its_parent() -> None:
    program = (
        "from pathlib import Path; from tests.builders import misbehaviour\n"
        "from leap_audit.ingest.sandbox.parent import Child, Limits\n"
        "with Child(Limits(1 << 30, 60)) as child:\n"
        "    print(child.call(misbehaviour.number), flush=True)\n"
        "    child.call(misbehaviour.hang, Path('m.onnx'))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    number = int(parent.stdout.readline())
    assert _lives(number)
    parent.kill()
    parent.communicate()
    _wait_for(lambda: not _lives(number))


def _wait_for(reached: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


def _lives(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    if status.parent.parent.is_dir() and Path("/proc/self").exists():
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_folder_one_works_in_is_no_place_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('a hostile module was imported')")
    monkeypatch.chdir(tmp_path)
    assert run_in_child(misbehaviour.doubled, "a", limits=LIMITS) == "aa"


def test_functions_that_a_child_cannot_import() -> None:
    with pytest.raises(ValueError, match="not a function that a child can import"):
        run_in_child(lambda: 1, limits=LIMITS)


def test_a_file_can_be_read_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAP_AUDIT_CONTAINED", "0")
    assert run_in_child(lambda: os.getpid()) == os.getpid()


def test_limits_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = "leap_audit.ingest.sandbox.limits.installed_memory"
    monkeypatch.setattr(installed, lambda: 64 * GIB)
    (tmp_path / "m.onnx").write_bytes(b"x")
    with (tmp_path / "m.data").open("wb") as file:
        file.truncate(GIB)
    small, large = Limits.for_file(0), Limits.for_file(tmp_path / "m.onnx")
    assert 4 * GIB <= small.memory < large.memory - 5 * GIB
    assert small.seconds == 300
    assert large.seconds == pytest.approx(300 + GIB / 1e6, rel=0.01)
    assert Limits.for_file(tmp_path).memory == large.memory
    assert Limits.for_file(10**15).seconds == 3600
    monkeypatch.setattr(installed, lambda: 2 * GIB)
    assert Limits.for_file(tmp_path).memory == 2 * GIB
    monkeypatch.setenv("LEAP_AUDIT_MEMORY", "3.5")
    monkeypatch.setenv("LEAP_AUDIT_SECONDS", "9")
    assert Limits.for_file(0) == Limits(int(3.5 * GIB), 9)
    monkeypatch.setenv("LEAP_AUDIT_SECONDS", "soon")
    with pytest.raises(errors.ConfigRefused, match="LEAP_AUDIT_SECONDS=soon: is not a number"):
        Limits.for_file(0)


def test_data_is_unpickled(sample_models: Path, tmp_path: Path) -> None:
    model = onnx.load(sample_models / "digits_clean.onnx")
    data = (model, tmp_path, LIMITS, AuditOptions(), np.arange(6.0).reshape(2, 3).T, {1}, 1j)
    for protocol in (4, 5):
        file = tmp_path / "pickle"
        file.write_bytes(pickle.dumps(data, protocol))
        with file.open("rb") as stream:
            found = DataUnpickler(stream).load()
        assert found[:4] == data[:4]
        np.testing.assert_array_equal(found[4], data[4])
        assert found[5:] == data[5:]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("leap_audit.tables", "layered"),
        ("leap_audit.ingest.sandbox.parent", "run_in_child"),
        ("leap_audit.ingest.sandbox.parent", "subprocess"),
        ("leap_audit.ingest.sandbox.parent", "subprocess.run"),
        ("leap_audit.ingest.sandbox.parent", "Path.unlink"),
        ("leap_audit.config", "BaseModel"),
        ("onnx.onnx_ml_pb2", "DESCRIPTOR"),
        ("numpy", "load"),
    ],
)
def test_nothing_else_is_called(tmp_path: Path, module: str, name: str) -> None:
    forged = f"\x80\x04\x8c{chr(len(module))}{module}\x8c{chr(len(name))}{name}\x93."
    (tmp_path / "pickle").write_bytes(forged.encode("latin-1"))
    with (
        (tmp_path / "pickle").open("rb") as stream,
        pytest.raises(pickle.UnpicklingError, match="is not data"),
    ):
        DataUnpickler(stream).load()
