"""Features, scores and labels of many pictures, read block by block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.run.session import Array

__all__ = ["NO_LABEL", "Folds", "Gathered", "Linear", "best", "softmax_rows"]

NO_LABEL = -1
BLOCK = 2048
"""Pictures whose features are in memory at once."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer: scores = features · weightsᵀ + bias."""

    weights: Array
    """(classes, features), float64."""
    bias: Array
    """(classes,), float64."""


@dataclass(frozen=True, eq=False)
class Folds:
    """Linear layers, of which each gives the scores of some pictures."""

    layers: tuple[Linear, ...]
    of: Array
    """(n,) the layer of each picture, uint8."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """What a model computes of n pictures, perhaps in a file that is mapped into memory."""

    rows: Array
    """(any number, features + scores), float32."""
    width: int
    """How many of a row are features."""
    order: Array
    """(n,) the row of each picture."""
    labels: Array
    """(n,) the class that each picture shows; NO_LABEL: nobody says."""
    linear: Linear | None = None
    """The layer that gives the scores, where they do not stand in the rows."""
    folds: Folds | None = None
    """The layers that give the scores, where they are several."""

    @classmethod
    def of(
        cls,
        features: Array,
        scores: Array | None = None,
        labels: Sequence[int] | Array | None = None,
    ) -> Self:
        """Return arrays in memory, (n, features), (n, classes) and (n,), as what is gathered."""
        features = np.asarray(features, np.float32)
        count = len(features)
        beside = np.zeros((count, 0), np.float32) if scores is None else scores
        named = np.full(count, NO_LABEL) if labels is None else np.asarray(labels)
        rows = np.concatenate([features, np.asarray(beside, np.float32)], 1)
        return cls(rows, features.shape[1], np.arange(count), named.astype(np.int64))

    def __len__(self) -> int:
        return len(self.order)

    @property
    def classes(self) -> int:
        """Return the number of scores of a picture."""
        if self.folds is not None:
            return len(self.folds.layers[0].bias)
        if self.linear is not None:
            return len(self.linear.bias)
        return int(self.rows.shape[1]) - self.width

    def blocks(self, most: int | None = None) -> Iterator[slice]:
        """Yield the pictures in order, at most `most` at once; None: BLOCK."""
        step = BLOCK if most is None else most
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))

    def features(self, part: slice | Array = slice(None)) -> Array:
        """Return the features of some pictures, (pictures, features), float64."""
        return np.asarray(self.rows[self.order[part], : self.width], np.float64)

    def scores(self, part: slice | Array = slice(None)) -> Array:
        """Return the scores of some pictures, (pictures, classes), float64."""
        if self.folds is not None:
            of, h = self.folds.of[part], self.features(part)
            found = np.empty((len(h), self.classes))
            for number, layer in enumerate(self.folds.layers):
                found[of == number] = h[of == number] @ layer.weights.T + layer.bias
            return found
        if self.linear is not None:
            return self.features(part) @ self.linear.weights.T + self.linear.bias
        return np.asarray(self.rows[self.order[part], self.width :], np.float64)

    def errors(self, part: slice | Array = slice(None)) -> Array:
        """Return the gradient of the cross-entropy with respect to the scores, p − onehot(label).

        Raises UsageError: a picture of these has no label.
        """
        labels = self.labels[part]
        if (labels == NO_LABEL).any():
            raise UsageError("a picture without a class has no loss; say what each picture shows.")
        delta = softmax_rows(self.scores(part))
        delta[np.arange(len(labels)), labels] -= 1
        return delta

    def mean_cosine(self) -> float:
        """Return the mean cosine of the features of two different pictures; 0 of one alone."""
        count = len(self)
        total, own = np.zeros(self.width), 0.0
        for part in self.blocks():
            h = self.features(part)
            lengths = np.linalg.norm(h, axis=1, keepdims=True)
            units = h / np.where(lengths > 0, lengths, 1)
            total += units.sum(0)
            own += float((units**2).sum())
        return (float(total @ total) - own) / max(1, count * (count - 1))

    def chosen(self, which: Array) -> Self:
        """Return some of the pictures: their places, or a bool for each."""
        folds = self.folds and replace(self.folds, of=self.folds.of[which])
        return replace(self, order=self.order[which], labels=self.labels[which], folds=folds)

    def with_labels(self, labels: Array) -> Self:
        """Return the same pictures with other labels."""
        return replace(self, labels=np.asarray(labels, np.int64))

    def with_linear(self, linear: Linear) -> Self:
        """Return the same pictures with the scores of a linear layer on their features."""
        return replace(self, linear=linear, folds=None)

    def with_folds(self, folds: Folds) -> Self:
        """Return the same pictures, each with the scores of its layer on its features."""
        return replace(self, linear=None, folds=folds)


def softmax_rows(scores: Array) -> Array:
    """Return the softmax over the last axis, float64."""
    wide = np.asarray(scores, np.float64)
    exponentials = np.exp(wide - wide.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


def best(values: Array, indices: Array, count: int) -> tuple[Array, Array]:
    """Return the `count` largest of each row and their indices, the largest first.

    values, indices: (m, n). Of equal values the one with the lower index comes first.
    """
    order = np.lexsort((indices, -values), axis=-1)[:, :count]
    return np.take_along_axis(values, order, 1), np.take_along_axis(indices, order, 1)
