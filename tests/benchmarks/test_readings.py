"""The readings of prototypes, the soft confusion, and the shuffled network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.entanglement import Seen, beside_weights, compare, soft_confusion, tables_of
from benchmarks.readings import READINGS, Prototypes
from leap_audit.measure.faithfulness.dependence import randomised
from leap_audit.measure.run import Run
from tests.builders.classifiers import linear, read_model

CLASSES, WIDTH = 30, 16


def made(always: float) -> tuple[Prototypes, np.ndarray]:
    """Features of six classes, under one class that is always on; the weights of all."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(CLASSES, WIDTH))
    classes = np.arange(6)
    features = weights[classes] + 0.3 * rng.normal(size=(6, WIDTH)) + always * weights[29]
    logits = features @ weights.T
    norms = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(weights, axis=1)
    return Prototypes(classes, features, weights, logits, logits / norms), weights


@pytest.mark.parametrize("name", [name for name in READINGS if "standard" not in name])
def test_every_reading_puts_the_class_itself_first(name: str) -> None:
    prototypes, _ = made(always=0)
    assert (READINGS[name](prototypes).argmax(1) == prototypes.classes).all()


@pytest.mark.parametrize("name", ["cosine, standardised", "logit, standardised"])
def test_a_class_that_is_always_on_is_taken_away(name: str) -> None:
    prototypes, _ = made(always=3)
    plain = READINGS[name.split(",")[0]](prototypes)
    assert (plain.argmax(1) == 29).all()
    assert (READINGS[name](prototypes).argmax(1) != 29).all()


def test_a_reading_is_judged_by_the_confusion() -> None:
    prototypes, weights = made(always=0)
    seen = Seen(prototypes.classes, weights[:6] @ weights.T)
    found = compare(tables_of({"logit": prototypes.logits, "noise": -prototypes.logits}, seen))
    spearman, by_chance, p, *_ = found["logit"]
    assert spearman > 0.8
    assert abs(by_chance) < 0.2
    assert p < 0.01
    assert found["noise"][0] == pytest.approx(-spearman)
    assert found["noise"][2] > 0.99


def test_soft_confusion_takes_away_what_every_photograph_says() -> None:
    logits = np.array([[1.0, 100, 0], [3, 100, 1], [5, 104, 0], [7, 104, 1]])
    found = soft_confusion(logits, np.array([4, 4, 8, 8]), np.array([8, 4]))
    assert found == pytest.approx(np.array([[2 / 5**0.5, 1, 0], [-2 / 5**0.5, -1, 0]]))


def test_shuffling_keeps_every_weight_and_no_place(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 64))
    model = read_model(linear(tmp_path / "m.onnx", weights))
    other = randomised(model, 0)
    before, after = (m.graph.graph.initializers["w"].const_value.numpy() for m in (model, other))
    assert (np.sort(before, None) == np.sort(after, None)).all()
    assert (before != after).mean() > 0.9
    assert before == pytest.approx(weights, abs=1e-6)  # the model itself is left as it was
    assert replace(other, canonical=model.canonical, final_layer=model.final_layer) == model


def test_a_network_is_read_as_the_audit_reads_it(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(5, 64))
    classifier = Run(read_model(linear(tmp_path / "m.onnx", weights)), 1, 1)
    pictures = np.random.default_rng(1).random((4, 1, 8, 8)).astype(np.float32)
    found = Prototypes.of(classifier, pictures, np.arange(4))
    assert found.logits == pytest.approx(pictures.reshape(4, 64) @ weights.T, rel=1e-4)
    assert found.features == pytest.approx(pictures.reshape(4, 64))
    norms = np.linalg.norm(found.features, axis=1)[:, None] * np.linalg.norm(weights, axis=1)
    assert found.cosines == pytest.approx(found.logits / norms, rel=1e-4)


def test_a_reading_is_held_against_the_weights_alone() -> None:
    prototypes, _ = made(always=0)
    confusion = prototypes.logits - prototypes.logits.mean(0)
    readings = {"weights alone": -confusion, "logit": confusion, "same": -confusion}
    tables = tables_of(readings, Seen(prototypes.classes, confusion))
    beside = beside_weights([tables, tables])
    spearman, precision = beside["logit"]
    assert (spearman.mean, spearman.above) == pytest.approx((1, 2))
    assert spearman.interval == pytest.approx((2, 2))
    assert (precision.mean, precision.above) == pytest.approx((1, 1))
    assert precision.interval == pytest.approx((1, 1))
    assert [each.above for each in beside["same"]] == pytest.approx([0, 0])
