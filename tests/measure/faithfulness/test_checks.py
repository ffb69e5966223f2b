"""Checks of attributions, where the answer is known."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.measure.attribution.smoothing import explainer
from leap_audit.measure.faithfulness.checks import FAITHFULNESS_CHECKS, Checked, check_attribution
from leap_audit.measure.faithfulness.comparison import paired_interval, standings
from leap_audit.measure.faithfulness.dependence import entropy_gain, rank_correlation
from leap_audit.measure.faithfulness.description import sparseness
from leap_audit.measure.faithfulness.localisation import (
    box_mask,
    focus,
    mosaic,
    pointing,
    rank_accuracy,
    relevance_mass,
)
from leap_audit.measure.faithfulness.ranking import STEPS, fill_of, insertion_deletion
from leap_audit.measure.faithfulness.robustness import infidelity, max_sensitivity
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array
from tests.builders.classifiers import linear, read_model

RNG = np.random.default_rng(0)


def test_insertion_and_deletion_of_a_model_that_counts_pixels() -> None:
    picture = np.ones((1, 4, 8), np.float32)

    def lit(pictures: Array) -> Array:
        return np.asarray(pictures[:, 0].mean((1, 2)))

    found = insertion_deletion(lit, picture, RNG.random((4, 8)), 0 * picture)
    steps = np.linspace(0, 1, STEPS + 1)
    assert found.insertion == pytest.approx(steps.mean())
    assert found.deletion == pytest.approx(steps.mean())
    assert found.gain == pytest.approx(0)


def test_the_right_order_gains_and_the_reverse_loses() -> None:
    picture = np.ones((1, 4, 8), np.float32)

    def corner(pictures: Array) -> Array:
        return np.asarray(pictures[:, 0, 0, 0])

    values = np.zeros((4, 8))
    values[0, 0] = 1
    right = insertion_deletion(corner, picture, values, 0 * picture)
    assert (right.insertion, right.deletion) == pytest.approx((32 / 33, 1 / 33))
    wrong = insertion_deletion(corner, picture, -values, 0 * picture)
    assert wrong.gain == pytest.approx(-right.gain)


def test_fills_keep_the_mean_colour_and_the_coarse_picture() -> None:
    picture = RNG.random((3, 24, 24), np.float32)
    assert np.allclose(fill_of(picture, "mean"), picture.mean((1, 2))[:, None, None])
    blurred = fill_of(picture, "blur")
    assert blurred.shape == picture.shape
    assert 0 < blurred.std() < 0.4 * picture.std()


def test_infidelity_of_a_linear_model() -> None:
    weights = RNG.standard_normal((1, 6, 6))
    picture = RNG.random((1, 6, 6), np.float32)

    def score(pictures: Array) -> Array:
        return (pictures * weights).sum((1, 2, 3), dtype=np.float64)

    rng = np.random.default_rng
    assert infidelity(score, picture, weights, rng(1)) < 1e-6
    assert infidelity(score, picture, 7 * weights, rng(1)) < 1e-6
    assert infidelity(score, picture, 0 * weights, rng(1)) == 1
    other = RNG.standard_normal((1, 6, 6))
    cosine = (other * weights).sum() / np.linalg.norm(other) / np.linalg.norm(weights)
    assert infidelity(score, picture, other, rng(1), 4000) == pytest.approx(1 - cosine**2, abs=0.05)


def test_sensitivity_of_the_picture_itself() -> None:
    picture = RNG.random((1, 5, 5), np.float32)
    found = max_sensitivity(lambda p: p[0], picture, picture[0], np.random.default_rng(0), 50)
    radius = 0.02 * np.ptp(picture)
    assert 0.4 * radius * 5 < found * np.linalg.norm(picture) <= radius * 5 + 1e-6
    assert max_sensitivity(lambda _: picture[0], picture, picture[0], RNG) == 0


def test_rank_correlation_shares_ranks_between_equals() -> None:
    a, b = RNG.random((6, 6)), RNG.random((6, 6))
    from scipy.stats import spearmanr

    b[0] = 0.5
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert rank_correlation(a, np.exp(3 * a)) == pytest.approx(1)
    assert rank_correlation(a, 0 * b) == 0


def test_entropy_rises_when_a_map_becomes_even() -> None:
    peaked, even = np.zeros((20, 20)), np.arange(400.0).reshape(20, 20)
    peaked[:2] = 1
    peaked[2] = 0.5
    assert entropy_gain(peaked, even) > 1
    assert entropy_gain(even, even) == 0
    assert entropy_gain(even, peaked) < 0


def test_sparseness_is_the_gini_index() -> None:
    assert sparseness(np.ones((4, 4))) == pytest.approx(0)
    one = np.zeros(16)
    one[3] = -2
    assert sparseness(one) == pytest.approx(15 / 16)
    assert sparseness(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 9)


def test_localisation_on_a_mask() -> None:
    values = np.array([[4.0, 1.0], [-9.0, 2.0]])
    mask = np.array([[True, False], [True, False]])
    assert pointing(values, mask) == 1
    assert relevance_mass(values, mask) == pytest.approx(4 / 7)
    assert rank_accuracy(values, mask) == 0.5
    assert pointing(-values, mask) == 1
    assert pointing(np.ones((2, 2)), mask) == 0.5
    np.testing.assert_array_equal(box_mask((4, 4), (0.5, 0, 1, 0.5))[2:, :2], np.ones((2, 2), bool))
    assert box_mask((4, 4), (0.5, 0, 1, 0.5)).sum() == 4


def test_a_mosaic_and_the_focus_on_it() -> None:
    pictures = [np.full((1, 7, 6), v, np.float32) for v in (0.1, 0.2, 0.3, 0.4)]
    whole = mosaic(pictures)
    assert whole.shape == (1, 7, 6)
    assert [whole[0, y, x] for y in (0, 5) for x in (0, 5)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    values = np.zeros((6, 6))
    values[:3, :3], values[3:, 3:] = 1, 3
    assert focus(values, (True, False, False, False)) == pytest.approx(0.25)
    assert focus(values, (True, False, False, True)) == 1
    assert focus(np.ones((6, 6)), (False, True, True, False)) == pytest.approx(0.5)


def test_standings_are_paired() -> None:
    base = RNG.random(30)
    figures = {"a": base, "b": base - 0.1, "c": base + RNG.normal(0, 0.1, 30) - 0.3}
    first, *others = standings(figures, np.random.default_rng(0))
    assert first.method == "a"
    assert (first.behind, first.low, first.high) == (0, 0, 0)
    b = next(s for s in others if s.method == "b")
    assert (b.low, b.high) == pytest.approx((0.1, 0.1))
    low, high = paired_interval(RNG.normal(0.5, 1, 400), np.random.default_rng(0))
    assert 0.3 < low < 0.5 < high < 0.7


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    weights = np.random.default_rng(3).standard_normal((3, 64))
    model = read_model(linear(tmp_path / "m.onnx", weights))
    run = Run(model, 8, 1)
    picture = np.random.default_rng(4).random((1, 8, 8), np.float32)
    subject = Subject(picture, int(run.logits(picture[None])[0].argmax()))
    method = explainer("saliency")
    options = method.options.parse({"absolute": False}, "test")
    (explanation,) = method.function(run, [subject], options, seed=0)
    return Checked(run, method, options, subject, explanation, mask=np.eye(8) > 0)


def test_every_check_answers_for_the_gradient_of_a_linear_model(checked: Checked) -> None:
    found = check_attribution(checked)
    assert set(FAITHFULNESS_CHECKS) - set(found) == {"completeness_gap"}  # saliency promises no sum
    assert found["infidelity"] < 1e-4
    assert found["max_sensitivity"] < 1e-4
    assert abs(found["other_class"]) < 0.9
    assert found["gain_mean"] == pytest.approx(found["insertion_mean"] - found["deletion_mean"])
    assert found["gain_blur"] > 0
    quick = check_attribution(checked, slow=False)
    assert {n for n in found if n not in quick} == {
        n for n, c in FAITHFULNESS_CHECKS.items() if c.slow
    }
    assert check_attribution(checked) == found


def test_every_check_says_what_it_cannot_say() -> None:
    for check in FAITHFULNESS_CHECKS.values():
        assert check.question.endswith(".")
        assert check.limits.endswith(".")
        assert check.better in ("high", "low", "")
