"""The figures of the label-free benchmark, on encoders whose answer is known."""

from typing import Any

import numpy as np
import pytest

from benchmarks.label_free import interval, rates, shifts


def test_shifts_are_those_of_the_pixels_that_are_set_to_zero() -> Any:
    inputs = np.arange(1, 9, dtype=np.float32).reshape(2, 1, 2, 2)

    def encode(x: Any) -> Any:
        return x.reshape(len(x), -1)

    order = np.array([[3, 0, 1, 2], [0, 1, 2, 3]])
    assert shifts(encode, inputs, order, (0.25,)).tolist() == [4, 5]
    both = shifts(encode, inputs, order, (0.25, 0.5))
    assert np.allclose(both, [(4 + np.hypot(4, 1)) / 2, (5 + np.hypot(5, 6)) / 2])


def test_rates_and_intervals() -> None:
    labels = np.array([0, 1, 1, 0])
    assert rates(labels, np.array([[0, 3], [0, 1]]), np.array([0, 1])).tolist() == [1, 0.5]
    found = interval(np.array([1.0, 2.0, 3.0]), np.random.default_rng(0))
    assert found.mean == pytest.approx(2)
    assert 1 <= found.low < 2 < found.high <= 3
