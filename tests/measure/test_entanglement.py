"""Entanglement by gradients, and the standardised logit. By weights: see test_final_layer."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from leap_audit.measure import entanglement
from leap_audit.measure.entanglement import GRADIENTS, measure_entanglement, standardised
from leap_audit.measure.run import Run
from tests.builders.classifiers import Node, read_model, write_model


def curved(path: Path, classes: int = 3) -> Run:
    """logits = tanh(pixels · w) · v + sigmoid of the same: no linear end."""
    rng = np.random.default_rng(0)
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("MatMul", ["f", "w"], "m"),
        ("Tanh", ["m"], "t"),
        ("MatMul", ["t", "v"], "n"),
        ("Sigmoid", ["n"], "s"),
        ("Mul", ["n", "s"], "y"),
    ]
    weights = {"w": rng.standard_normal((16, 6)) / 2, "v": rng.standard_normal((6, classes))}
    shape = ("n", 1, 4, 4)
    write_model(path, nodes, weights, shape=shape, outputs=[("y", ("n", classes))])
    return Run(read_model(path), 2, 1)


def quotients(classifier: Run, picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (classes, pixels): each logit's slope along each pixel."""
    step = 1e-2
    rows = []
    for pixel in np.eye(picture.size):
        move = step * pixel.reshape(picture.shape)
        ahead, behind = classifier.logits(np.stack([picture + move, picture - move]))
        rows.append((ahead - behind) / (2 * step))
    return np.array(rows, np.float64).T


def test_gradients_equal_difference_quotients(tmp_path: Path) -> None:
    classifier = curved(tmp_path / "m.onnx")
    assert classifier.weights is None
    pictures = np.random.default_rng(1).random((2, 1, 4, 4))
    targets = [(1,), (0, 2)]
    shared, method = measure_entanglement(classifier, pictures, targets)
    assert method == GRADIENTS
    for picture, target, item in zip(pictures, targets, shared, strict=True):
        slopes = quotients(classifier, picture)
        own = slopes[list(target)].mean(0)
        for k in range(3):
            norms = np.linalg.norm(own) * np.linalg.norm(slopes[k])
            want = float(own @ slopes[k]) / float(norms)
            assert item.cosines[k] == pytest.approx(want, abs=5e-3)
    assert shared[0].cosines[1] == pytest.approx(1, abs=1e-5)


def test_gradients_are_compared_for_the_target_and_the_highest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entanglement, "CANDIDATES", 2)
    classifier = curved(tmp_path / "m.onnx", classes=6)
    picture = np.random.default_rng(1).random((1, 1, 4, 4))
    order = np.argsort(-classifier.logits(picture)[0])
    (found,), _ = measure_entanglement(classifier, picture, [(int(order[-1]),)])
    assert set(found.cosines) == {int(order[0]), int(order[1]), int(order[-1])}


def test_nothing_to_compare(tmp_path: Path) -> None:
    assert measure_entanglement(curved(tmp_path / "m.onnx"), np.zeros((0, 1, 4, 4)), [])[0] == []


def test_standardised_is_in_deviations_of_the_others() -> None:
    logits = np.array([[9.0, 0], [1, 0], [2, 0], [3, 0], [6, 0]])
    others = logits[1:, 0]
    assert standardised(logits, 0, 0) == pytest.approx((9 - others.mean()) / others.std())
    assert standardised(logits, 0, 1) is None  # always the same: no deviation to measure in


@pytest.mark.parametrize(("rows", "known"), [(1, False), (3, False), (4, True)])
def test_standardised_needs_three_others(rows: int, known: bool) -> None:
    logits = np.random.default_rng(0).standard_normal((rows, 2))
    assert (standardised(logits, 0, 0) is not None) == known
