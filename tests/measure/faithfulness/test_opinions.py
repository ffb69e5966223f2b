"""Second opinions: which methods, what is compared, and what their maps depend on."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from leap_audit.errors import ConfigRefused
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.measure.detections import raw_detections
from leap_audit.measure.faithfulness.dependence import randomised
from leap_audit.measure.faithfulness.opinions import (
    BLUR,
    USUAL_OPINIONS,
    Opined,
    checked_photographs,
    chosen_opinions,
    evidence_for,
    second_opinion,
)
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from tests.builders.classifiers import Node, linear, read_model, write_model
from tests.builders.detectors import NETS

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits(sample_models: Path) -> Model:
    return load(sample_models / "digits_clean.onnx")


def test_two_that_differ_in_kind_are_the_usual_ones(digits: Model) -> None:
    chosen = chosen_opinions(None, {}, digits)
    assert list(chosen) == list(USUAL_OPINIONS) == ["integrated_gradients", "occlusion"]
    assert chosen["integrated_gradients"][1].model_dump()["steps"] == 16
    assert chosen["occlusion"][1].model_dump()["baseline"] == ("blur",)
    assert chosen_opinions(("none",), {}, digits) == chosen_opinions((), {}, digits) == {}


def test_options_of_an_opinion_win_over_the_usual_ones(digits: Model) -> None:
    chosen = chosen_opinions(None, {"occlusion": {"parts": 3}, "rise": {"masks": 2}}, digits)
    options = chosen["occlusion"][1].model_dump()
    assert (options["parts"], options["baseline"]) == (3, ("blur",))
    assert list(chosen_opinions(("saliency",), {}, digits)) == ["saliency"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("guessing",), "is no attribution method"),
        (("attention_rollout",), "cannot run on this model"),
        (("prototype",), "no attribution method"),
    ],
)
def test_what_is_no_opinion_is_refused(names: tuple[str, ...], reason: str, digits: Model) -> None:
    with pytest.raises(ConfigRefused, match=reason):
        chosen_opinions(names, {}, digits)


def test_evidence_is_what_speaks_for_the_class_blurred() -> None:
    values = np.full((56, 84), -5.0)
    values[20, 30] = 1.0
    found = evidence_for(values)
    assert found.min() >= 0
    assert np.unravel_index(found.argmax(), found.shape) == (20, 30)
    sigma = BLUR * 56
    assert found[20, 30 + round(sigma)] / found.max() == pytest.approx(np.exp(-0.5), abs=0.02)
    assert not evidence_for(-np.ones((8, 8))).any()


def test_photographs_of_every_answer_are_checked_first() -> None:
    assert checked_photographs([3, 3, 3, 3, 7, 3, 8], most=3) == [0, 4, 6]
    assert checked_photographs([3, 3, 3, 3, 7, 3, 8], most=4) == [0, 1, 4, 6]
    assert checked_photographs([1, 1], most=6) == [0, 1]
    assert checked_photographs([]) == []


def opined(model: Model, method: str = "integrated_gradients", class_: int = 0) -> Opined | None:
    run, shuffled = Run(model, 2, 1), Run(randomised(model, 0), 2, 1)
    chosen, options = chosen_opinions((method,), {}, model)[method]
    picture = RNG.random(model.picture_shape).astype(np.float32)
    return second_opinion(run, Subject(picture, class_), chosen, options, 0, shuffled)


def test_a_model_whose_classes_share_their_evidence_is_found_out(tmp_path: Path) -> None:
    evidence = RNG.standard_normal(64)
    model = read_model(linear(tmp_path / "m.onnx", np.outer([1.0, 0.5, 0.2], evidence)))
    found = opined(model)
    assert found is not None
    assert found.other_class == pytest.approx(1)
    assert found.other_weights is not None
    assert abs(found.other_weights) < 0.5


def test_a_model_without_anything_learned_is_found_out(tmp_path: Path) -> None:
    weights = {"w": np.full((1, 1, 3, 3), 0.1), "v": np.full((3, 64), 0.05)}
    nodes: list[Node] = [
        ("Conv", ["x", "w"], "c", {"pads": [1, 1, 1, 1]}),
        ("Relu", ["c"], "r"),
        ("Flatten", ["r"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    found = opined(read_model(write_model(tmp_path / "m.onnx", nodes, weights)))
    assert found is not None
    assert found.other_weights == pytest.approx(1)


def test_maps_of_a_sound_model_depend_on_class_and_weights(tmp_path: Path) -> None:
    model = read_model(linear(tmp_path / "m.onnx", RNG.standard_normal((3, 64))))
    for method in USUAL_OPINIONS:
        found = opined(model, method)
        assert found is not None
        assert found.other_class is not None
        assert found.other_weights is not None
        assert max(abs(found.other_class), abs(found.other_weights)) < 0.7


def test_a_method_that_finds_no_gradient_has_no_opinion(tmp_path: Path) -> None:
    weights = {"w": np.ones((4, 1, 3, 3)), "b": np.full(4, -100.0), "v": np.ones((3, 4))}
    nodes: list[Node] = [
        ("Conv", ["x", "w", "b"], "c", {"pads": [1, 1, 1, 1]}),
        ("Relu", ["c"], "r"),
        ("GlobalAveragePool", ["r"], "g"),
        ("Flatten", ["g"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    model = read_model(write_model(tmp_path / "dead.onnx", nodes, weights))
    found = opined(model, "hirescam")
    assert found is None or not found.evidence.any()


def test_factors_of_a_size_are_no_weights(tmp_path: Path) -> None:
    """Shuffled, they would make several pictures of one."""
    weights = {
        "w": RNG.standard_normal((4, 1, 3, 3)),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "v": RNG.standard_normal((3, 1024)),
    }
    nodes: list[Node] = [
        ("Conv", ["x", "w"], "c", {"pads": [1, 1, 1, 1]}),
        ("Resize", ["c", "", "scales"], "r", {}),
        ("Flatten", ["r"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    model = read_model(write_model(tmp_path / "m.onnx", nodes, weights))
    for seed in range(4):
        scores = next(Run(randomised(model, seed), 1, 1).scores(np.ones((1, 1, 8, 8), np.float32)))
        assert scores.shape == (3, 1)


def test_what_decodes_boxes_is_no_weight(tmp_path: Path) -> None:
    """The boxes of a network without its weights still lie about their cells."""
    onnx.save(NETS["fastestdet"](), tmp_path / "m.onnx")
    model = read_model(tmp_path / "m.onnx")
    picture = RNG.random(model.picture_shape).astype(np.float32)
    _, boxes = raw_detections(Run(randomised(model, 0), 1, 1), picture)
    middles = (boxes[:2] + boxes[2:]) / 2
    cells = np.stack(np.meshgrid(*[np.arange(8) / 8] * 2)).reshape(2, 64)
    assert np.abs(middles - cells).max() < 1 / 8
