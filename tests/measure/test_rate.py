"""Learning rates that fall, and the one that a range test finds."""

import numpy as np
import pytest

from leap_audit.measure.prototype.rate import CAUTION, best_rate, range_test, settling


@pytest.mark.parametrize("steps", [1, 10, 192])
def test_full_then_falling_to_almost_nothing(steps: int) -> None:
    rates = settling(steps, 0.35)
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
