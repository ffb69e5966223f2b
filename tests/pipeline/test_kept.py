"""What was finished is kept beside the folder, and the same command goes on with it."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.artifacts import Audit
from leap_audit.config import AuditOptions
from leap_audit.errors import AuditIncomplete, OutputRefused, TargetRefused
from leap_audit.ingest import load
from leap_audit.measure import plan
from leap_audit.pipeline import audit, execution, parts, work
from leap_audit.pipeline.kept import folder_of_parts, kept_parts
from leap_audit.pipeline.runs import Runs
from leap_audit.pipeline.study import prepared
from leap_audit.pipeline.units import Unit
from leap_audit.progress import Silent
from leap_audit.publish.lock import Lock
from tests.builders.running import TINY, Interrupted

SMALL = {**TINY, "targets": "0-3", "batch": 2, "seeds": 1}


class Warned(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the units that are performed from now on, as they are."""
    names: list[str] = []
    perform: Callable[..., Any] = work.perform

    def recorded(unit: Unit[Any], *rest: Any) -> Any:
        names.append(type(unit).__name__)
        return perform(unit, *rest)

    monkeypatch.setattr(execution, "perform", recorded)
    return names


def stopped(model: Path, out: Path, stage: str = "Prototypes", after: int = 5, **more: Any) -> None:
    with pytest.raises(AuditIncomplete, match="The same command goes on from there"):
        audit(model, out=out, progress=Interrupted(stage, after), **{**SMALL, **more})


def record_of(out: Path) -> Audit:
    return Audit.model_validate_json((out / "audit.json").read_bytes())


@pytest.fixture
def digits(sample_models: Path) -> Path:
    return sample_models / "digits_clean.onnx"


@pytest.mark.parametrize(
    ("stage", "after", "drawn", "isolated"), [("Prototypes", 5, 1, 10), ("Isolations", 5, 0, 8)]
)
def test_the_same_command_goes_on(
    digits: Path,
    photos: Path,
    tmp_path: Path,
    unprinted: None,
    performed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    after: int,
    drawn: int,
    isolated: int,
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    more = {"samples": (photos,), "top_classes": 1}
    audit(digits, out=tmp_path / "whole", **{**SMALL, **more})
    assert performed.count("Draw") == 2
    assert performed.count("Isolate") == 10
    stopped(digits, tmp_path / "out", stage, after, **more)
    performed.clear()
    audit(digits, out=tmp_path / "out", **{**SMALL, **more})
    assert performed.count("Predict") <= 1
    assert performed.count("Draw") == drawn
    assert performed.count("Isolate") == isolated
    files = sorted(file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole").rglob("*"))
    assert files == sorted(f.relative_to(tmp_path / "out") for f in (tmp_path / "out").rglob("*"))
    for file in files:
        if (tmp_path / "whole" / file).is_file():
            assert (tmp_path / "out" / file).read_bytes() == (
                tmp_path / "whole" / file
            ).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


@pytest.mark.parametrize("more", [{"seed": 1}, {"prototype": {"steps": 3}}])
def test_parts_of_other_options_are_not_used(
    digits: Path, tmp_path: Path, unprinted: None, performed: list[str], more: dict[str, Any]
) -> None:
    stopped(digits, tmp_path / "out", "Isolations")
    performed.clear()
    audit(digits, out=tmp_path / "out", **{**SMALL, **more})
    assert performed.count("Draw") == 2
    assert not folder_of_parts(tmp_path / "out").exists()


def test_parts_of_another_model_are_not_used(
    digits: Path, tmp_path: Path, unprinted: None, performed: list[str]
) -> None:
    stopped(digits, tmp_path / "out", "Isolations")
    performed.clear()
    audit(digits.with_name("digits_shortcut.onnx"), out=tmp_path / "out", **SMALL)
    assert performed.count("Draw") == 2


def test_after_a_full_disk(
    digits: Path,
    tmp_path: Path,
    unprinted: None,
    performed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save, saved = parts.save_part, []

    def full(result: object, file: Path) -> None:
        if len(saved) == 4:  # the batches, the first prototypes, their answers, one more
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(file)
        save(result, file)

    monkeypatch.setattr(parts, "save_part", full)
    with pytest.raises(OSError, match="No space left"):
        audit(digits, out=tmp_path / "out", **SMALL)
    monkeypatch.setattr(parts, "save_part", save)
    assert [path.name for path in tmp_path.iterdir()] == [".out.parts"]
    performed.clear()
    audit(digits, out=tmp_path / "out", **SMALL)
    assert performed.count("Draw") == 0
    assert performed.count("Isolate") == 8


def test_the_time_of_an_audit_is_that_of_all_its_runs(
    digits: Path, tmp_path: Path, unprinted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, alone = tmp_path / "out", {**SMALL, "threads": 1}
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    perform = work.perform

    def slow(*given: Any) -> Any:
        clock[0] += 100
        return perform(*given)

    monkeypatch.setattr(execution, "perform", slow)
    stopped(digits, out, "Prototypes", 5, threads=1)
    first = record_of(out).environment
    assert (first.runs, first.seconds) == (1, clock[0])
    stopped(digits, out, "Isolations", 1, threads=1)
    second = record_of(out).environment
    assert second.runs == 2
    assert second.seconds == clock[0]
    whole = audit(digits, out=out, **alone).audit.environment
    assert (whole.runs, whole.seconds) == (3, clock[0])
    before = clock[0]
    again = audit(digits, out=out, **alone).audit.environment
    assert (again.runs, again.seconds) == (1, clock[0] - before)


def test_a_run_of_other_options_is_not_counted(
    digits: Path, tmp_path: Path, unprinted: None
) -> None:
    stopped(digits, tmp_path / "out", "Isolations")
    assert audit(digits, out=tmp_path / "out", **{**SMALL, "seed": 1}).audit.environment.runs == 1


def test_a_run_that_was_killed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    killed = Runs(tmp_path)
    now += 50
    killed.finished("a")
    with (tmp_path / "runs.txt").open("a") as stream:
        stream.write("\n1 6")  # it was being written
        stream.write("\nno run\n")
    after = Runs(tmp_path)
    assert after.earlier == ()
    after.use("a")
    after.use("of nobody")
    assert after.earlier == (50,)
    now += 7
    after.finished("a")
    last = Runs(tmp_path)
    last.use("a")
    assert last.earlier == (7,)


def test_starting_over(digits: Path, tmp_path: Path, unprinted: None, performed: list[str]) -> None:
    stopped(digits, tmp_path / "out", "Isolations")
    performed.clear()
    audit(digits, out=tmp_path / "out", fresh=True, **SMALL)
    assert performed.count("Draw") == 2


def test_a_refused_audit_leaves_nothing(digits: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetRefused):
        audit(digits, out=tmp_path / "out", samples=(photos,), **{**SMALL, "targets": "77"})
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_leaves_what_an_earlier_run_kept(
    digits: Path, tmp_path: Path, unprinted: None
) -> None:
    stopped(digits, tmp_path / "out")
    before = sorted(folder_of_parts(tmp_path / "out").iterdir())
    with pytest.raises(TargetRefused):
        audit(digits, out=tmp_path / "out", **{**SMALL, "targets": "77"})
    assert sorted(folder_of_parts(tmp_path / "out").iterdir()) >= before


def test_what_fits_the_memory_is_kept(
    digits: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept: dict[str, object] = {}
    model, names = load(digits), tuple(map(str, range(10)))
    first, _ = prepared(model, names, AuditOptions(), kept)
    monkeypatch.setattr(plan, "free_memory", lambda _: 1)
    again, _ = prepared(model, names, AuditOptions(), kept)
    assert again.batches == first.batches
    assert prepared(model, names, AuditOptions())[0].batches != first.batches
    assert prepared(model, names, AuditOptions(batch=2), kept)[0].batches != first.batches


def test_two_audits_to_one_folder(tmp_path: Path) -> None:
    listener = Warned()
    with kept_parts(tmp_path / "out", listener) as first:
        first.parts["a"] = (1,)
        with kept_parts(tmp_path / "out", listener) as second:
            assert second.folder is None
            assert "a" not in second.parts
        assert "starts over" in listener.said[0]
    with kept_parts(tmp_path / "out", listener) as third:
        assert third.parts["a"] == (1,)
        third.complete = True
    assert len(listener.said) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path: Path) -> None:
    folder_of_parts(tmp_path / "out").write_text("mine")
    with (
        pytest.raises(OutputRefused, match="is in the way"),
        kept_parts(tmp_path / "out", Silent()),
    ):
        pass
    assert folder_of_parts(tmp_path / "out").read_text() == "mine"


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    lock = Lock.attempt(tmp_path / ".lock")
    assert lock is not None
    assert Lock.attempt(tmp_path / ".lock") is None
    lock.release()
    again = Lock.attempt(tmp_path / ".lock")
    assert again is not None
    again.release()


def test_results_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = parts.PartsFolder(tmp_path)
    folder["a"] = (1.0, np.arange(2000.0))
    first = folder["a"]
    monkeypatch.setattr(parts, "load_part", lambda *_: pytest.fail("read again"))
    assert folder["a"] is first
    assert not first[1].flags.writeable
