"""Class overlap: the prototypes' features and the weights, together and alone."""

import numpy as np
import pytest

from leap_audit.measure.overlap import LEAST_OTHERS, class_overlaps

CLASSES, WIDTH = 12, 16
TARGETS = [(0,), (1,), (2,), (3,)]
WEIGHTS = np.random.default_rng(0).normal(2, 1, (CLASSES, WIDTH))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def features() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [WEIGHTS[list(t)] + rng.normal(size=(2, WIDTH)) for t in TARGETS]


def test_the_weights_alone_are_compared_without_what_all_classes_share() -> None:
    centred = WEIGHTS - WEIGHTS.mean(0)
    found = class_overlaps(features(), TARGETS, WEIGHTS)
    want = [cosine(centred[2], each) for each in centred]
    assert found[2].weights == pytest.approx(want)
    assert found[2].weights[2] == pytest.approx(1)


def test_features_count_by_what_sets_them_apart_from_the_other_targets() -> None:
    each = features()
    centred = WEIGHTS - WEIGHTS.mean(0)
    common = np.mean([f.mean(0) for f in each[1:]], axis=0)
    shown = np.mean([[cosine(f - common, w) for w in centred] for f in each[0]], axis=0)
    found = class_overlaps(each, TARGETS, WEIGHTS)[0]
    assert found.combined == pytest.approx((shown + found.weights) / 2)


def test_another_prototype_of_the_same_target_is_not_among_the_others() -> None:
    each = features()
    alone = class_overlaps(each, TARGETS, WEIGHTS)[0].combined
    twice = class_overlaps([*each, each[0] + 5], [*TARGETS, (0,)], WEIGHTS)[0].combined
    assert twice == pytest.approx(alone)


def test_three_other_targets_are_needed() -> None:
    assert LEAST_OTHERS == 3
    found = class_overlaps(features()[:3], TARGETS[:3], WEIGHTS)
    assert all(each.combined is None for each in found)
    assert found[0].strongest((0,), 3) == []
    assert found[0].weights[0] == pytest.approx(1)


def test_the_strongest_leave_out_the_target() -> None:
    found = class_overlaps(features(), TARGETS, WEIGHTS)[1]
    assert found.combined is not None
    order = [k for k in np.argsort(-found.combined) if k != 1]
    assert found.strongest((1,), 3) == order[:3]


def test_a_hybrid_has_the_mean_of_its_classes_directions() -> None:
    centred = WEIGHTS - WEIGHTS.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    found = class_overlaps(features()[:1], [(4, 5)], WEIGHTS)[0]
    assert found.weights[7] == pytest.approx(cosine(unit[4] + unit[5], unit[7]))
