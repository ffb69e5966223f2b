"""A linear classifier on features: softmax regression, fitted by Newton's method."""

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.measure.examples.gathered import NO_LABEL, Folds, Gathered, Linear, softmax_rows
from leap_audit.measure.examples.last_layer import solved
from leap_audit.run.session import Array

__all__ = ["RIDGE", "fitted_probe", "out_of_fold", "ridge_of"]

RIDGE = 1e-3
"""Weight of the penalty, as a share of the variance of the features."""
STEPS = 30
ENOUGH = 1e-7
"""Length of the gradient, relative to the first one, at which the fit ends."""


def ridge_of(training: Gathered, share: float = RIDGE) -> float:
    """Return the weight of the penalty: a share of the variance of the features.

    Of the variance and not of the length: features behind a ReLU have a large mean in common.
    """
    square, mean = 0.0, np.zeros(training.width)
    for part in training.blocks():
        h = training.features(part)
        square += float((h**2).sum())
        mean += h.sum(0)
    count = len(training)
    variance = square / count - float(((mean / count) ** 2).sum())
    return share * max(variance, float(np.finfo(np.float32).tiny))


def fitted_probe(training: Gathered, classes: int, ridge: float) -> Linear:
    """Return the layer that minimises the mean cross-entropy + ridge/2 · ‖weights and bias‖².

    Newton's method with conjugate gradients and a line search: the loss is convex and has one
    minimum. Raises UsageError: a picture has no label.
    """
    if (training.labels == NO_LABEL).any() or not len(training):
        raise UsageError("a linear classifier is fitted to pictures whose classes are known.")
    w = np.zeros((classes, training.width + 1))
    loss, gradient = _loss(training, w, ridge)
    first = np.linalg.norm(gradient)
    for _ in range(STEPS):
        if np.linalg.norm(gradient) <= ENOUGH * first:
            break
        layer = Linear(w[:, :-1], w[:, -1])
        step = solved(training.with_linear(layer), gradient[None], ridge, tolerance=1e-4)[0][0]
        size, slope = 1.0, float((gradient * step).sum())
        while True:
            after, direction = _loss(training, w - size * step, ridge)
            if after <= loss - 1e-4 * size * slope or size < 1e-6:
                break
            size /= 2
        w, loss, gradient = w - size * step, after, direction
    return Linear(w[:, :-1], w[:, -1])


def out_of_fold(training: Gathered, classes: int, ridge: float, folds: int = 5) -> Gathered:
    """Return the pictures with the scores of each by a layer that was fitted without its fold.

    Picture i is in fold i modulo `folds` among those of its class, so that each fold has its part
    of each class. Raises UsageError: no class has two pictures.
    """
    fold = np.zeros(len(training), np.uint8)
    for class_ in range(classes):
        own = np.flatnonzero(training.labels == class_)
        fold[own] = np.arange(len(own)) % folds
    if not fold.any():
        raise UsageError("labels are judged by other pictures of their class, and none has two.")
    layers = tuple(
        fitted_probe(training.chosen(np.flatnonzero(fold != each)), classes, ridge)
        for each in range(int(fold.max()) + 1)
    )
    return training.with_folds(Folds(layers, fold))


def _loss(training: Gathered, w: Array, ridge: float) -> tuple[float, Array]:
    """The loss and its gradient, (classes, features + 1)."""
    loss, gradient = 0.0, np.zeros_like(w)
    for part in training.blocks():
        h = np.concatenate([training.features(part), np.ones((part.stop - part.start, 1))], 1)
        p = softmax_rows(h @ w.T)
        own = (np.arange(len(h)), training.labels[part])
        loss -= float(np.log(np.maximum(p[own], np.finfo(np.float64).tiny)).sum())
        p[own] -= 1
        gradient += p.T @ h
    count = len(training)
    return loss / count + ridge / 2 * float((w**2).sum()), gradient / count + ridge * w
