"""TracIn and influence functions of the last layer, in closed form.

The gradient of the cross-entropy with respect to the last layer is δhᵀ, with δ = p − onehot(label)
and features h, so that two gradients have the product (δ·δ')(h·h' + 1); the 1 is of the bias. No
gradient is ever stored.
"""

from collections.abc import Callable

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.measure.examples.gathered import Gathered, softmax_rows
from leap_audit.run.session import Array

__all__ = ["curvature", "influences", "mean_curvature", "self_influence", "solved", "tracin"]

NUMBERS = 4_000_000
"""In the largest array of a product with the Hessian."""


def tracin(training: Gathered, pictures: Gathered, *, bias: bool = True) -> Array:
    """Return (m, n): the products of the gradients of the last layer (Pruthi et al. 2020).

    Of one checkpoint and the learning rate 1; the sum over checkpoints, each times its learning
    rate, is TracInCP. Above 0: a step on the training picture lowers the loss of the picture.
    """
    of, delta = pictures.features(), pictures.errors()
    parts = [
        (delta @ training.errors(part).T) * (of @ training.features(part).T + float(bias))
        for part in training.blocks()
    ]
    return np.concatenate(parts, 1)


def self_influence(training: Gathered, *, bias: bool = True) -> Array:
    """Return (n,): the squared length of the gradient of each picture's own loss.

    Pictures whose label the model contradicts come first (Pruthi et al. 2020, section 4.1).
    """
    parts = [
        (training.errors(part) ** 2).sum(1) * ((training.features(part) ** 2).sum(1) + float(bias))
        for part in training.blocks()
    ]
    return np.concatenate(parts)


def curvature(training: Gathered, vectors: Array, *, bias: bool = True) -> Array:
    """Return the Hessian of the mean cross-entropy times vectors, (m, classes, features + bias).

    H = mean of (diag p − ppᵀ) ⊗ hhᵀ, which is never written out.
    """
    several = len(vectors)
    flat = vectors.reshape(-1, vectors.shape[2])
    total = np.zeros_like(flat)
    for part in training.blocks(max(1, min(2048, NUMBERS // max(1, len(flat))))):
        h = _with_bias(training.features(part), bias=bias)
        p = softmax_rows(training.scores(part))[:, None]
        z = (h @ flat.T).reshape(len(h), several, -1)
        weighed = p * (z - (p * z).sum(2, keepdims=True))
        total += weighed.reshape(len(h), -1).T @ h
    return np.asarray((total / len(training)).reshape(vectors.shape))


def solved(
    training: Gathered,
    right: Array,
    ridge: float,
    *,
    bias: bool = True,
    steps: int = 200,
    tolerance: float = 1e-6,
    advance: Callable[[], object] = lambda: None,
) -> tuple[Array, float]:
    """Return (H + ridge)⁻¹ times vectors by conjugate gradients, and the largest relative residual.

    right: (m, classes, features + bias). ridge: above 0.
    """
    if ridge <= 0:
        raise UsageError("the damping of influence is a number above 0.")
    solution = np.zeros_like(right)
    residual = right.copy()
    direction = right.copy()
    square = (residual**2).sum((1, 2))
    first = np.maximum(square, np.finfo(np.float64).tiny)
    for _ in range(steps):
        if (square <= first * tolerance**2).all():
            break
        product = curvature(training, direction, bias=bias) + ridge * direction
        along = (direction * product).sum((1, 2))
        step = np.where(along > 0, square / np.where(along > 0, along, 1), 0)[:, None, None]
        solution += step * direction
        residual -= step * product
        after = (residual**2).sum((1, 2))
        ratio = np.where(square > 0, after / np.where(square > 0, square, 1), 0)
        direction = residual + ratio[:, None, None] * direction
        square = after
        advance()
    return solution, float(np.sqrt((square / first).max(initial=0.0)))


def mean_curvature(training: Gathered, *, bias: bool = True) -> float:
    """Return the mean eigenvalue of the Hessian of the last layer."""
    total = 0.0
    for part in training.blocks():
        p = softmax_rows(training.scores(part))
        lengths = (training.features(part) ** 2).sum(1) + float(bias)
        total += float(((1 - (p**2).sum(1)) * lengths).sum())
    return total / len(training) / (training.classes * (training.width + bias))


def influences(
    training: Gathered,
    pictures: Gathered,
    ridge: float,
    *,
    bias: bool = True,
    steps: int = 200,
    advance: Callable[[], object] = lambda: None,
) -> tuple[Array, float]:
    """Return (m, n): by how much the loss of a picture rises without a training picture.

    Koh and Liang 2017, of the last layer: ∇L(picture)ᵀ (H + ridge)⁻¹ ∇L(training picture) / n; to
    first order the effect of fitting the layer again without it. Above 0: the training picture
    helps. Also the largest relative residual of the linear systems.
    """
    h = _with_bias(pictures.features(), bias=bias)
    right = pictures.errors()[:, :, None] * h[:, None]
    solution, left = solved(training, right, ridge, bias=bias, steps=steps, advance=advance)
    flat = solution.reshape(-1, solution.shape[2])
    parts = []
    for part in training.blocks(max(1, min(2048, NUMBERS // max(1, len(flat))))):
        h = _with_bias(training.features(part), bias=bias)
        z = (h @ flat.T).reshape(len(h), len(pictures), -1)
        parts.append((z * training.errors(part)[:, None]).sum(2).T)
    return np.concatenate(parts, 1) / len(training), left


def _with_bias(features: Array, *, bias: bool) -> Array:
    return np.concatenate([features, np.ones((len(features), int(bias)))], 1)
