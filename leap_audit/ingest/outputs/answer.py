"""Kinds of answers: what a model's scores are, how they lie, and what they say.

Scores are columns, (classes, places): one column for a picture that gets one answer, one for each
place of a map that is audited. Everything that asks "how probable" asks the answer's kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Probabilities
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.outputs.boxes import suppressed
from leap_audit.run.session import Array

__all__ = [
    "BOXES",
    "BOX_SIDES",
    "Answer",
    "Detections",
    "OneLogit",
    "OwnProbabilities",
    "ScoreMap",
    "Sigmoids",
    "Softmax",
    "Summary",
    "answer_kind",
]

BOXES = "leap_audit/boxes"
"""Name of the tensor of a detector's boxes in its canonical graph: (n, 4, rows), in the order of
BOX_SIDES, as fractions of the picture that the model sees."""
BOX_SIDES = ("left", "top", "right", "bottom")
THRESHOLD = 0.5
"""Probability from which on a class with a probability of its own is predicted."""
HALVES = np.array([[-0.5], [0.5]])
"""The single score z of two classes becomes (-z/2, z/2), whose softmax is the sigmoid of z."""


@dataclass(frozen=True)
class Summary:
    """What the scores of one picture say of it."""

    probs: Array
    """(classes,) in 0..1, averaged over the places asked about."""
    shares: Array
    """(classes,) the fraction of those places where the class is predicted."""
    first: Array | None = None
    """(rows, columns) the class with the highest score at each place; None where there is one."""


@dataclass(frozen=True)
class _Columns:
    """What all kinds have in common."""

    classes: int
    """How many classes the answer tells apart."""

    @property
    def numbers(self) -> int:
        """Return how many numbers the model gives at a place."""
        return self.classes

    @property
    def places(self) -> int:
        """Return how many answers a picture gets."""
        return 1

    def probabilities(self, scores: Array) -> Array:
        """Return the probability of every class at every place, in float64.

        scores: (classes, places), or (n, classes, places).
        """
        raise NotImplementedError

    def predicted(self, scores: Array) -> Array:
        """Return (classes, places) bool: which class is predicted where, of one picture's scores.

        The class with the highest score.
        """
        return np.asarray(np.arange(len(scores))[:, None] == scores.argmax(0))

    def summary(self, scores: Array, where: Array | None = None) -> Summary:
        """Return what the scores of one picture, (classes, places), say of it.

        where: how much each place counts, (places,), together 1; None: all the same.
        """
        probs, first = self.probabilities(scores), self.predicted(scores)
        if where is None:
            return Summary(probs.mean(1), first.mean(1))
        return Summary(probs @ where.astype(np.float64), first @ where.astype(np.float64))

    def predicted_places(self, scores: Array, class_: int) -> Array:
        """Return weights of the places, (places,), which add up to 1.

        Equal ones where the class is predicted, nothing elsewhere; equal ones everywhere if it is
        predicted nowhere.
        """
        here = self.predicted(scores)[class_]
        chosen = here if here.any() else np.ones_like(here)
        return np.asarray(chosen / chosen.sum(), np.float32)

    def reach(self, scores: Array) -> float:
        """Return how far the scores of one picture reach, in units of the logit.

        How far the first class stands above the median, averaged over the places.
        """
        wide = np.asarray(scores, np.float64)
        return float((wide.max(0) - np.median(wide, axis=0)).mean())

    def cotangent(self, target: Sequence[int], weights: Array | None = None) -> Array:
        """Return (classes, places) float32, whose product with the scores is a target's score.

        target: classes in equal parts. weights: how much the answer at each place counts,
        (places,), together 1; None: all the same.
        """
        found = np.zeros((self.classes, self.places), np.float32)
        found[list(target)] = 1 / self.places if weights is None else weights
        return found / np.float32(len(target))

    def log_probabilities(self, op: Emitter, scores: ir.Value) -> ir.Value:
        """Append log p of every class at every place, shaped like `scores`: (n, classes, places).

        Of given probabilities too as shares of 100 %, which scores that were multiplied need.
        """
        return op.LogSoftmax(scores, axis=1)

    def columns(self, op: Emitter, scores: ir.Value) -> ir.Value:
        """Append what makes columns, (n, classes, places), of scores as the model gives them."""
        return self.spread(op, op.Reshape(scores, (static_shape(scores)[0], self.numbers, 1)))

    def columns_of(self, scores: Array) -> Array:
        """Return what `columns` appends, of numbers."""
        return self.spread_of(np.reshape(scores, (len(scores), self.numbers, 1)))

    def spread(self, op: Emitter, numbers: ir.Value) -> ir.Value:  # noqa: ARG002
        """Append (n, classes, places) of (n, numbers, places)."""
        return numbers

    def spread_of(self, numbers: Array) -> Array:
        """Return what `spread` appends, of numbers."""
        return numbers


@dataclass(frozen=True)
class Softmax(_Columns):
    """One class out of several: the softmax of their logits, which share 100 %."""

    def probabilities(self, scores: Array) -> Array:
        """Return the probability of every class at every place, in float64."""
        wide = np.asarray(scores, np.float64)
        exponentials = np.exp(wide - wide.max(-2, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(-2, keepdims=True))


@dataclass(frozen=True)
class OneLogit(Softmax):
    """One of two classes, from a single logit z: the second has the probability sigmoid(z)."""

    classes: int = 2

    @property
    def numbers(self) -> int:
        """Return 1: the logit."""
        return 1

    def spread(self, op: Emitter, numbers: ir.Value) -> ir.Value:
        """Append (n, 2, places) of (n, 1, places)."""
        return op.Mul(numbers, HALVES[None])

    def spread_of(self, numbers: Array) -> Array:
        """Return (n, 2, places) of (n, 1, places)."""
        return np.asarray(numbers * HALVES[None].astype(np.float32))


@dataclass(frozen=True)
class Sigmoids(_Columns):
    """Several labels at once: each has its own probability, the sigmoid of its logit."""

    def probabilities(self, scores: Array) -> Array:
        """Return the probability of every class at every place, in float64."""
        return np.asarray(np.exp(-np.logaddexp(0, -np.asarray(scores, np.float64))))

    def predicted(self, scores: Array) -> Array:
        """Return (classes, places) bool: which classes are at least as probable as not."""
        return self.probabilities(scores) >= THRESHOLD

    def reach(self, scores: Array) -> float:
        """Return the largest score of either sign."""
        return float(np.abs(np.asarray(scores, np.float64)).max())

    def log_probabilities(self, op: Emitter, scores: ir.Value) -> ir.Value:
        """Append log p of every class at every place, shaped like `scores`."""
        return op.Neg(op.Softplus(op.Neg(scores)))


@dataclass(frozen=True)
class OwnProbabilities(_Columns):
    """One class out of several, with the model's own probabilities p; the score is log p."""

    def probabilities(self, scores: Array) -> Array:
        """Return the model's own probabilities, whatever they add up to, in float64."""
        return np.asarray(np.exp(np.asarray(scores, np.float64)))


@dataclass(frozen=True)
class ScoreMap(_Columns):
    """One answer at each place of a map, such as a segmentation, or of a region of it."""

    each: Softmax | Sigmoids | OwnProbabilities
    """The kind of answer at a place."""
    sides: tuple[int, int]
    """(rows, columns) of the whole map."""
    axis: int = 1
    """Of the classes, in the scores as the model gives them."""
    window: tuple[slice, slice] | None = None
    """The rows and columns that are audited; None: all."""

    @property
    def numbers(self) -> int:
        """Return how many numbers the model gives at a place."""
        return self.each.numbers

    @property
    def grid(self) -> tuple[int, int]:
        """Return how many rows and columns of the map are audited."""
        if self.window is None:
            return self.sides
        down, right = self.window
        return down.stop - down.start, right.stop - right.start

    @property
    def places(self) -> int:
        """Return how many places of the map are audited."""
        return self.grid[0] * self.grid[1]

    def probabilities(self, scores: Array) -> Array:
        """Return the probability of every class at every place, in float64."""
        return self.each.probabilities(scores)

    def predicted(self, scores: Array) -> Array:
        """Return (classes, places) bool: which classes are predicted where."""
        return self.each.predicted(scores)

    def reach(self, scores: Array) -> float:
        """Return how far the scores of one picture reach, in units of the logit."""
        return self.each.reach(scores)

    def summary(self, scores: Array, where: Array | None = None) -> Summary:
        """Return what the scores of one picture say of it, with the class at each place."""
        first = np.asarray(scores.argmax(0), np.int32).reshape(self.grid)
        said = super().summary(scores, where)
        return Summary(said.probs, said.shares, first)

    def log_probabilities(self, op: Emitter, scores: ir.Value) -> ir.Value:
        """Append log p of every class at every place, shaped like `scores`."""
        return self.each.log_probabilities(op, scores)

    def columns(self, op: Emitter, scores: ir.Value) -> ir.Value:
        """Append what makes columns, (n, classes, places), of scores as the model gives them."""
        shape = static_shape(scores)
        if self.axis != 1:
            others = [i for i in range(1, len(shape)) if i != self.axis]
            scores = op.Transpose(scores, perm=[0, self.axis, *others])
        if self.window is not None:
            scores = op.Reshape(scores, (shape[0], -1, *self.sides))
            down, right = self.window
            scores = op.Slice(scores, [down.start, right.start], [down.stop, right.stop], [2, 3])
        return self.each.spread(op, op.Reshape(scores, (shape[0], self.numbers, self.places)))

    def columns_of(self, scores: Array) -> Array:
        """Return what `columns` appends, of numbers."""
        upright = np.moveaxis(scores, self.axis, 1).reshape(len(scores), -1, *self.sides)
        if self.window is not None:
            upright = upright[:, :, self.window[0], self.window[1]]
        return self.each.spread_of(upright.reshape(len(scores), self.numbers, self.places))


@dataclass(frozen=True)
class Detections(Sigmoids):
    """A detector's boxes: each row has a box, and for every class the log-odds that it holds one.

    The place of an answer is the row, such as an anchor or a query. The tensor that the model gives
    holds the scores of the classes, then the box: (n, classes + 4, rows).
    """

    rows: int = 1
    threshold: float = 0.25
    """Least confidence, 0..1, of a detection that is kept."""
    overlap: float = 0.45
    """Intersection over union from which on the less confident of two boxes of a class is left
    out."""
    several: bool = True
    """Whether several rows may name one object, so that boxes are sorted out by `overlap`."""

    @property
    def numbers(self) -> int:
        """Return how many numbers the model gives in a row: the classes and the four sides."""
        return self.classes + len(BOX_SIDES)

    @property
    def places(self) -> int:
        """Return how many rows there are."""
        return self.rows

    def predicted(self, scores: Array) -> Array:
        """Return (classes, rows) bool: the most probable class of each row, if confident enough."""
        return super(Sigmoids, self).predicted(scores) & (
            self.probabilities(scores) >= self.threshold
        )

    def predicted_places(self, scores: Array, class_: int) -> Array:
        """Return weights of the rows, (rows,), which add up to 1: all on the most confident."""
        found = np.zeros(self.rows, np.float32)
        found[int(np.asarray(scores)[class_].argmax())] = 1
        return found

    def kept(self, probs: Array, boxes: Array) -> tuple[int, ...]:
        """Return the rows of the detections in one picture, the most confident first.

        probs: (classes, rows) in 0..1; boxes: (4, rows), in the order of BOX_SIDES. Each row stands
        for its most probable class.
        """
        best, confidence = probs.argmax(0), probs.max(0)
        enough = np.flatnonzero(confidence >= self.threshold)
        most = self.overlap if self.several else np.inf
        found = suppressed(boxes[:, enough], confidence[enough], best[enough], most)
        return tuple(int(enough[each]) for each in found)

    def spread(self, op: Emitter, numbers: ir.Value) -> ir.Value:
        """Append the scores alone: (n, classes, rows) of (n, numbers, rows)."""
        return op.Slice(numbers, [0], [self.classes], [1])

    def columns(self, op: Emitter, scores: ir.Value) -> ir.Value:
        """Append (n, classes, rows) of what the model gives, (n, numbers, rows)."""
        return self.spread(op, scores)

    def columns_of(self, scores: Array) -> Array:
        """Return what `columns` appends, of numbers."""
        return self.spread_of(scores)

    def spread_of(self, numbers: Array) -> Array:
        """Return what `spread` appends, of numbers."""
        return np.asarray(numbers[:, : self.classes])


Answer: TypeAlias = Softmax | Sigmoids | OwnProbabilities | OneLogit | ScoreMap | Detections
"""What a model gives for a picture. A new kind has the methods of these."""


def answer_kind(
    classes: int,
    probabilities: Probabilities,
    *,
    single: bool = False,
    sides: tuple[int, int] = (1, 1),
    axis: int = 1,
    region: tuple[float, float, float, float] | None = None,
) -> Answer:
    """Return the kind of answer that a model gives.

    probabilities: how they come of the scores. single: one score stands for two classes. sides:
    (rows, columns) of a map of answers; (1, 1): the picture as a whole gets one. axis: of the
    classes, in the scores as the model gives them. region: (top, left, bottom, right) of the map,
    as fractions; None: all of it.
    """
    each: Softmax | Sigmoids | OwnProbabilities = Softmax(classes)
    if single:
        each = OneLogit()
    elif probabilities == "sigmoid":
        each = Sigmoids(classes)
    elif probabilities == "given":
        each = OwnProbabilities(classes)
    if sides == (1, 1):
        return each
    window = None
    if region is not None:
        top, left, bottom, right = region
        window = (_cells(top, bottom, sides[0]), _cells(left, right, sides[1]))
    return ScoreMap(classes, each, sides, axis, window)


def _cells(start: float, end: float, count: int) -> slice:
    """The cells of `count` whose centres lie between two fractions; at least one."""
    first = min(round(start * count), count - 1)
    return slice(first, max(round(end * count), first + 1))
