"""Second opinions in an audit: planned, measured, recorded, and what is found by them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import Sample
from leap_audit.config import AuditOptions
from leap_audit.findings import Evidence, find
from leap_audit.ingest.model import Model
from leap_audit.measure.effort import LADDER, first_rung, with_rung
from leap_audit.pipeline.assembly import AuditParts, assemble
from leap_audit.pipeline.execution import InThisProcess
from leap_audit.pipeline.measuring import Measuring
from leap_audit.pipeline.parts import PartsFolder
from leap_audit.pipeline.plain import digest
from leap_audit.pipeline.planning import amount_of, costs_of
from leap_audit.pipeline.study import prepared, restudied
from leap_audit.pipeline.tasks import photographs_to_isolate
from leap_audit.progress import Silent
from tests.builders.classifiers import Node, linear, read_model, write_model
from tests.builders.running import TINY

SIDE = 16
CLASSES = ("a", "b", "c")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for n in range(4):
        levels = rng.integers(0, 255, (SIDE, SIDE), np.uint8)
        Image.fromarray(levels).save(folder / f"{n}.png")
    return folder


def measuring(model: Model, photographs: Path | None, parts: Any = None, **more: Any) -> Measuring:
    values = {**TINY, "batch": 2, "top_classes": 1, **more}
    if photographs is not None:
        values["samples"] = (str(photographs),)
    study, loaded = prepared(model, CLASSES, AuditOptions.parse(values, "here"))
    return Measuring(study, InThisProcess(loaded), {} if parts is None else parts, Silent())


def assembled(model: Model, photographs: Path, **more: Any) -> AuditParts:
    found = measuring(model, photographs, **more)
    found.read_photographs()
    found.isolate(photographs_to_isolate)
    found.opine()
    return assemble(found.study, found.parts)


def linear_model(folder: Path, weights: Any) -> Model:
    return read_model(linear(folder / "m.onnx", weights, SIDE))


def rules(samples: tuple[Sample, ...]) -> set[str]:
    return {each.rule for each in find(Evidence(CLASSES, samples=samples))}


def test_a_sound_model_has_two_opinions_and_no_finding(tmp_path: Path, photographs: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((3, SIDE * SIDE))
    record = assembled(linear_model(tmp_path, weights), photographs)
    assert len(record.samples) == 4
    for sample in record.samples:
        assert [each.method for each in sample.opinions] == ["integrated_gradients", "occlusion"]
        assert sample.opinions_agree is not None
        assert 0 <= sample.opinions_agree <= 1
        for each in sample.opinions:
            assert each.class_ == sample.predicted[0].class_
            assert each.agreement is not None
            assert 0 <= each.agreement <= 1
            assert record.maps[each.map].max() == 255
            assert record.maps[each.map].shape == (SIDE, SIDE)
    assert not rules(record.samples) & {"map-not-of-class", "map-not-of-weights"}


def test_a_model_that_ignores_the_class_is_found_out(tmp_path: Path, photographs: Path) -> None:
    evidence = np.random.default_rng(0).standard_normal(SIDE * SIDE)
    model = linear_model(tmp_path, np.outer([1.0, 0.6, 0.3], evidence))
    found = rules(assembled(model, photographs).samples)
    assert "map-not-of-class" in found
    assert "map-not-of-weights" not in found


def test_a_model_that_learned_nothing_is_found_out(tmp_path: Path, photographs: Path) -> None:
    weights = {"w": np.full((1, 1, 3, 3), 0.1), "v": np.full((3, SIDE * SIDE), 0.05)}
    nodes: list[Node] = [
        ("Conv", ["x", "w"], "c", {"pads": [1, 1, 1, 1]}),
        ("Relu", ["c"], "r"),
        ("Flatten", ["r"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    path = write_model(tmp_path / "m.onnx", nodes, weights, shape=("n", 1, SIDE, SIDE))
    assert "map-not-of-weights" in rules(assembled(read_model(path), photographs).samples)


def test_the_first_answer_alone_is_asked_about(tmp_path: Path, photographs: Path) -> None:
    weights = 0.01 * np.random.default_rng(0).standard_normal((3, SIDE * SIDE))
    record = assembled(linear_model(tmp_path, weights), photographs, top_classes=3)
    for sample in record.samples:
        assert len(sample.isolations) == 3
        assert {each.class_ for each in sample.opinions} == {sample.predicted[0].class_}
    methods = record.methods
    assert "occlusion" not in methods  # an audit without prototypes has no method page


def test_opinions_on_disk_give_the_same_record(tmp_path: Path, photographs: Path) -> None:
    model = linear_model(tmp_path, np.random.default_rng(0).standard_normal((3, SIDE * SIDE)))
    kept = []
    for parts in ({}, PartsFolder(tmp_path)):
        found = measuring(model, photographs, parts, second_opinions=("saliency",))
        found.read_photographs()
        found.opine()
        kept.append(assemble(found.study, found.parts))
    assert digest(kept[0]) == digest(kept[1])
    (opinion,) = kept[0].samples[0].opinions
    assert opinion.agreement is None  # nothing was isolated
    assert kept[0].samples[0].opinions_agree is None


def test_quick_audits_and_short_ones_have_none(tmp_path: Path, photographs: Path) -> None:
    model = linear_model(tmp_path, np.random.default_rng(0).standard_normal((3, SIDE * SIDE)))
    assert not measuring(model, photographs, effort="quick").study.opinions
    named = measuring(model, photographs, effort="quick", second_opinions=("saliency",))
    assert list(named.study.opinions) == ["saliency"]
    whole = measuring(model, photographs)
    options = with_rung(whole.study.options, LADDER[first_rung("quick")], frozenset())
    less = restudied(whole.study, options, {})
    assert not less.opinions
    assert not less.options.method_options
    again, _ = prepared(model, CLASSES, less.options)  # what an audit records can be repeated
    assert not again.opinions


def test_opinions_are_in_the_plan(tmp_path: Path, photographs: Path) -> None:
    model = linear_model(tmp_path, np.random.default_rng(0).standard_normal((3, SIDE * SIDE)))
    found = measuring(model, photographs)
    found.read_photographs()
    amount = amount_of(found.study, found.parts)
    assert (amount.opinions, amount.opinions_checked) == (4, 4)
    assert costs_of(found.study, found.executor.loaded).opinion > 0
    without = replace(found.study, opinions={})
    amount = amount_of(without, found.parts)
    assert (amount.opinions, amount.opinions_checked) == (0, 0)
    assert costs_of(without, found.executor.loaded).opinion == 0
