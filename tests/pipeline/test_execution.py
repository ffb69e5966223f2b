"""Units are performed once, and by what is on a worker as in this process."""

import pickle
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.config import AuditOptions
from leap_audit.errors import ClusterUnavailable, LeapAuditError, LessOptimised
from leap_audit.ingest import load
from leap_audit.measure.plan import Batches, working_memory
from leap_audit.measure.prototype import Request
from leap_audit.pipeline import worker
from leap_audit.pipeline.cluster import _tell_loss, _why
from leap_audit.pipeline.execution import Advance, InThisProcess, Results, finish
from leap_audit.pipeline.placement import Footprint, worker_environment
from leap_audit.pipeline.plain import digest
from leap_audit.pipeline.study import Study, draws, prepared
from leap_audit.pipeline.units import NO_SUPPLY, Draw, Opine, Predict, Supply, TryMarks, Unit
from leap_audit.pipeline.work import Loaded, perform
from leap_audit.pipeline.worker import Performed, Stopped, Worker
from tests.builders.running import TINY, Watching


@pytest.fixture(scope="module")
def studied(sample_models: Path) -> tuple[Study, Loaded]:
    options = AuditOptions.parse({**TINY, "batch": 2}, "here")
    study, loaded = prepared(
        load(sample_models / "digits_clean.onnx"), tuple(map(str, range(10))), options
    )
    return replace(study, requests=(Request((1,)), Request((4,)))), loaded


@dataclass
class Reversed:
    """An executor that is as slow with the first as a cluster may be."""

    loaded: Loaded
    workers: int = 1

    def results(self, units: Sequence[Unit[Any]], advance: Advance) -> Results:
        for unit in reversed(units):
            advance(unit.steps)
            yield unit, unit.key


def test_units_are_finished_once_in_any_order(studied: tuple[Study, Loaded]) -> None:
    study, loaded = studied
    pictures = [np.full((1, 28, 28), level, np.float32) for level in (0.0, 0.5, 0.0, 1.0)]
    units: list[Unit[Any]] = [Predict(study.ground, (each,)) for each in pictures]
    parts: dict[str, object] = {units[3].key: "finished before"}
    finish([*units, *draws(study)], Reversed(loaded), parts, (moved := []).append)
    assert parts == {
        units[3].key: "finished before",
        **{each.key: each.key for each in (*units[:2], *draws(study))},
    }
    assert sum(moved) == 2 * 2


def test_a_worker_computes_what_this_process_does(studied: tuple[Study, Loaded]) -> None:
    study, loaded = studied
    (unit,) = draws(study)
    away = Worker(pickle.loads(pickle.dumps(study.model)), study.ground)
    assert away.start(0).spread == loaded.spread(0)
    answer = pickle.loads(away.perform(pickle.loads(pickle.dumps(unit)), unit.key))
    ((_, result),) = InThisProcess(loaded).results([unit], lambda _: None)
    assert digest(answer.result) == digest(result)
    assert away.steps(unit.key) == unit.steps
    assert away.steps("another") == 0


def test_a_worker_gives_up_what_nobody_waits_for(studied: tuple[Study, Loaded]) -> None:
    study, _ = studied
    (unit,) = draws(study)
    away = Worker(study.model, study.ground)
    away.stop(unit.key)
    with pytest.raises(Stopped):
        away.perform(unit, unit.key)
    assert away.steps(unit.key) == 2
    away.stop("another")
    assert pickle.loads(away.perform(unit, unit.key)).result


def test_a_supply_goes_apart_from_its_unit(
    studied: tuple[Study, Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = studied
    supply = Supply((np.zeros((1, 28, 28), np.float32),), (None,), (), ())
    unit = TryMarks(study.ground, supply, study.options.experiments, 0, 1)
    monkeypatch.setattr(worker, "perform", lambda whole, *_: whole.supply)
    away = Worker(study.model, study.ground)
    other = replace(unit, supply=Supply((np.ones((1, 28, 28), np.float32),), (None,), (), ()))
    assert len({unit.key, other.key, replace(unit, class_=2).key}) == 3
    answer = away.perform(replace(unit, supply=NO_SUPPLY), unit.key, supply)
    assert digest(pickle.loads(answer).result) == digest(supply)


def test_warnings_come_back(studied: tuple[Study, Loaded], monkeypatch: pytest.MonkeyPatch) -> None:
    def warning(unit: Unit[Any], loaded: Loaded, advance: Advance) -> Any:
        warnings.warn("slower", LessOptimised, stacklevel=1)
        return perform(unit, loaded, advance)

    study, _ = studied
    monkeypatch.setattr(worker, "perform", warning)
    (unit,) = draws(study)
    answer: Performed = pickle.loads(Worker(study.model, study.ground).perform(unit, unit.key))
    assert answer.warned == ("slower",)


def test_other_versions_are_refused(studied: tuple[Study, Loaded]) -> None:
    study, _ = studied
    ground = replace(study.ground, versions={**study.ground.versions, "numpy": "0.1", "none": "2"})
    with pytest.raises(LeapAuditError, match=r"it has numpy [\d.]+, no none, and .* numpy 0.1, no"):
        Worker(study.model, ground).start(0)


@pytest.mark.parametrize(
    ("footprint", "node", "count", "takes"),
    [
        (Footprint(1, False, 10), {"CPU": 4.0, "memory": 1000.0}, 4, (1, 0, 10)),
        (Footprint(3, False, 10), {"CPU": 8.0, "memory": 1000.0}, 2, (3, 0, 10)),
        (Footprint(0, False, 10), {"CPU": 8.0, "memory": 1000.0}, 1, (8, 0, 10)),
        (Footprint(9, False, 10), {"CPU": 8.0, "memory": 1000.0}, 0, (9, 0, 10)),
        (Footprint(1, False, 400), {"CPU": 8.0, "memory": 1000.0}, 2, (1, 0, 400)),
        (Footprint(1, False, 4000), {"CPU": 8.0, "memory": 1000.0}, 1, (1, 0, 1000)),
        (Footprint(1, True, 10), {"CPU": 8.0, "GPU": 2.0, "memory": 1000.0}, 2, (1, 1, 10)),
        (Footprint(1, True, 10), {"CPU": 8.0, "memory": 1000.0}, 0, (1, 1, 10)),
        (Footprint(0, False, 10), {"memory": 1000.0}, 0, (0, 0, 10)),
    ],
)
def test_how_many_workers_fit_a_node(
    footprint: Footprint, node: dict[str, float], count: int, takes: tuple[int, int, int]
) -> None:
    names = ("num_cpus", "num_gpus", "memory")
    assert footprint.room(node) == (count, dict(zip(names, takes, strict=True)))


def test_memory_of_a_worker(studied: tuple[Study, Loaded]) -> None:
    model = studied[0].model
    one, more, views = (
        working_memory(model, batches, views)
        for batches, views in (
            (Batches(1, 1, 1), 1),
            (Batches(1, 8, 1), 1),
            (Batches(8, 1, 1), 2),
        )
    )
    assert one > 4 * model.identity.parameters
    assert one < more
    assert views == more


def test_linear_algebra_takes_as_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert int(worker_environment()["OMP_NUM_THREADS"]) >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    found = worker_environment()
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"]) == ("3", "5")
    assert found["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "The actor died unexpectedly before finishing this task.\n\tclass_name: Worker",
            "The actor died unexpectedly before finishing this task",
        ),
        (
            "Task was killed due to the node running low on memory.\nMore",
            "its node ran low on memory",
        ),
        (
            "It died of an error in its creation task, ray::W\n\nNo module named 'leap_audit'.\n",
            "No module named 'leap_audit'",
        ),
    ],
)
def test_why_a_worker_is_gone(said: str, why: str) -> None:
    assert _why(RuntimeError(said)) == why


def test_a_unit_that_loses_every_worker_is_named(studied: tuple[Study, Loaded]) -> None:
    (unit,), watching = draws(studied[0]), Watching()
    _tell_loss(watching, unit, 2, "killed")
    said = "A Ray worker was lost at prototypes of classes 1, 4 (killed): they are repeated."
    assert watching.warned == [said]
    with pytest.raises(ClusterUnavailable, match=r"^3 Ray .* at prototypes of classes 1, 4 \(kill"):
        _tell_loss(watching, unit, 3, "killed")


def test_units_are_named(studied: tuple[Study, Loaded]) -> None:
    study, _ = studied
    (unit,) = draws(study)
    assert isinstance(unit, Draw)
    assert unit.title == "prototypes of classes 1, 4"
    assert replace(unit, requests=unit.requests[:1]).title == "prototypes of class 1"
    assert Predict(study.ground, ()).title == "answers to pictures"


def _kinds(base: type[Unit[Any]]) -> list[type[Unit[Any]]]:
    """The kinds of units, which nothing is derived from."""
    several = base.__subclasses__()
    return [kind for each in several for kind in _kinds(each)] if several else [base]


@pytest.mark.parametrize("kind", _kinds(Unit), ids=lambda kind: kind.__name__)
def test_every_unit_says_what_it_computes(kind: type[Unit[Any]]) -> None:
    assert kind.noun


def test_a_lost_second_opinion_is_named(studied: tuple[Study, Loaded]) -> None:
    study, _ = studied
    method, options = next(iter(study.opinions.values()))
    unit = Opine(study.ground, (), method.name, method.version, options, 0, 1, ())
    watching = Watching()
    _tell_loss(watching, unit, 1, "killed")
    assert watching.warned == [
        "A Ray worker was lost at second opinions (killed): they are repeated."
    ]
