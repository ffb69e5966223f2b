"""The figures of the benchmark of changed labels, where they are known."""

import numpy as np

from benchmarks.mislabelled import found


def test_features_that_hold_the_class_tell_changed_labels() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 10
    features = np.eye(10)[labels] + rng.normal(0, 0.1, (400, 10))
    result = found(features, 10 * features, labels, 20, seed=0)
    assert result.areas["self-influence"] > 0.99
    assert 0.3 < result.areas["random"] < 0.7
    assert result.listed - result.right <= 2
    assert result.right >= 18
