"""What several seeds agree on, and what stands near."""

import numpy as np
import pytest

from leap_audit.measure.entanglement import Shared
from leap_audit.measure.stability import agreement, faces, interval, nearest, similarity


def test_similarity_is_the_mean_cosine_of_all_pairs() -> None:
    features = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    assert similarity(features) == pytest.approx((0 + 2 * 0.5**0.5) / 3)
    assert similarity(np.ones((3, 4))) == pytest.approx(1)


def test_agreement_is_over_the_three_most_entangled_other_classes() -> None:
    a = Shared({0: 1.0, 1: 0.9, 2: 0.8, 3: 0.7, 4: 0.1})
    b = Shared({0: 1.0, 1: 0.9, 2: 0.8, 3: 0.1, 4: 0.7})
    assert agreement([a, a], (0,)) == 1
    assert agreement([a, b], (0,)) == pytest.approx(2 / 3)


def test_prototypes_that_look_alike_show_one_face() -> None:
    one, between, other = [1.0, 0, 0], [1.0, 1, 0], [0.0, 1, 0]
    far = [0.0, 0, 1]
    features = np.array([one, far, other, between])
    assert faces(features, [True] * 4) == ((0, 2, 3), (1,))  # 0 and 2 by what is between them
    assert faces(features[:3], [True] * 3) == ((0,), (1,), (2,))
    assert faces(features, [True, False, True, True]) == ((0, 2, 3),)
    assert faces(features, [False] * 4) == ()
    for cosine, number in ((0.501, 1), (0.499, 2)):
        pair = np.array([[1, 0], [cosine, (1 - cosine**2) ** 0.5]])
        assert len(faces(pair, [True] * 2)) == number


def test_an_interval_needs_two_seeds_that_compared_the_class() -> None:
    a, b, c = Shared({1: 0.5}), Shared({1: -0.5, 2: 0.1}), Shared({1: 0.2})
    assert interval([a, b, c], 1) == (-0.5, 0.5)
    assert interval([a, b, c], 2) is None


def test_the_nearest_by_what_is_not_common_to_all() -> None:
    rng = np.random.default_rng(0)
    common = 100 * np.ones(8)
    others = common + rng.standard_normal((5, 8))
    own = common + (others[3] - common)
    found = nearest(own, others, 2)
    assert found[0] == (3, pytest.approx(1))
    assert len(found) == 2
    assert found[0][1] > found[1][1]
    assert nearest(own, others[:0], 2) == []
    assert nearest(own, others[:1], 2)[0][0] == 0
