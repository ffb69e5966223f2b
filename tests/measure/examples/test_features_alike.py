"""Features that are alike in all pictures: no label is judged by them."""

import numpy as np
import pytest

from leap_audit.measure.examples.gathered import NO_LABEL, Gathered
from leap_audit.measure.examples.mislabelled import features_alike, judged_labels
from leap_audit.measure.examples.probe import out_of_fold, ridge_of

COUNT, MANY, FEW = 300, 45, 6
"""Pictures, and of these so many with a wrong label: above a tenth, and below."""


def judged(common: float, wrong: int) -> Gathered:
    """Two kinds of features around a common part, and so many labels exchanged."""
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % 2
    features = rng.normal(0, 0.02, (COUNT, 4))
    features[:, 0] += labels - 0.5
    features[:, 1] += common
    labels[:wrong] = 1 - labels[:wrong]
    gathered = Gathered.of(features, None, labels)
    return out_of_fold(gathered, 2, ridge_of(gathered))


def test_labels_are_judged_by_features_that_differ() -> None:
    pictures = judged(0, MANY)
    assert features_alike(pictures) is None
    assert len(judged_labels(pictures).doubted) == MANY


def test_nobody_is_listed_where_all_features_are_alike() -> None:
    pictures = judged(100, MANY)
    assert features_alike(pictures) == pytest.approx(1, abs=1e-3)
    assert judged_labels(pictures).doubted == ()


def test_what_tells_pictures_apart_counts_however_near_the_features_are() -> None:
    pictures = judged(100, FEW)
    assert features_alike(pictures) is None
    assert len(judged_labels(pictures).doubted) == FEW


def test_without_labels_the_cosine_alone_says_it() -> None:
    pictures = judged(100, 0)
    unlabelled = pictures.with_labels(np.full(COUNT, NO_LABEL))
    assert features_alike(unlabelled) == pytest.approx(1, abs=1e-3)
    assert judged_labels(unlabelled).doubted == ()
    apart = judged(0, 0).with_labels(np.full(COUNT, NO_LABEL))
    assert features_alike(apart) is None


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    features = np.random.default_rng(1).normal(0.5, 1, (20, 3))
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = (units @ units.T)[~np.eye(20, dtype=bool)]
    assert Gathered.of(features).mean_cosine() == pytest.approx(pairs.mean(), abs=1e-6)
    assert Gathered.of(features[:1]).mean_cosine() == 0
