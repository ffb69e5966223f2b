"""Entanglement: which classes share features with a prototype.

Not a softmax: a probability of 1e-13 says nothing about what is shared. The figure is the cosine
between the prototype's penultimate features and the class's weight vector, signed, the target
itself included. Where the last step is not linear it is the cosine between the gradients of the
two classes' logits with respect to the prototype's pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.ingest.outputs.answer import Detections
from leap_audit.measure.run import PICTURE, Run
from leap_audit.run.session import Array

__all__ = [
    "GRADIENTS",
    "WEIGHTS",
    "Shared",
    "compare_gradients",
    "compared_classes",
    "cosines_of",
    "measure_entanglement",
    "shared_by_weights",
    "standardised",
]

WEIGHTS = "cosine between penultimate features and the class's weight vector"
GRADIENTS = "cosine between the input gradients of the two classes' logits"
CANDIDATES = 12
"""Classes with the highest logits that gradients are compared for."""


@dataclass(frozen=True)
class Shared:
    """For one prototype: each compared class and its cosine, -1..1."""

    cosines: dict[int, float]

    def others(self, target: Sequence[int]) -> list[int]:
        """Return the classes that are not the target's, the most entangled first."""
        return sorted((k for k in self.cosines if k not in target), key=lambda k: -self.cosines[k])


def measure_entanglement(
    run: Run, pictures: Array, targets: Sequence[tuple[int, ...]]
) -> tuple[list[Shared], str]:
    """Return for each prototype the cosines of the classes compared, and the method's name.

    pictures: (n, channels, height, width) in 0..1. All classes are compared by their weights;
    by gradients only the target and the classes with the highest logits.
    """
    if not len(pictures):
        return [], WEIGHTS
    if run.weights is not None:
        return shared_by_weights(run.features(pictures), run.weights), WEIGHTS
    logits = run.logits(pictures)
    shared = [
        compare_gradients(run, picture, target, compared_classes(row, target))
        for picture, target, row in zip(pictures, targets, logits, strict=True)
    ]
    return shared, GRADIENTS


def shared_by_weights(features: Array, weights: Array) -> list[Shared]:
    """Return for each row of (n, features) its cosines with the (classes, features) of weights."""
    return [Shared(dict(enumerate(map(float, row)))) for row in cosines_of(features, weights)]


def compared_classes(logits: Array, target: Sequence[int]) -> list[int]:
    """Return the classes that gradients are compared for: the target and the highest logits.

    logits: (classes,), on the prototype.
    """
    highest = [int(k) for k in np.argsort(-logits, kind="stable")[:CANDIDATES]]
    return sorted({*highest, *target})


def standardised(logits: Array, row: int, class_: int) -> float | None:
    """Return a class's logit on prototype `row` in deviations from its mean over the others.

    It takes away classes that are always on. None where fewer than three others exist.
    """
    others = np.delete(np.asarray(logits[:, class_], np.float64), row)
    if len(others) < 3 or others.std() < 1e-9:
        return None
    return float((logits[row, class_] - others.mean()) / others.std())


def cosines_of(a: Array, b: Array) -> Array:
    """Return the cosine of each row of a with each of b: (n, d), (m, d) -> (n, m), float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    product = a @ b.T
    return np.asarray(product / np.maximum(norms, 1e-12))


def compare_gradients(
    run: Run, picture: Array, target: tuple[int, ...], classes: Sequence[int]
) -> Shared:
    """Return the cosine of each class's gradient with the target's, on one picture.

    Of a detector, at the row where the target has most: what is shared by objects at one place.
    """
    single, answer, where = run.at_once(1), run.model.answer, None
    if isinstance(answer, Detections):
        (scores,) = single.scores(picture[None])
        where = answer.predicted_places(scores, target[0])

    def gradient(of: tuple[int, ...]) -> Array:
        cotangent = answer.cotangent(of, where)
        return single.gradient(picture[None], cotangent)[PICTURE].ravel()

    others, own = np.stack([gradient((k,)) for k in classes]), gradient(target)
    if isinstance(answer, Detections) and len(classes) > 2:
        # That there is an object at all moves all classes alike, and is no likeness of two.
        shared = others.mean(0)
        others, own = others - shared, own - shared
    cosines = cosines_of(own[None], others)[0]
    return Shared(dict(zip(classes, map(float, cosines), strict=True)))
