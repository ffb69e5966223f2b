"""The share of a map inside a box, which the benchmark of detectors reports."""

import numpy as np
import pytest

from benchmarks.detectors import inside


def test_the_share_counts_sizes_inside_the_box() -> None:
    values = np.zeros((4, 8))
    values[1, 2], values[3, 7], values[0, 0] = -3.0, 1.0, 0.0
    share, area = inside(values, (0.25, 0.25, 0.5, 0.75))
    assert share == pytest.approx(0.75)
    assert area == pytest.approx(2 * 2 / 32)
    assert inside(np.ones((4, 8)), (0, 0, 1, 1)) == (1.0, 1.0)
