"""Each constant of a measurement, at the edge where it starts to matter."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Sigmoids, Softmax
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.attribution.smoothgrad import SmoothGradOptions, smooth_gradient
from leap_audit.measure.draws import generator
from leap_audit.measure.entanglement import Shared, measure_entanglement, standardised
from leap_audit.measure.prototype.objective import target_weights
from leap_audit.measure.prototype.rate import best_rate
from leap_audit.measure.run import Run
from leap_audit.measure.stability import agreement, interval, nearest
from leap_audit.measure.subject import sharpness
from leap_audit.measure.targets import ClassTarget
from leap_audit.run.session import Array
from tests.builders.classifiers import Node, read_model, write_model

SIDE = 12


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a classifier whose class 1 is the sum of the squares of the pixels."""
    nodes: list[Node] = [
        ("Mul", ["x", "x"], "squared"),
        ("Flatten", ["squared"], "f"),
        ("Gemm", ["f", "w"], "y", {"transB": 1}),
    ]
    weights = {"w": np.stack([np.zeros(SIDE**2), np.ones(SIDE**2)])}
    path = tmp_path_factory.mktemp("squares") / "m.onnx"
    shape = ("n", 1, SIDE, SIDE)
    return read_model(write_model(path, nodes, weights, shape=shape, outputs=[("y", ("n", 2))]))


@pytest.mark.parametrize(("height", "factor"), [(25, 1), (26, 25 / 26), (50, 0.5)])
def test_scores_are_brought_within_twenty_five_of_their_median(
    height: float, factor: float
) -> None:
    assert sharpness(np.array([[height], [0.0], [0.0]]), Softmax(3)) == pytest.approx(factor)


def test_slopes_are_averaged_over_sixteen_copies_with_noise_of_fifteen_percent(
    squares: Model,
) -> None:
    """The slope is 2x, so its mean square is 4(x² + σ²), off by a share of √(2/16) at x = 0."""
    picture = np.zeros((1, SIDE, SIDE), np.float32)
    picture[0, : SIDE // 2] = 1
    score = Score(Run(squares, 16, 1), ClassTarget(1), 16)
    options, rng = SmoothGradOptions(kind="square"), np.random.default_rng(0)
    found = smooth_gradient(score.gradient, picture, options, rng, 16)[0]
    lit, black = found[: SIDE // 2], found[SIDE // 2 :]
    assert black.mean() / lit.mean() == pytest.approx(0.15**2 / (1 + 0.15**2), rel=0.1)
    assert black.std() / black.mean() == pytest.approx((2 / 16) ** 0.5, rel=0.2)


@pytest.mark.parametrize("batch", [3, 16])
def test_copies_are_as_many_as_declared_whatever_fits_together(batch: int) -> None:
    asked: list[int] = []

    def gradient(pictures: Array) -> Array:
        asked.append(len(pictures))
        return 2 * pictures

    options = SmoothGradOptions(copies=7, kind="variance")
    picture = np.random.default_rng(1).random((3, 4, 4))
    found = smooth_gradient(gradient, picture, options, np.random.default_rng(0), batch)
    assert asked == ([3, 3, 1] if batch == 3 else [7])
    noise = np.random.default_rng(0).standard_normal((7, 3, 4, 4), np.float32)
    spread = np.float32(0.15 * np.ptp(picture.astype(np.float32)))
    want = (2 * (picture.astype(np.float32) + spread * noise)).astype(np.float64).var(0)
    np.testing.assert_allclose(found, want, rtol=1e-4)


def test_a_blur_of_the_map_keeps_its_sum_far_from_the_edge() -> None:
    picture = np.zeros((1, 28, 28), np.float32)
    picture[0, 14, 14] = 1
    given = (lambda pictures: pictures, picture)
    for blur, peak in ((0.0, 1.0), (1 / 14, 1 / (2 * np.pi * 2**2))):
        options = SmoothGradOptions(copies=1, noise=0, blur=blur)
        found = smooth_gradient(*given, options, np.random.default_rng(0), 1)
        assert found.max() == pytest.approx(peak, rel=0.03)
        assert found.sum() == pytest.approx(1, rel=1e-3)


def test_seeds_are_compared_by_their_three_most_entangled_classes() -> None:
    shared = [
        Shared({0: 1.0, 1: 0.9, 2: 0.8, third: 0.7, fourth: 0.6})
        for third, fourth in ((3, 4), (4, 3))
    ]
    assert agreement(shared, (0,)) == pytest.approx(2 / 3)
    assert shared[0].others((0,)) == [1, 2, 3, 4]


def test_one_seed_has_no_interval() -> None:
    assert interval([Shared({1: 0.5}), Shared({2: 0.5})], 1) is None
    assert interval([Shared({1: 0.5}), Shared({1: 0.25})], 1) == (0.25, 0.5)


def test_the_nearest_photographs_are_so_beside_what_all_share() -> None:
    """All share a large third feature; without it the second one points away from the first."""
    others = np.array([[1.0, 0, 50], [-1, 0, 50], [0, 1, 50]])
    own = np.array([1.0, 0.0, 50])
    (first, cosine), (last, lowest) = (nearest(own, others, 3)[i] for i in (0, -1))
    assert (first, last) == (0, 1)
    assert cosine > 0.9
    assert lowest < -0.5


def test_a_logit_is_compared_with_at_least_three_others_and_not_with_itself() -> None:
    logits = np.array([[10.0], [1], [2], [3]])
    assert standardised(logits, 0, 0) == pytest.approx(8 / np.std([1, 2, 3]))
    assert standardised(logits[:3], 0, 0) is None


def test_gradients_of_the_twelve_highest_classes_are_compared(tmp_path: Path) -> None:
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Gemm", ["f", "w"], "m", {"transB": 1}),
        ("Mul", ["m", "m"], "y"),
    ]
    weights = {"w": np.random.default_rng(0).standard_normal((20, 64))}
    path = write_model(tmp_path / "m.onnx", nodes, weights, outputs=[("y", ("n", 20))])
    run = Run(read_model(path), 4, 1)
    picture = np.random.default_rng(1).random((1, 1, 8, 8)).astype(np.float32)
    highest = np.argsort(-run.logits(picture)[0])
    for target, number in ((int(highest[0]), 12), (int(highest[-1]), 13)):
        (shared,), _ = measure_entanglement(run, picture, [(target,)])
        assert set(shared.cosines) == {*map(int, highest[:12]), target}
        assert len(shared.cosines) == number


def test_draws_differ_by_seed_purpose_and_key() -> None:
    keys = ((0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2))
    assert len({generator(*key).random() for key in keys}) == len(keys)
    assert generator(*keys[0]).random() == generator(*keys[0]).random()


@pytest.mark.parametrize(("score", "share"), [(-0.1, 0.0), (0.0, 1.0), (0.1, 1.0)])
def test_a_label_is_said_from_half_on(score: float, share: float) -> None:
    assert Sigmoids(1).summary(np.array([[score]])).shares[0] == share


def test_a_third_of_the_best_rate_is_used() -> None:
    factors = [float(f) for f in range(1, 10)]
    assert best_rate(factors, [0, 1, 2, 3, 4, 5, 4, 3, 2]) == pytest.approx(6 / 3)


def test_a_hybrid_is_of_equal_parts_that_add_up_to_one() -> None:
    np.testing.assert_allclose(target_weights([(0, 2), (1,)], 3), [[0.5, 0, 0.5], [0, 1, 0]])
