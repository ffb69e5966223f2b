"""Training pictures behind an answer, against slower and independent ways to the same numbers."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from leap_audit.errors import UsageError
from leap_audit.measure.examples.gathered import Folds, Gathered, Linear, softmax_rows
from leap_audit.measure.examples.last_layer import (
    curvature,
    influences,
    mean_curvature,
    self_influence,
    tracin,
)
from leap_audit.measure.examples.mislabelled import judged_labels
from leap_audit.measure.examples.neighbours import nearest_training
from leap_audit.measure.examples.probe import fitted_probe, out_of_fold, ridge_of
from leap_audit.measure.examples.simplex import mixtures


def blobs(seed: int = 0, count: int = 120, width: int = 6, classes: int = 3) -> Gathered:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = rng.normal(size=(classes, width)) * 1.2
    features = centres[labels] + rng.normal(size=(count, width))
    scores = rng.normal(size=(count, classes))
    return Gathered.of(features, scores, labels)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_neighbours_are_those_of_all_pairs(metric: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("leap_audit.measure.examples.gathered.BLOCK", 7)
    training, pictures = blobs(), blobs(1, 5)
    h, x = training.features(), pictures.features()
    if metric == "cosine":
        pairs = (x @ h.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(h, axis=1)
    else:
        pairs = -np.linalg.norm(x[:, None] - h[None], axis=2)
    values, places = nearest_training(training, pictures, 4, metric)
    assert np.array_equal(places, np.argsort(-pairs, 1, kind="stable")[:, :4])
    assert np.allclose(values, np.take_along_axis(pairs, places, 1), atol=1e-9)


def test_a_picture_is_its_own_nearest_at_no_distance() -> None:
    training = Gathered.of(blobs().features() + 1e4)
    values, places = nearest_training(training, training.chosen(np.array([17])), 1, "l2")
    assert places[0, 0] == 17
    assert values[0, 0] == 0


def test_of_equal_neighbours_the_first_comes_first() -> None:
    training = Gathered.of(np.ones((5, 3)))
    assert nearest_training(training, training.chosen(np.array([4])), 3)[1].tolist() == [[0, 1, 2]]


def slow_mixture(h: Any, hull: Any, steps: Any = 20000) -> Any:
    """Projected gradient on the simplex, by sorting (Duchi et al. 2008)."""
    w = np.full(len(hull), 1 / len(hull))
    rate = 1 / np.linalg.norm(hull @ hull.T, 2)
    for _ in range(steps):
        v = w - rate * hull @ (w @ hull - h)
        u = np.sort(v)[::-1]
        k = np.flatnonzero(u + (1 - np.cumsum(u)) / np.arange(1, len(u) + 1) > 0)[-1]
        w = np.maximum(v + (1 - u[: k + 1].sum()) / (k + 1), 0)
    return w


def test_mixtures_are_the_nearest_points_of_the_hull() -> None:
    training, pictures = blobs(count=40), blobs(2, 4)
    hull = training.features()
    for h, mixture in zip(pictures.features(), mixtures(training, pictures), strict=True):
        assert mixture.weights.min() > 0
        assert mixture.weights.sum() == pytest.approx(1, abs=1e-9)
        point = mixture.weights @ hull[mixture.places]
        assert mixture.residual == pytest.approx(np.linalg.norm(point - h) / np.linalg.norm(h))
        slow = np.linalg.norm(slow_mixture(h, hull) @ hull - h) / np.linalg.norm(h)
        assert mixture.residual <= slow + 1e-6
        assert mixture.residual >= slow - 1e-3
        assert 0 <= mixture.gap < 1e-6
        # the certificate, from its definition: no training picture lies further towards h
        away = point - h
        assert ((hull - point) @ away).min() >= -1e-5 * (h @ h)


def test_a_mixture_of_training_pictures_is_seen_through() -> None:
    training = blobs(count=18, width=20)
    weights = np.array([0.5, 0.3, 0.2])
    mixed = Gathered.of((weights @ training.features()[[3, 8, 15]])[None])
    (mixture,) = mixtures(training, mixed, tolerance=1e-14)
    assert mixture.places[:3].tolist() == [3, 8, 15]
    assert np.allclose(mixture.weights[:3], weights, atol=1e-3)
    assert mixture.weights[3:].sum() < 1e-3
    assert mixture.residual < 1e-4


def gradients(data: Gathered, bias: bool = True) -> np.ndarray:
    h = data.features()
    h = np.concatenate([h, np.ones((len(h), 1))], 1) if bias else h
    delta = softmax_rows(data.scores())
    delta[np.arange(len(h)), data.labels] -= 1
    return np.einsum("nk,nd->nkd", delta, h).reshape(len(h), -1)


@pytest.mark.parametrize("bias", [True, False])
def test_tracin_is_the_product_of_the_gradients(bias: Any) -> None:
    training, pictures = blobs(), blobs(3, 4)
    slow = gradients(pictures, bias) @ gradients(training, bias).T
    assert np.allclose(tracin(training, pictures, bias=bias), slow)
    own = (gradients(training, bias) ** 2).sum(1)
    assert np.allclose(self_influence(training, bias=bias), own)


def test_tracin_is_that_of_captum() -> Any:
    torch = pytest.importorskip("torch")
    fast = pytest.importorskip("captum.influence").TracInCPFast
    training, pictures = blobs(), blobs(4, 5)
    torch.manual_seed(0)
    layer = torch.nn.Linear(training.width, 3)
    data = [torch.as_tensor(each.features(), dtype=torch.float32) for each in (training, pictures)]
    labels = [torch.as_tensor(each.labels) for each in (training, pictures)]

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = layer

        def forward(self, x: Any) -> Any:
            return self.last(x)

    net = Net()
    peer = fast(
        net,
        "last",
        torch.utils.data.TensorDataset(data[0], labels[0]),
        ["one"],
        checkpoints_load_func=lambda *_: 1.0,
        loss_fn=torch.nn.CrossEntropyLoss(reduction="sum"),
        batch_size=16,
    )
    theirs = peer.influence((data[1], labels[1])).numpy()
    weights = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    ours = tracin(
        *(
            Gathered.of(each.features(), each.features() @ weights[0].T + weights[1], each.labels)
            for each in (training, pictures)
        ),
        bias=False,  # captum multiplies the inputs of the layer, without its bias
    )
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_curvature_is_the_hessian() -> None:
    training = blobs(count=30)
    h = np.concatenate([training.features(), np.ones((30, 1))], 1)
    p = softmax_rows(training.scores())
    middle = np.einsum("nk,kl->nkl", p, np.eye(3)) - np.einsum("nk,nl->nkl", p, p)
    hessian = np.einsum("nkl,nd,ne->kdle", middle, h, h).reshape(21, 21) / 30
    vectors = np.random.default_rng(0).normal(size=(2, 3, 7))
    slow = (vectors.reshape(2, -1) @ hessian).reshape(vectors.shape)
    assert np.allclose(curvature(training, vectors), slow)
    assert mean_curvature(training) == pytest.approx(np.trace(hessian) / 21)


def test_influence_is_what_fitting_again_without_a_picture_does() -> Any:
    training, pictures = blobs(count=120), blobs(5, 3)
    ridge = 0.03
    layer = fitted_probe(training, 3, ridge)
    whole, shown = training.with_linear(layer), pictures.with_linear(layer)
    estimated, left = influences(whole, shown, ridge)
    assert left < 1e-5

    def losses(fitted: Any) -> np.ndarray:
        p = softmax_rows(pictures.with_linear(fitted).scores())
        return -np.log(p[np.arange(3), pictures.labels])

    before = losses(layer)
    actual = np.stack(
        [
            losses(fitted_probe(training.chosen(np.arange(120) != i), 3, ridge)) - before
            for i in range(120)
        ],
        1,
    )
    for one, other in zip(estimated, actual, strict=True):
        assert np.corrcoef(one, other)[0, 1] >= 0.99
        assert np.polyfit(one, other, 1)[0] == pytest.approx(1, abs=0.3)


def test_the_probe_is_at_the_minimum() -> None:
    training = blobs()
    layer = fitted_probe(training, 3, 0.01)
    w = np.concatenate([layer.weights, layer.bias[:, None]], 1)
    mean = gradients(training.with_linear(layer)).mean(0).reshape(w.shape)
    assert np.abs(mean + 0.01 * w).max() < 1e-6


def test_a_fold_is_scored_by_a_layer_that_did_not_see_it() -> None:
    training = blobs(count=30)
    other = training.labels.copy()
    other[0] = (other[0] + 1) % 3
    for labels in (training.labels, other):
        scores = out_of_fold(training.with_labels(labels), 3, 0.01).scores()
        rest = training.with_labels(labels)
        fold = np.zeros(30, int)
        for k in range(3):
            fold[labels == k] = np.arange((labels == k).sum()) % 5
        layer = fitted_probe(rest.chosen(fold != fold[0]), 3, 0.01)
        assert np.allclose(scores[0], rest.with_linear(layer).scores(np.array([0]))[0])


def test_the_penalty_is_a_share_of_the_variance() -> None:
    training = blobs()
    variance = training.features().var(0).sum()
    assert ridge_of(training, 0.5) == pytest.approx(variance / 2)
    assert ridge_of(Gathered.of(training.features() + 10), 0.5) == pytest.approx(variance / 2)


def test_pictures_without_labels_have_no_loss() -> None:
    with pytest.raises(UsageError, match="without a class"):
        self_influence(Gathered.of(np.ones((3, 2)), np.ones((3, 2))))
    with pytest.raises(UsageError, match="above 0"):
        influences(blobs(), blobs(), 0.0)


def test_flipped_labels_come_first_and_clean_ones_raise_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    features = np.eye(3)[labels] * 4 + rng.normal(size=(300, 3)) * 0.5
    clean = Gathered.of(features, None, labels)
    ridge = ridge_of(clean)
    assert judged_labels(out_of_fold(clean, 3, ridge)).doubted == ()
    flipped = np.sort(rng.choice(300, 15, replace=False))
    wrong = labels.copy()
    wrong[flipped] = (wrong[flipped] + 1) % 3
    planted = clean.with_labels(wrong)
    doubted = judged_labels(out_of_fold(planted, 3, ridge)).doubted
    assert {each.place for each in doubted} <= set(flipped.tolist())
    assert len(doubted) >= 13
    assert all(each.suggested == labels[each.place] for each in doubted)
    assert [d.influence for d in doubted] == sorted((d.influence for d in doubted), reverse=True)


def test_labels_are_judged_without_the_scores_of_all_pictures_in_memory() -> None:
    """10^5 pictures with 1,000 classes would have 0.8 GB of them."""
    count, classes = 20_000, 400
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count)
    features = rng.normal(size=(count, 8)).astype(np.float32)
    layers = tuple(Linear(rng.normal(size=(classes, 8)), np.zeros(classes)) for _ in range(5))
    pictures = Gathered.of(features, None, labels)
    folds = Folds(layers, (np.arange(count) % 5).astype(np.uint8))
    tracemalloc.start()
    judged_labels(pictures.with_folds(folds))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < count * classes * 8 * 0.8
    few = np.array([7, 0, 19_999, 3])
    wanted = [features[i] @ layers[i % 5].weights.T for i in few]
    assert np.allclose(pictures.with_folds(folds).scores(few), wanted, atol=1e-5)
    assert np.allclose(pictures.with_folds(folds).chosen(few).scores(), wanted, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_hard_pictures_of_the_right_label_are_not_listed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(600) % 3
    features = np.eye(3)[labels] * 4 + rng.normal(size=(600, 3)) * 1.2
    hard = Gathered.of(features, None, labels)
    judged = out_of_fold(hard, 3, ridge_of(hard))
    assert (judged.scores().argmax(1) != labels).sum() >= 5
    assert judged_labels(judged).doubted == ()
    wrong = labels.copy()
    far = np.flatnonzero(np.abs(features - np.eye(3)[labels] * 4).max(1) < 0.8)[:6]
    wrong[far] = (wrong[far] + 1) % 3
    planted = hard.with_labels(wrong)
    doubted = judged_labels(out_of_fold(planted, 3, ridge_of(planted))).doubted
    assert {each.place for each in doubted} == set(far.tolist())
    assert all(each.q <= 0.01 for each in doubted)


def test_labels_of_one_class_are_not_doubted() -> None:
    one = Gathered.of(np.ones((4, 2)), np.arange(4.0)[:, None], np.zeros(4, int))
    assert judged_labels(one).doubted == ()
