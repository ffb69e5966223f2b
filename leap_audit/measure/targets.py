"""Targets: the one number of a model's answer that is explained."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.ingest.outputs.answer import BOXES, Answer, ScoreMap
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.run.session import Array

__all__ = [
    "ClassTarget",
    "CosineTarget",
    "DetectionTarget",
    "DifferenceTarget",
    "DimensionTarget",
    "DirectionTarget",
    "EmbeddingTarget",
    "PlaceTarget",
    "ScoreTarget",
    "SimilarityTarget",
    "Target",
    "TensorTarget",
    "difference_to_nearest",
    "row_of",
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
    where: Array | None = None
    """(places,) how much the answer at each place counts; together 1. None: all the same."""

    def cotangent(self, answer: Answer) -> Array:
        """Return (classes, places), whose product with the scores is the difference."""
        if not self.others or self.index in self.others:
            raise UsageError("target: a difference is between a class and at least one other.")
        if self.weights and (len(self.weights) != len(self.others) or min(self.weights) < 0):
            raise UsageError("target: give one weight, 0 or more, for each of the other classes.")
        weights = np.asarray(self.weights or np.ones(len(self.others)), np.float64)
        for index in (self.index, *self.others):
            _require_class(answer, index)
        total = answer.cotangent((self.index,), self.where).astype(np.float64)
        for other, weight in zip(self.others, weights / weights.sum(), strict=True):
            total -= self.alpha * weight * answer.cotangent((other,), self.where)
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
    others: tuple[tuple[tuple[int, ...], float], ...] = ()
    """More elements that are added to it, each by its position and with its factor."""

    def weights(self, shape: tuple[int, ...]) -> Array:
        """Return what each element counts, of the tensor's shape for one picture.

        Raises UsageError: a position is none in it.
        """
        found = np.zeros(shape, np.float32)
        for index, factor in ((self.index, 1.0), *self.others):
            fits = len(index) == len(shape) and all(
                0 <= i < size for i, size in zip(index, shape, strict=True)
            )
            if not fits:
                raise UsageError(
                    f"target: {self.name!r} has the shape {list(shape)} for a picture; "
                    f"{list(index)} is no position in it."
                )
            found[index] += factor
        return found


@dataclass(frozen=True, eq=False)
class DimensionTarget:
    """One number of a vector that a model answers with, averaged over the places of a map."""

    index: int

    def cotangent(self, answer: Answer) -> Array:
        """Return (classes, places), whose product with the vector is the number."""
        if not 0 <= self.index < answer.classes:
            raise UsageError(
                f"target: there is no dimension {self.index}; the vector has {answer.classes}, "
                "from 0 on."
            )
        return answer.cotangent((self.index,))


@dataclass(frozen=True, eq=False)
class DirectionTarget:
    """The product of a vector that a model answers with and another, such as that of a text.

    The length of the model's vector counts; `CosineTarget` leaves it out.
    """

    vector: Array
    """(dimensions,), or (dimensions, places) of a map of answers; any length but 0."""

    def cotangent(self, answer: Answer) -> Array:
        """Return (classes, places), whose product with the vector is the score."""
        return _vector(self.vector, answer)


@dataclass(frozen=True, eq=False)
class CosineTarget:
    """The cosine, -1..1, of the angle between a vector that a model answers with and another."""

    vector: Array
    """(dimensions,), or (dimensions, places) of a map of answers; any length but 0."""

    def value(self, scores: Array) -> float:
        """Return the cosine with the vector of one picture, (classes, places); 0 if that is 0."""
        length = float(np.linalg.norm(np.asarray(scores, np.float64)))
        return float(np.vdot(self._unit(scores), scores)) / length if length > 0 else 0.0

    def slope(self, scores: Array) -> Array:
        """Return the gradient of the cosine with respect to `scores`, of their shape, float64.

        (r - cos · f) / |f|, of the vectors r and f of length 1; it changes with the picture.
        """
        wide = np.asarray(scores, np.float64)
        length = float(np.linalg.norm(wide))
        if length == 0:
            return np.zeros_like(wide)
        return np.asarray((self._unit(scores) - self.value(scores) * wide / length) / length)

    def secant(self, scores: Array, others: Array) -> Array:
        """Return the multipliers of the cosine between two vectors, of their shape, float64.

        Their product with `scores - others` is the difference of the cosines exactly: of a product
        of the length along r and the reciprocal of the length, shared evenly between the two.
        """
        a, b = np.asarray(scores, np.float64), np.asarray(others, np.float64)
        long, short = float(np.linalg.norm(a)), float(np.linalg.norm(b))
        if long == 0 or short == 0:
            raise UsageError(
                "target: the model's vector for the picture or its baseline is zero, which has no "
                "angle to another; give another baseline."
            )
        unit = self._unit(scores)
        along = (np.vdot(unit, a) + np.vdot(unit, b)) / 2
        shorter = (a + b) / (long * short * (long + short))
        return np.asarray(unit * (1 / long + 1 / short) / 2 - along * shorter)

    def share(self, scores: Array) -> Array:
        """Return weights, of the shape of `scores`, whose product with them is the cosine.

        r / |f|, of the vector r of length 1: the slope with the length of f held constant.
        """
        length = float(np.linalg.norm(np.asarray(scores, np.float64)))
        return self._unit(scores) / length if length > 0 else np.zeros(np.shape(scores))

    def require_fit(self, answer: Answer) -> None:
        """Raise UsageError where the vector is no vector of this model."""
        _vector(self.vector, answer)

    def _unit(self, scores: Array) -> Array:
        wide = np.asarray(self.vector, np.float64).reshape(np.shape(scores))
        return np.asarray(wide / np.linalg.norm(wide))


@dataclass(frozen=True, eq=False)
class EmbeddingTarget:
    """The product of a model's vector with the one that it has for the explained picture.

    The score of label-free explanations (Crabbé and van der Schaar 2022): the explained picture's
    vector stays as it is while a method looks at other pictures.
    """

    normalised: bool = False
    """Whether the constant vector has the length 1, so that the maps of pictures with long vectors
    and with short ones compare."""

    def of(self, vector: Array) -> DirectionTarget:
        """Return the target for a picture whose vector, (classes, places), is this one."""
        wide = np.asarray(vector, np.float64)
        length = float(np.linalg.norm(wide))
        if not np.isfinite(length) or length == 0:
            raise UsageError(
                "target: the model's vector for this picture is zero or not finite, so nothing "
                "explains it; give another picture."
            )
        return DirectionTarget(wide / length if self.normalised else wide)


@dataclass(frozen=True, eq=False)
class SimilarityTarget:
    """The cosine of the angle between a model's vectors for two pictures."""

    picture: Array
    """(channels, height, width) in 0..1, of the model's size: what pictures are compared with."""

    def of(self, vector: Array) -> CosineTarget:
        """Return the target where the model's vector for `picture` is this one."""
        if not np.linalg.norm(np.asarray(vector, np.float64)) > 0:
            raise UsageError(
                "target: the model's vector for the picture to compare with is zero or not "
                "finite, which has no angle to another; give another picture."
            )
        return CosineTarget(vector)


Target: TypeAlias = (
    ClassTarget
    | DifferenceTarget
    | PlaceTarget
    | TensorTarget
    | DimensionTarget
    | DirectionTarget
    | CosineTarget
    | EmbeddingTarget
    | SimilarityTarget
    | DetectionTarget
)
"""What may be asked for."""
ScoreTarget: TypeAlias = (
    ClassTarget
    | DifferenceTarget
    | PlaceTarget
    | TensorTarget
    | DimensionTarget
    | DirectionTarget
    | CosineTarget
    | DetectionTarget
)
"""What a score is of, once the vectors of the pictures are known that it depends on."""


def difference_to_nearest(
    answer: Answer,
    scores: Array,
    index: int,
    count: int = 3,
    alpha: float = 1.0,
    where: Array | None = None,
) -> DifferenceTarget:
    """Return a class less the `count` classes with the nearest scores, as Finer-CAM compares them.

    scores: (classes, places) on the picture. The others are weighed by their probabilities on this
    picture, which stay as they are while a method looks at other pictures. where: (places,) how
    much the answer at each place counts, together 1; None: all the same.
    """
    _require_class(answer, index)
    wide = np.asarray(scores, np.float64)
    weights = np.full(wide.shape[1], 1 / wide.shape[1]) if where is None else where
    mean = wide @ weights
    apart = np.abs(mean - mean[index])
    apart[index] = np.inf
    others = np.argsort(apart, kind="stable")[: min(count, len(mean) - 1)]
    shares = (answer.probabilities(scores) @ weights)[others]
    return DifferenceTarget(
        index,
        tuple(int(other) for other in others),
        alpha,
        tuple(map(float, shares)) if shares.sum() > 0 else (),
        where,
    )


def _require_class(answer: Answer, index: int) -> None:
    if not 0 <= index < answer.classes:
        raise UsageError(
            f"target: there is no class {index}; the model has {answer.classes}, from 0 on."
        )


def _vector(vector: Array, answer: Answer) -> Array:
    """A vector as (classes, places) float32; where it has no places, each place has its part."""
    wide = np.asarray(vector, np.float64)
    if wide.size == answer.classes:
        wide = np.repeat(wide.reshape(-1, 1), answer.places, 1) / answer.places
    if wide.shape != (answer.classes, answer.places):
        raise UsageError(
            f"target: the vector has the shape {list(np.shape(vector))}; the model's vectors have "
            f"{answer.classes} dimensions."
        )
    if not np.isfinite(wide).all() or not wide.any():
        raise UsageError("target: the vector is zero or not finite, which is no direction.")
    return np.asarray(wide, np.float32)


def row_of(target: object) -> int | None:
    """Return the row of a detector's answer that a target is of; None: it is of none."""
    if isinstance(target, DetectionTarget):
        return target.row
    if isinstance(target, TensorTarget) and target.name == BOXES:
        return target.index[1]
    return None
