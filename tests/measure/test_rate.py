"""Learning rates that fall, the one that a range test finds, and what has settled."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from leap_audit.measure.prototype.rate import (
    CAUTION,
    best_rate,
    has_settled,
    range_test,
    settling,
)


@pytest.mark.parametrize("steps", [1, 10, 192])
def test_full_then_falling_to_almost_nothing(steps: int) -> None:
    rates = settling(steps)
    assert len(rates) == steps
    assert rates[0] == 1
    assert rates == sorted(rates, reverse=True)
    if steps > 5:
        assert rates[int(0.6 * steps)] == 1
        assert rates[-1] < 0.35


def test_the_test_rises_by_equal_factors() -> None:
    rates = np.array(range_test(30))
    assert (np.diff(np.log(rates)).round(6) == np.diff(np.log(rates)).round(6)[0]).all()
    assert rates[0] < 1 < rates[-1]


def test_a_third_of_the_rate_at_which_the_score_stood_highest() -> None:
    rates = range_test(101)
    scores = [-(abs(i - 60) ** 2) for i in range(101)]
    assert best_rate(rates, scores) == pytest.approx(rates[60] / CAUTION)
    noisy = np.array(scores) + 100 * np.random.default_rng(0).standard_normal(101)
    assert rates[50] < best_rate(rates, list(noisy)) * CAUTION < rates[70]


def test_converged_means_that_the_end_is_flat() -> None:
    t = np.linspace(0, 1, 80)
    assert has_settled(1 - np.exp(-12 * t))
    assert not has_settled(t)
    assert not has_settled(np.ones(7))  # too few steps to tell
    assert has_settled(np.ones(64))  # what cannot rise has settled
    steps = np.arange(80.0)
    assert has_settled(steps % 2 + 0.001 * steps)  # a rise that chance would bring as well
    assert not has_settled(t + 1e-3 * np.random.default_rng(1).standard_normal(len(t)))


@pytest.mark.parametrize("steps", [24, 48, 96, 192])
def test_a_noisy_rise_has_not_settled(steps: int) -> None:
    """What rises evenly is told from what is flat in nine of ten draws, however few the steps."""
    rng = np.random.default_rng(steps)
    t = np.linspace(0, 1, steps)
    noise = 0.2 * rng.standard_normal((200, steps))
    assert np.mean([has_settled(t + each) for each in noise]) < 0.1
    assert np.mean([has_settled(each) for each in noise]) > 0.9


@pytest.mark.parametrize(("share", "settled"), [(0.095, True), (0.105, False)])
def test_a_tenth_of_the_rise_may_be_left(share: float, settled: bool) -> None:
    """The later half of 125 steps at full learning rate is a line: 15 more bring the share."""
    steps = np.arange(192.0)

    def curve(slope: float) -> NDArray[np.float64]:
        return np.minimum(steps, 62) / 62 + slope * np.maximum(steps - 62, 0)

    def left(slope: float) -> float:
        return float(15 * slope / (curve(slope)[110:125].mean() - curve(slope)[:15].mean()))

    slope = next(s for s in np.linspace(0, 0.02, 20001) if left(s) >= share)
    assert has_settled(curve(slope)) == settled


@pytest.mark.parametrize(("errors", "settled"), [(1.9, True), (2.1, False)])
def test_a_rise_of_two_standard_errors_is_one(errors: float, settled: bool) -> None:
    steps = np.arange(192.0)
    noise = np.random.default_rng(0).standard_normal(192)
    full, own = steps[:125] - 62, noise[:125]
    own -= own.mean() + full * (full @ own) / (full @ full)  # without a slope of its own
    error = np.sqrt(own @ own / 123 / (full @ full))
    assert has_settled(noise + errors * error * steps) == settled


def test_what_is_nearly_flat_at_the_end_has_settled() -> None:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, 192)
    noise = 0.05 * rng.standard_normal((100, 192))
    assert np.mean([has_settled(1 - np.exp(-8 * t) + each) for each in noise]) > 0.95
    assert np.mean([has_settled(1 - np.exp(-1.2 * t) + each) for each in noise]) < 0.1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_curve_of_equal_numbers_has_settled(kind: type[np.floating[Any]]) -> None:
    """Whichever number it is: rounding gives no slope."""
    for number in 10 * np.random.default_rng(0).standard_normal(100):
        for steps in (24, 96, 128, 192):
            assert has_settled(np.full(steps, number, kind))
