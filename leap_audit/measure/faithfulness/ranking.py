"""Insertion and deletion: how far the order of the pixels holds the class (Petsiuk et al. 2018)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = ["FILLS", "STEPS", "Erasure", "erasure_curves", "fill_of", "insertion_deletion"]

STEPS = 32
BLUR = 1 / 12
"""Standard deviation of the blurred fill, as a fraction of the height."""
FILLS = ("blur", "mean")
"""What stands where a pixel is absent: the picture blurred, its mean colour. Rankings differ by
fill, so that both are reported."""

Scores = Callable[[Array], Array]
"""Pictures, (n, channels, height, width) -> the class's probability on each, (n,)."""


@dataclass(frozen=True)
class Erasure:
    """How the class's probability follows the pixels, in the order of a map."""

    insertion: float
    """Mean probability while pixels come in, the first first, 0..1: the higher, the better."""
    deletion: float
    """Mean probability while pixels go, the first first, 0..1: the lower, the better."""

    @property
    def gain(self) -> float:
        """Return insertion less deletion, -1..1, by which maps are compared."""
        return self.insertion - self.deletion


def fill_of(picture: Array, fill: str) -> Array:
    """Return what stands where a pixel is absent, by the name of a fill: (channels, h, w)."""
    picture = np.asarray(picture, np.float32)
    if fill == "mean":
        return np.array(np.broadcast_to(picture.mean((1, 2), keepdims=True), picture.shape))
    height, width = picture.shape[1:]
    sigma = BLUR * height
    return np.asarray(blur_matrix(height, sigma) @ picture @ blur_matrix(width, sigma).T)


def insertion_deletion(scores: Scores, picture: Array, values: Array, fill: Array) -> Erasure:
    """Return the insertion and deletion of a map, (height, width), in STEPS equal steps.

    Of equal values the upper left goes first. Both ends count: all pixels and none.
    """
    inserted, deleted = erasure_curves(scores, picture, values, fill)
    return Erasure(float(inserted.mean()), float(deleted.mean()))


def erasure_curves(
    scores: Scores, picture: Array, values: Array, fill: Array, steps: int = STEPS
) -> tuple[Array, Array]:
    """Return the class's probabilities while pixels come in, and while they go, (steps + 1,) each.

    In equal steps, in the order of a map, (height, width): none, 1/steps, ..., all of the pixels.
    """
    order = np.empty(values.size, int)
    order[np.argsort(-values, axis=None, kind="stable")] = np.arange(values.size)
    rank = order.reshape(values.shape)
    first = [rank < cut for cut in np.linspace(0, values.size, steps + 1)]
    inserted = [np.where(inside, picture, fill) for inside in first]
    deleted = [np.where(inside, fill, picture) for inside in first]
    found = scores(np.stack([*inserted, *deleted]).astype(np.float32))
    half = len(inserted)
    return found[:half], found[half:]
