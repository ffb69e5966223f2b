"""How good is a ranking of pixels? Insertion and deletion (Petsiuk et al. 2018)."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from leap_audit.measure.faithfulness.comparison import paired_interval
from leap_audit.run.session import Array

__all__ = ["STEPS", "Probability", "fills", "insertion_deletion", "paired_interval"]

STEPS = 32
BLUR = 1 / 12
"""Standard deviation of the blurred fill, as a fraction of the height."""

Probability = Callable[[Array], Array]
"""Pictures, (n, channels, height, width) -> the probability of the class on each."""


def fills(picture: Array) -> dict[str, Array]:
    """Return what stands where a pixel is absent, by name: the picture blurred, its mean colour.

    picture: (channels, height, width) in 0..1. Both fills are on 8-bit levels, of its shape.
    """
    channels = [Image.fromarray(np.rint(c * 255).astype(np.uint8)) for c in picture]
    blur = ImageFilter.GaussianBlur(BLUR * picture.shape[1])
    mean = np.rint(picture.mean((1, 2), keepdims=True) * 255) / 255
    return {
        "blur": np.stack([np.asarray(c.filter(blur), np.float32) / 255 for c in channels]),
        "mean": np.broadcast_to(mean, picture.shape).astype(np.float32),
    }


def insertion_deletion(
    probability: Probability, picture: Array, scores: Array, fill: Array
) -> tuple[float, float]:
    """Return the mean probability as pixels enter the fill, and as they leave the picture.

    In falling order of `scores`, (height, width), in `STEPS` equal steps; of equal scores the
    upper left goes first. The higher the first figure and the lower the second, the better the
    ranking.
    """
    rank = np.empty(scores.size, int)
    rank[np.argsort(-scores, axis=None, kind="stable")] = np.arange(scores.size)
    rank = rank.reshape(scores.shape)
    first = [rank < cut for cut in np.linspace(0, scores.size, STEPS + 1)]
    inserted = np.stack([np.where(inside, picture, fill) for inside in first])
    deleted = np.stack([np.where(inside, fill, picture) for inside in first])
    return float(probability(inserted).mean()), float(probability(deleted).mean())
