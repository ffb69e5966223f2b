"""What scores mean, whatever the kind of model."""

import math
from pathlib import Path

import numpy as np
import pytest

from leap_audit.artifacts import Probabilities
from leap_audit.config import DeclaredPreprocessing, IsolationOptions, PrototypeOptions
from leap_audit.ingest import load
from leap_audit.ingest.outputs.answer import Sigmoids, Softmax, answer_kind
from leap_audit.measure.entanglement import GRADIENTS, WEIGHTS, measure_entanglement
from leap_audit.measure.isolation.optimise import rank_pixels
from leap_audit.measure.isolation.region import read_region
from leap_audit.measure.prototype import Request, make_prototypes, settled
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from tests.builders import kinds
from tests.builders.classifiers import CPU, RAW, read_model, uncounted
from tests.builders.emitted import numbers, start

SCORES = np.random.default_rng(0).normal(0, 3, (4, 5)).astype(np.float32)
"""Four classes at five places."""


@pytest.mark.parametrize("how", ["softmax", "sigmoid"])
def test_the_graph_and_the_numbers_agree(how: Probabilities) -> None:
    answer = answer_kind(4, how)
    batch = np.stack([SCORES, -SCORES, 100 * SCORES])
    op, (value,) = start(scores=batch.shape)
    (found,) = numbers(op, [answer.log_probabilities(op, value)], {"scores": batch})
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found), answer.probabilities(batch), atol=1e-5)


def test_probabilities_are_shared_or_each_classes_own() -> None:
    np.testing.assert_allclose(Softmax(4).probabilities(SCORES).sum(0), 1)
    np.testing.assert_allclose(
        Sigmoids(4).probabilities(SCORES), 1 / (1 + np.exp(-SCORES)), rtol=1e-6
    )


def test_an_answer_counts_places() -> None:
    scores = np.array([[5.0, 5, 5, -5], [-5.0, -5, 5.1, -5]])
    shared, own = Softmax(2).summary(scores), Sigmoids(2).summary(scores)
    assert shared.shares.tolist() == [0.75, 0.25]  # of equal scores the first counts
    assert own.shares.tolist() == [0.75, 0.25]
    assert own.probs[0] == pytest.approx(0.75, abs=0.01)
    np.testing.assert_allclose(
        Sigmoids(2).predicted_places(scores, 0), [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6
    )
    np.testing.assert_allclose(Softmax(2).predicted_places(scores, 1), [0, 0, 1, 0])
    np.testing.assert_allclose(Sigmoids(2).predicted_places(-np.ones((2, 4)), 1), [0.25] * 4)


@pytest.mark.parametrize("end", ["scores", "softmax", "argmax", "resized", "nhwc"])
def test_a_segmentation_answers_where_the_square_is(tmp_path: Path, end: str) -> None:
    model = read_model(kinds.segmenter(tmp_path / "m.onnx", end))
    assert (model.identity.task, model.classes) == ("segmentation", 3)
    assert model.identity.places == (kinds.SIDE, kinds.SIDE)
    assert not model.identity.independent
    (scores,) = Run(model, 2, 1).scores(kinds.square()[None])
    np.testing.assert_array_equal(scores.argmax(0) == 1, kinds.truth().ravel())
    shares = model.answer.summary(scores).shares
    assert shares.tolist() == pytest.approx([1 - kinds.truth().mean(), kinds.truth().mean(), 0])
    logits = Run(model, 1, 1).logits(kinds.square()[None])
    np.testing.assert_allclose(logits[0], scores.mean(1), rtol=1e-4)


def test_one_sigmoid_for_each_place_tells_two_classes(tmp_path: Path) -> None:
    model = read_model(kinds.segmenter(tmp_path / "m.onnx", "mask"))
    assert (model.identity.task, model.classes, model.answer.numbers) == ("segmentation", 2, 1)
    (scores,) = Run(model, 1, 1).scores(kinds.square()[None])
    inside = kinds.truth().ravel()
    p = model.answer.probabilities(scores)[1]
    np.testing.assert_array_equal(p > 0.5, inside)
    assert p[~inside].min() == pytest.approx(1 / (1 + math.exp(4)), rel=1e-4)


def test_a_sigmoid_for_each_class_and_place(tmp_path: Path) -> None:
    model = read_model(kinds.segmenter(tmp_path / "m.onnx", "sigmoid"))
    assert model.identity.independent
    (scores,) = Run(model, 1, 1).scores(kinds.square()[None])
    answer = model.answer.summary(scores)
    assert answer.shares.tolist() == pytest.approx([1, kinds.truth().mean(), 0])


def test_many_labels_can_hold_at_once(tmp_path: Path) -> None:
    model = read_model(kinds.many_labels(tmp_path / "m.onnx"))
    assert (model.identity.task, model.answer.places) == ("multi-label", 1)
    (scores,) = Run(model, 1, 1).scores(kinds.CHECKS[None, None])
    probs = model.answer.summary(scores).probs
    assert probs[0] > 0.99
    assert probs[1] > 0.99
    assert probs[2] < 0.01


@pytest.mark.parametrize("sigmoid", [False, True])
def test_one_score_becomes_two_classes(tmp_path: Path, sigmoid: bool) -> None:
    model = read_model(kinds.one_score(tmp_path / "m.onnx", sigmoid))
    assert (model.identity.task, model.classes) == ("binary", 2)
    pictures = np.random.default_rng(0).random((3, 1, kinds.SIDE, kinds.SIDE), np.float32)
    z = pictures.reshape(3, -1) @ kinds.patches()[0] - 6
    classifier = Run(model, 2, 1)
    np.testing.assert_allclose(
        classifier.logits(pictures), np.stack([-z / 2, z / 2], 1), rtol=1e-3, atol=1e-4
    )
    p = [model.answer.probabilities(scores)[1, 0] for scores in classifier.scores(pictures)]
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-z)), rtol=1e-4)


def test_a_region_of_the_map_alone_is_asked(tmp_path: Path) -> None:
    path = kinds.segmenter(tmp_path / "m.onnx")
    declared = DeclaredPreprocessing.model_validate(RAW)
    half = load(path, declared, CPU, region=(0.0, 0.5, 1.0, 1.0))
    whole = load(path, declared, CPU)
    assert half.answer.places == whole.answer.places / 2
    picture = kinds.square()[None]
    (all_scores,) = Run(whole, 1, 1).scores(picture)
    (found,) = Run(half, 1, 1).scores(picture)
    right = all_scores.reshape(3, kinds.SIDE, kinds.SIDE)[:, :, kinds.SIDE // 2 :]
    np.testing.assert_allclose(found, right.reshape(3, -1))


def test_the_weights_of_a_map_are_its_final_layer(tmp_path: Path) -> None:
    model = read_model(kinds.segmenter(tmp_path / "m.onnx", "argmax"))
    classifier = Run(model, 1, 1)
    picture = kinds.square()[None]
    red, green, blue = classifier.features(picture)[0]
    assert 0.25 * kinds.truth().mean() < red < kinds.truth().mean()
    assert green == blue == 0
    (found,), method = measure_entanglement(classifier, picture, [(1,)])
    assert method == WEIGHTS
    assert found.cosines[1] > found.cosines[2]


def test_one_score_is_compared_by_gradients(tmp_path: Path) -> None:
    model = read_model(kinds.one_score(tmp_path / "m.onnx", False))
    pictures = np.full((1, 1, kinds.SIDE, kinds.SIDE), 0.5, np.float32)
    (found,), method = measure_entanglement(Run(model, 1, 1), pictures, [(1,)])
    assert method == GRADIENTS
    assert found.cosines == pytest.approx({0: -1, 1: 1})


@pytest.mark.parametrize("kind", ["segmentation", "multi-label", "binary", "bands"])
def test_what_carries_the_class_is_drawn_and_found(tmp_path: Path, kind: str) -> None:
    """The prototype shows what was planted, and the isolation of a picture with it finds it."""
    path, class_ = tmp_path / "m.onnx", 1
    wanted = kinds.truth()
    above = np.zeros_like(wanted)
    above[: kinds.SIDE // 2] = True
    if kind == "segmentation":
        model, picture = read_model(kinds.segmenter(path, "argmax")), kinds.square()
    elif kind == "bands":
        model = read_model(kinds.banded(path), range=(0, 1))
        picture = kinds.square(kinds.BANDS, kinds.TELLING)
    else:
        wanted, class_ = above, 0 if kind == "multi-label" else 1
        write = kinds.many_labels(path) if kind == "multi-label" else kinds.one_score(path, True)
        model = read_model(write)
        picture = np.where(above, kinds.CHECKS, 0.5)[None].astype(np.float32)
    common = {"seed": 0, "batch": 1, "advance": uncounted}
    options = settled(PrototypeOptions(steps=24, lr=0.2), model.picture_shape)
    still = {"shift": 0.0, "scale": (1.0, 1.0), "flip": False, "plain_ground": False}
    still |= {"hold": 0.0, "ink": 0.0}
    options = options.model_copy(update={**still, "total_variation": 0.0, "background": 0.5})
    classifier = Run(model, 1, 1)
    (drawn,) = make_prototypes(classifier, [Request((class_,))], options, spread=1.0, **common)
    assert classifier.logits(drawn.picture[None])[0].argmax() == class_
    if kind == "bands":
        checks = drawn.picture[:, wanted] @ (kinds.CHECKS[wanted] * 2 - 1)
        assert checks.argmax() == kinds.TELLING
        assert checks[kinds.TELLING] > 5 * np.abs(np.delete(checks, kinds.TELLING)).max()

    (scores,) = classifier.scores(picture[None])
    where = model.answer.predicted_places(scores, class_)
    subject = Subject(picture, class_, 1.0, where)
    wish = IsolationOptions(steps=40, grid=8)
    (ranking,) = rank_pixels(classifier, [subject], wish, **common)
    region = read_region(classifier, subject, ranking, IsolationOptions())
    assert region.enough
    assert region.prob > 0.9
    assert region.prob_delete < 0.5 * region.prob
    first = region.ranking >= np.quantile(region.ranking, 0.9)
    assert wanted[first].mean() > 0.7
