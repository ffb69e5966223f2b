"""The plan: what fits the time, what it leaves out, and what is recorded."""

from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from leap_audit.artifacts import Audit
from leap_audit.config import AuditOptions
from leap_audit.errors import AuditIncomplete
from leap_audit.ingest import load
from leap_audit.measure.costs import Costs
from leap_audit.measure.objects.changes import removal_passes
from leap_audit.pipeline import audit, planning
from leap_audit.pipeline.execution import InThisProcess
from leap_audit.pipeline.measuring import Measuring, plan
from leap_audit.pipeline.planning import amount_of, costs_of, limit_of, planned
from leap_audit.pipeline.study import (
    Study,
    answered_photographs,
    prepared,
    study_prototypes,
)
from leap_audit.pipeline.work import Loaded
from leap_audit.progress import Silent
from leap_audit.verify.rerun import rerun
from tests.builders.coloured import NAMES, detector, write_pictures
from tests.builders.running import TINY


def studied(sample_models: Path, **values: Any) -> tuple[Study, Loaded]:
    values = {"experiments": {"search_steps": 0}, **values}
    options = AuditOptions.parse({"threads": 1, "targets": "0-3", "batch": 4, **values}, "here")
    model = load(sample_models / "digits_clean.onnx")
    study, loaded = prepared(model, tuple(map(str, range(10))), options)
    return study_prototypes(study, {}), loaded


def costing(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    costs = Costs(1, 0.0, step, step, 0.0)
    monkeypatch.setattr(planning, "costs_of", lambda *_: costs)


def test_what_fits_is_done_in_full(sample_models: Path) -> None:
    study, loaded = studied(sample_models)
    made, plan = planned(study, loaded, {}, limit=1e6)
    assert made.options == study.options
    assert plan.left_out == ()
    assert plan.fits
    assert plan.low < plan.seconds < plan.high
    assert plan.multiply_adds > 1000
    assert len(plan.sentences) == 1


@pytest.mark.parametrize(
    ("limit", "left_out", "seeds"),
    [
        (3000, (), 3),
        (2200, ("2 seeds instead of 3",), 2),
        (1100, ("1 seed instead of 3",), 1),
    ],
)
def test_seeds_go_first(
    sample_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: float,
    left_out: tuple[str, ...],
    seeds: int,
) -> None:
    costing(monkeypatch, 1.0)  # 4 targets * 192 steps are 768 s a seed; isolations some 300 s
    study, loaded = studied(sample_models)
    made, plan = planned(study, loaded, {}, limit)
    assert plan.seconds <= limit
    assert made.left_out[: len(left_out)] == left_out
    assert (made.seeds, made.options.seeds, made.setting.seeds) == (seeds, seeds, seeds)
    assert len(made.requests) == 4 * seeds
    assert [request.replicate for request in made.requests[:5]] == [0, 0, 0, 0, 1][: 4 * seeds]
    assert plan.left_out == made.left_out
    if left_out:
        assert plan.next_adds
        assert plan.next_seconds > 0
        assert "To fit" in plan.sentences[1]
        assert "more would change" in plan.sentences[-1]


def test_the_least_that_there_is(sample_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costing(monkeypatch, 1000.0)
    study, loaded = studied(sample_models)
    made, plan = planned(study, loaded, {}, limit=10)
    assert (made.options.prototype.steps, made.options.isolation.per_prototype) == (64, 0)
    assert not plan.fits
    assert any("Nothing more can be left out" in said for said in plan.sentences)
    assert amount_of(made, {}).isolations == 0


def test_what_is_declared_is_not_left_out(
    sample_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costing(monkeypatch, 1000.0)
    study, loaded = studied(sample_models, seeds=2, prototype={"steps": 100})
    made, plan = planned(study, loaded, {}, limit=10)
    assert (made.seeds, made.options.prototype.steps) == (2, 100)
    assert not any("seed" in each for each in plan.left_out)


def test_a_plan_is_made_once(sample_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, object] = {}
    costing(monkeypatch, 1.0)
    study, loaded = studied(sample_models)
    made, plan = planned(study, loaded, parts, 1100)
    monkeypatch.setattr(planning, "costs_of", lambda *_: pytest.fail("measured again"))
    again, said = planned(study, loaded, parts, 1e6)
    assert (again.options, again.left_out, again.requests) == (
        made.options,
        made.left_out,
        made.requests,
    )
    assert said == plan


def test_costs_are_measured_on_the_model(sample_models: Path) -> None:
    study, loaded = studied(sample_models, methods=("smoothgrad",))
    costs = costs_of(study, loaded)
    for each in (costs.answer, costs.prototype_step, costs.isolation_step, costs.explanation):
        assert 0 < each < 10


def test_steps_are_timed_beside_as_many_as_are_computed_at_once(
    sample_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, loaded = studied(sample_models)
    together = Barrier(3)

    class Search:
        def rehearse(self, *_: object) -> list[float]:
            together.wait(20)  # breaks where fewer take the step at once
            return [9.0, 2.0, 2.0]

    monkeypatch.setattr(planning, "prototype_search", lambda *_: Search())
    monkeypatch.setattr(planning, "ranking_search", lambda *_: Search())
    busy = replace(study, batches=replace(study.batches, workers=3))
    costs = costs_of(busy, loaded)
    assert costs.isolation_step == 2.0 / busy.batches.isolations


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 900.0),
        ({"effort": "standard"}, None),
        ({"minutes": 2}, 90.0),
        ({"minutes": 2, "effort": "full"}, 90.0),
        ({"minutes": 0.1}, 1.0),
    ],
)
def test_the_limit(values: dict[str, Any], expected: float | None) -> None:
    assert limit_of(AuditOptions.parse(values, "here"), elapsed=30) == expected


def test_the_objects_of_a_detector_are_counted(tmp_path: Path) -> None:
    """Each is isolated, up to ten of a photograph; marks are not tried, surroundings are."""
    detector(tmp_path / "m.onnx", planted=True)
    photographs = write_pictures(tmp_path / "photographs")
    options = AuditOptions.parse(
        {"threads": 1, "samples": (photographs,), "effort": "quick", "seeds": 1}, "here"
    )
    study, loaded = prepared(load(tmp_path / "m.onnx", names=3), NAMES, options, {})
    parts: dict[str, object] = {}
    measuring = Measuring(study, InThisProcess(loaded, 1), parts, Silent())
    made = plan(measuring)
    found = [len(each.objects) for each in answered_photographs(measuring.study, parts)]
    assert sum(found) == 16
    assert made.isolations == 16 + 3
    amount = amount_of(measuring.study, parts)
    assert (amount.tried, amount.searched) == (0, 0)
    assert amount.beside > removal_passes(8)
    costs = Costs(1, 1.0, 0.0, 0.0, 0.0)
    without = replace(amount, beside=0)
    assert costs.seconds(amount) - costs.seconds(without) == amount.beside


def test_what_is_left_out_is_recorded_and_repeated(
    sample_models: Path,
    tmp_path: Path,
    unprinted: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costing(monkeypatch, 1.0)
    model = sample_models / "digits_clean.onnx"
    monkeypatch.setattr(planning, "USUAL_MINUTES", 1)
    settings = {**TINY, "targets": "0-1", "isolation": {"grid": 4}}
    made = audit(model, out=tmp_path / "out", **settings).audit
    assert made.coverage.left_out
    assert made.config["seeds"] == 1
    assert made.coverage.unfinished == ""
    again = rerun(Audit.read(tmp_path / "out"), model, None)
    assert again.differences == []


def test_the_minutes_are_over(
    sample_models: Path, tmp_path: Path, unprinted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    costing(monkeypatch, 1.0)
    settings = {**TINY, "targets": "0-3", "batch": 2, "minutes": 1e-6, "seeds": 1}
    with pytest.raises(AuditIncomplete, match="goes on from there"):
        audit(sample_models / "digits_clean.onnx", out=tmp_path / "out", **settings)
    record = Audit.read(tmp_path / "out")
    assert record.status == "incomplete"
    assert "minutes were over" in record.coverage.unfinished


@pytest.mark.parametrize(("batch", "pictures"), [(1, 1), (4, 4), (64, 12)])
def test_a_search_for_a_trigger_looks_at_no_more_pictures_than_fit(
    sample_models: Path, batch: int, pictures: int
) -> None:
    study, _ = studied(sample_models, batch=batch, experiments={}, prototype={"views": 1})
    assert study.options.experiments.search_pictures == pictures
    declared = {"search_pictures": 5}
    study, _ = studied(sample_models, batch=batch, experiments=declared, prototype={"views": 1})
    assert study.options.experiments.search_pictures == 5
