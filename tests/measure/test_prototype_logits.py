"""How a network's logits behave, and what its prototypes are optimised for then."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.config import PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.measure.prototype import Request, make_prototypes, settled, settled_for
from leap_audit.measure.prototype import logits as measured
from leap_audit.measure.prototype.logits import contrast_growth, prominence, stands_out
from leap_audit.measure.prototype.objective import standardised_logits
from leap_audit.measure.run import Run
from tests.builders.classifiers import linear, read_model, uncounted, write_model
from tests.builders.emitted import numbers, start

SIDE = 64


def weights_of(classes: int, side: int, channels: int = 3) -> np.ndarray:
    weights = np.random.default_rng(0).normal(size=(classes, channels * side * side))
    return weights - weights.mean(1, keepdims=True)  # mid-grey says nothing


def unsaturated(tmp_path: Path, classes: int = 100, side: int = SIDE, channels: int = 3) -> Model:
    weights = weights_of(classes, side, channels)
    return read_model(linear(tmp_path / "m.onnx", weights, side, channels))


def saturated(tmp_path: Path, power: float = 1.0) -> Model:
    """A network whose logits do not grow with contrast; with a high power few stand out."""
    path = write_model(
        tmp_path / "s.onnx",
        [
            ("Flatten", ["x"], "f"),
            ("Gemm", ["f", "w"], "g", {"transB": 1}),
            ("LpNormalization", ["g"], "n"),
            ("Pow", ["n", "power"], "y"),
        ],
        {"w": weights_of(100, SIDE), "power": np.array(power)},
        shape=("n", 3, SIDE, SIDE),
        outputs=[("y", ("n", 100))],
    )
    return read_model(path)


def test_logits_of_a_linear_network_grow_as_contrast_does(tmp_path: Path) -> None:
    assert contrast_growth(Run(unsaturated(tmp_path), 1, 1)) == pytest.approx(2, abs=1e-3)


def test_logits_that_saturate_do_not_grow(tmp_path: Path) -> None:
    model = saturated(tmp_path)
    assert contrast_growth(Run(model, 1, 1)) == pytest.approx(1, abs=0.05)
    assert settled_for(PrototypeOptions(), model, 1).objective == "logit"


def test_the_highest_of_normal_logits_is_not_prominent(tmp_path: Path) -> None:
    assert prominence(Run(saturated(tmp_path), 1, 1)) == pytest.approx(1, abs=0.08)


def test_a_logit_that_stands_out_is_standardised(tmp_path: Path) -> None:
    model = saturated(tmp_path, power=5.0)
    assert contrast_growth(Run(model, 1, 1)) == pytest.approx(1, abs=0.05)
    assert prominence(Run(model, 1, 1)) > 1.6
    assert settled_for(PrototypeOptions(), model, 1).objective == "standardised"


@pytest.mark.parametrize(
    ("growth", "above", "found"),
    [(1.0, 1.0, False), (1.39, 1.44, False), (1.4, 1.0, True), (1.0, 1.45, True)],
)
def test_either_is_enough(
    growth: float, above: float, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "contrast_growth", lambda _: growth)
    monkeypatch.setattr(measured, "prominence", lambda _: above)
    assert stands_out(Run(unsaturated(tmp_path, 10), 1, 1)) == found


def test_what_is_declared_is_kept() -> None:
    shape = (3, 224, 224)
    assert settled(PrototypeOptions(), shape, standardise=True).objective == "standardised"
    declared = PrototypeOptions(objective="logit")
    assert settled(declared, shape, standardise=True).objective == "logit"


@pytest.mark.parametrize(
    ("shape", "objective", "variation"),
    [
        ((3, 224, 224), "standardised", 0.125),
        ((3, 224, 224), "logit", 0.0),
        ((3, 32, 32), "standardised", 8.0),
        ((1, 64, 64), "standardised", 12.0),
    ],
)
def test_only_standardised_scenes_are_held_back_from_glare(
    shape: tuple[int, int, int], objective: str, variation: float
) -> None:
    asked = PrototypeOptions.parse({"objective": objective}, "test")
    assert settled(asked, shape).total_variation == variation
    assert settled(asked.model_copy(update={"total_variation": 0.3}), shape).total_variation == 0.3
    grown = settled(PrototypeOptions(), shape, standardise=objective == "standardised")
    assert grown.total_variation == variation


def test_penalties_are_weighed_in_the_spread_of_what_is_raised(tmp_path: Path) -> None:
    run = Run(unsaturated(tmp_path, 10), 1, 1)

    def drawn(objective: str, spread: float) -> np.ndarray:
        asked = PrototypeOptions.parse(
            {"objective": objective, "steps": 3, "total_variation": 1.0}, "test"
        )
        (made,) = make_prototypes(
            run,
            [Request((0,))],
            settled(asked, run.model.picture_shape),
            seed=0,
            batch=1,
            spread=spread,
            advance=uncounted,
        )
        return made.picture

    np.testing.assert_array_equal(drawn("standardised", 1.0), drawn("standardised", 9.0))
    assert (drawn("logit", 1.0) != drawn("logit", 9.0)).any()


@pytest.mark.parametrize(
    ("classes", "side", "channels", "objective"),
    [
        (100, 64, 3, "standardised"),
        (99, 64, 3, "logit"),
        (100, 63, 3, "logit"),
        (100, 64, 1, "logit"),
    ],
)
def test_only_scenes_in_colour_with_many_classes_are_standardised(
    tmp_path: Path, classes: int, side: int, channels: int, objective: str
) -> None:
    model = unsaturated(tmp_path, classes, side, channels)
    assert settled_for(PrototypeOptions(), model, 1).objective == objective


def test_standardised_logits_have_mean_0_and_deviation_1() -> None:
    op, (logits,) = start(logits=(2, 5))
    given = np.random.default_rng(0).normal(3, 7, (2, 5))
    (found,) = numbers(op, [standardised_logits(op, logits)], {"logits": given})
    centred = given - given.mean(1, keepdims=True)
    np.testing.assert_allclose(found, centred / given.std(1, keepdims=True), rtol=1e-4)


def test_a_class_that_rises_with_all_others_is_not_looked_for(tmp_path: Path) -> None:
    """The first pixels raise every class, the target's most of all: only the logit wants them."""
    side = 8
    weights = np.zeros((4, 3 * side * side))
    weights[:, :96] = 10.0
    weights[0, :96], weights[0, 96:] = 11.0, 1.0
    weights[1, 96:] = -1.0
    model = read_model(linear(tmp_path / "m.onnx", weights, side, 3))
    run = Run(model, 1, 1)

    def reached(objective: str) -> np.ndarray:
        asked = PrototypeOptions.parse(
            {"objective": objective, "steps": 24, "transform": "none", "noise": 0.0}, "test"
        )
        options = settled(asked, model.picture_shape).model_copy(update={"total_variation": 0.0})
        request = [Request((0,))]
        (drawn,) = make_prototypes(
            run, request, options, seed=0, batch=1, spread=1.0, advance=uncounted
        )
        return run.logits(drawn.picture[None])[0]

    plain, standardised = reached("logit"), reached("standardised")
    assert plain[0] > standardised[0]

    def apart(logits: np.ndarray) -> float:
        return float((logits[0] - logits.mean()) / logits.std())

    assert apart(standardised) > apart(plain)
