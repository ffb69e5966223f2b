"""The same audit on the workers of a Ray that is started here, and what happens to lost workers."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leap_audit.errors import AuditIncomplete
from leap_audit.pipeline import audit, flow
from leap_audit.pipeline.cluster import ClusterExecutor
from leap_audit.pipeline.kept import folder_of_parts
from leap_audit.pipeline.units import Draw, Unit
from tests.builders.running import TINY, Interrupted, Watching
from tools.lose_workers import workers_of

pytestmark = pytest.mark.xdist_group("ray")
SMALL: dict[str, Any] = {**TINY, "targets": "0-3", "batch": 2, "seeds": 1, "ray": "local"}


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Return a Ray of two processors on this machine, which audits then use."""
    found = pytest.importorskip("ray", reason="Ray is not installed (the extra ray)")
    for _ in range(3):  # it gives a start 30 s, which a busy machine may not keep
        try:
            found.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
            break
        except Exception:
            found.shutdown()
    yield found
    found.shutdown()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the keys of the units that are sent to workers from now on, as they are."""
    keys: list[str] = []
    give: Callable[..., None] = ClusterExecutor._give

    def recorded(self: ClusterExecutor, member: Any, unit: Unit[Any], *rest: Any) -> None:
        keys.append(unit.key)
        give(self, member, unit, *rest)

    monkeypatch.setattr(ClusterExecutor, "_give", recorded)
    return keys


@pytest.fixture
def killed(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the worker that is sent the first batch of prototypes."""
    give, draws = ClusterExecutor._give, []

    def deadly(self: ClusterExecutor, member: Any, unit: Unit[Any], *rest: Any) -> None:
        give(self, member, unit, *rest)
        if isinstance(unit, Draw) and not draws:
            draws.append(unit)
            os.kill(member.facts.process, signal.SIGKILL)

    monkeypatch.setattr(ClusterExecutor, "_give", deadly)


@pytest.fixture(scope="module")
def alone(sample_models: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return audit.json of the audit in this process."""
    out = tmp_path_factory.mktemp("alone") / "audit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        patch.setattr(flow, "write_report", lambda record, folder: record.write(folder))
        audit(sample_models / "digits_clean.onnx", out=out, **{**SMALL, "ray": None})
    return (out / "audit.json").read_bytes()


@pytest.fixture
def at_its_time(unprinted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an audit be of the same time as the one in this process."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def test_a_lost_worker_changes_no_byte(
    ray: Any,
    sample_models: Path,
    tmp_path: Path,
    alone: bytes,
    given: list[str],
    killed: None,
    at_its_time: None,
) -> None:
    watching = Watching()
    audit(sample_models / "digits_clean.onnx", out=tmp_path / "out", progress=watching, **SMALL)
    assert (tmp_path / "out" / "audit.json").read_bytes() == alone
    assert len(given) == len(set(given)) + 1
    (said,) = watching.warned[1:]  # after that on the names of the classes
    assert said.startswith("A Ray worker was lost at prototypes of classes 0, 1 (")
    assert set(watching.left.values()) == {0}


def test_what_was_stopped_goes_on(
    ray: Any, sample_models: Path, tmp_path: Path, alone: bytes, given: list[str], at_its_time: None
) -> None:
    model, out = sample_models / "digits_clean.onnx", tmp_path / "out"
    with pytest.raises(AuditIncomplete):
        audit(model, out=out, progress=Interrupted("Isolations", 5), **SMALL)
    finished = {file.stem for file in folder_of_parts(out).glob("*.npz")} & set(given)
    assert len(finished) >= 4
    given.clear()
    audit(model, out=out, **SMALL)
    assert not finished & set(given)
    assert len(given) == len(set(given))
    assert (out / "audit.json").read_bytes() == alone
    late = time.monotonic() + 20
    while workers_of(os.getpid()):  # Ray ends them, which it does not wait for
        assert time.monotonic() < late
        time.sleep(0.2)
