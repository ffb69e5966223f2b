"""The nearest training pictures: by cosine similarity or by distance of the features."""

from typing import Literal

import numpy as np

from leap_audit.measure.examples.gathered import Gathered, best
from leap_audit.run.session import Array

__all__ = ["Metric", "nearest_training", "similarities"]

Metric = Literal["cosine", "l2"]


def similarities(features: Array, of: Array, metric: Metric) -> Array:
    """Return (m, n): the cosine of each pair, −1..1, or minus its distance; higher is nearer.

    features: (n, d). of: (m, d). A vector of zeros has the cosine 0 with every other.
    """
    if metric == "cosine":
        return np.asarray(_unit(of) @ _unit(features).T)
    squares = (of**2).sum(1)[:, None] + (features**2).sum(1) - 2 * of @ features.T
    return np.asarray(-np.sqrt(np.maximum(squares, 0)))


def nearest_training(
    training: Gathered, pictures: Gathered, count: int, metric: Metric = "cosine"
) -> tuple[Array, Array]:
    """Return the similarities of the `count` nearest of each picture and their places, (m, count).

    The similarity is the cosine, or the distance with a minus. Features are read once.
    """
    of = pictures.features()
    values, places = np.zeros((len(of), 0)), np.zeros((len(of), 0), np.int64)
    for part in training.blocks():
        more = similarities(training.features(part), of, metric)
        beside = np.broadcast_to(np.arange(part.start, part.stop), more.shape)
        values, places = best(
            np.concatenate([values, more], 1), np.concatenate([places, beside], 1), count
        )
    if metric == "l2":  # a² + b² − 2ab loses the digits of a small distance
        for i, row in enumerate(places):
            values[i] = -np.linalg.norm(training.features(row) - of[i], axis=1)
        values, places = best(values, places, count)
    return values, places


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))
