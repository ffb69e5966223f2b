"""Targets: the one number of a model's answer that is explained."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.ingest.outputs.answer import Answer, ScoreMap
from leap_audit.run.session import Array

__all__ = [
    "ClassTarget",
    "DifferenceTarget",
    "DirectionTarget",
    "PlaceTarget",
    "Target",
    "TensorTarget",
    "difference_to_nearest",
]


@dataclass(frozen=True, eq=False)
class ClassTarget:
    """The score of one class, averaged over the places of a map of answers."""

    index: int
    where: Array | None = None
    """(places,) how much the answer at each place counts; together 1. None: all the same."""

    def cotangent(self, answer: Answer) -> Array:
        """Return (classes, places), whose product with the scores is the score explained."""
        _require_class(answer, self.index)
        return answer.cotangent((self.index,), self.where)


@dataclass(frozen=True, eq=False)
class DifferenceTarget:
    """The score of one class, less `alpha` times the weighted mean of the scores of others.

    The score that Finer-CAM explains (Zhang et al. 2025), for any method.
    """

    index: int
    others: tuple[int, ...]
    alpha: float = 1.0
    weights: tuple[float, ...] = ()
    """How much each of the others counts, brought to a sum of 1; empty: all the same."""

    def cotangent(self, answer: Answer) -> Array:
        """Return (classes, places), whose product with the scores is the difference."""
        if not self.others or self.index in self.others:
            raise UsageError("target: a difference is between a class and at least one other.")
        if self.weights and (len(self.weights) != len(self.others) or min(self.weights) < 0):
            raise UsageError("target: give one weight, 0 or more, for each of the other classes.")
        weights = np.asarray(self.weights or np.ones(len(self.others)), np.float64)
        for index in (self.index, *self.others):
            _require_class(answer, index)
        total = answer.cotangent((self.index,)).astype(np.float64)
        for other, weight in zip(self.others, weights / weights.sum(), strict=True):
            total -= self.alpha * weight * answer.cotangent((other,))
        return np.asarray(total, np.float32)


@dataclass(frozen=True, eq=False)
class PlaceTarget:
    """The score of one class in a part of a map of answers, such as a segmentation."""

    index: int
    region: tuple[float, float, float, float] | Array
    """(top, left, bottom, right) as fractions of the map, or (rows, columns) of weights."""

    def cotangent(self, answer: Answer) -> Array:
        """Return (classes, places), whose product with the scores is the mean in the region."""
        _require_class(answer, self.index)
        if not isinstance(answer, ScoreMap) or answer.window is not None:
            raise UsageError("target: only a whole map of answers has places; name a class.")
        rows, columns = answer.sides
        if isinstance(self.region, tuple):
            top, left, bottom, right = self.region
            down, across = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
            inside = np.outer((down >= top) & (down < bottom), (across >= left) & (across < right))
            weights = inside.astype(np.float64)
        else:
            weights = np.asarray(self.region, np.float64)
        if weights.shape != (rows, columns) or weights.min() < 0 or not weights.any():
            raise UsageError(
                f"target: the region is {weights.shape} weights with the sum {weights.sum():g}; "
                f"the map is {rows} × {columns}, and at least one of its places must count."
            )
        return answer.cotangent((self.index,), (weights / weights.sum()).ravel())


@dataclass(frozen=True, eq=False)
class TensorTarget:
    """One element of a tensor inside the model, by its name in the canonical graph."""

    name: str
    index: tuple[int, ...]
    """Its position, without the axis of the pictures."""


@dataclass(frozen=True, eq=False)
class DirectionTarget:
    """The product of the scores, or of the features of an encoder, with a fixed vector.

    With the features of the picture itself as the vector it is the label-free score of Crabbé and
    van der Schaar 2022.
    """

    vector: Array
    """(classes,)"""

    def cotangent(self, answer: Answer) -> Array:
        """Return (classes, places), whose product with the scores is the one with the vector."""
        vector = np.asarray(self.vector, np.float32)
        if vector.shape != (answer.classes,) or not np.isfinite(vector).all():
            raise UsageError(
                f"target: a direction of the shape {list(vector.shape)}; give {answer.classes} "
                "finite numbers, one for each score."
            )
        return np.repeat(vector[:, None], answer.places, 1) / np.float32(answer.places)


Target: TypeAlias = ClassTarget | DifferenceTarget | DirectionTarget | PlaceTarget | TensorTarget


def difference_to_nearest(
    answer: Answer, scores: Array, index: int, count: int = 3, alpha: float = 1.0
) -> DifferenceTarget:
    """Return a class less the `count` classes with the nearest scores, as Finer-CAM compares them.

    scores: (classes, places) on the picture. The others are weighed by their probabilities on this
    picture, which stay as they are while a method looks at other pictures.
    """
    _require_class(answer, index)
    mean = np.asarray(scores, np.float64).mean(1)
    apart = np.abs(mean - mean[index])
    apart[index] = np.inf
    others = np.argsort(apart, kind="stable")[: min(count, len(mean) - 1)]
    shares = answer.probabilities(scores).mean(1)[others]
    return DifferenceTarget(
        index,
        tuple(int(other) for other in others),
        alpha,
        tuple(map(float, shares)) if shares.sum() > 0 else (),
    )


def _require_class(answer: Answer, index: int) -> None:
    if not 0 <= index < answer.classes:
        raise UsageError(
            f"target: there is no class {index}; the model has {answer.classes}, from 0 on."
        )
