"""Test whether a map lies on a mask, in a box, or on the right pictures of a mosaic.

These say whether a map agrees with people, not whether it is faithful to the model: a model that
reads the background has a faithful map beside the mask.
"""

from collections.abc import Sequence

import numpy as np

from leap_audit.run.session import Array

__all__ = ["box_mask", "focus", "mosaic", "pointing", "rank_accuracy", "relevance_mass"]


def pointing(values: Array, mask: Array) -> float:
    """Return 1 if the highest value lies inside the mask, else 0 (Zhang et al. 2018).

    Of several highest values: the share of them inside.
    """
    highest = values == values.max()
    return float((highest & mask.astype(bool)).sum() / highest.sum())


def relevance_mass(values: Array, mask: Array) -> float:
    """Return the share of the positive values inside the mask, 0..1 (Arras et al. 2022)."""
    positive = np.maximum(np.asarray(values, np.float64), 0)
    total = positive.sum()
    return float(positive[mask.astype(bool)].sum() / total) if total > 0 else 0.0


def rank_accuracy(values: Array, mask: Array) -> float:
    """Return which share of the highest values, as many as the mask has pixels, lie inside."""
    inside = mask.astype(bool).ravel()
    count = int(inside.sum())
    if count == 0:
        return 0.0
    order = np.argsort(-values, axis=None, kind="stable")[:count]
    return float(inside[order].mean())


def box_mask(shape: tuple[int, ...], box: tuple[float, float, float, float]) -> Array:
    """Return (height, width) bool of a box (top, left, bottom, right) in fractions."""
    height, width = shape
    top, left, bottom, right = box
    down, across = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return np.outer((down >= top) & (down < bottom), (across >= left) & (across < right))


def mosaic(pictures: Sequence[Array]) -> Array:
    """Return four pictures of one size as one of that size, each at half its height and width."""
    halves = []
    for picture in pictures:
        channels, height, width = picture.shape
        cut = picture[:, : height // 2 * 2, : width // 2 * 2]
        halves.append(cut.reshape(channels, height // 2, 2, width // 2, 2).mean((2, 4)))
    rows = [np.concatenate(halves[i : i + 2], 2) for i in (0, 2)]
    whole = np.concatenate(rows, 1)
    height, width = pictures[0].shape[1:]
    missing = ((0, 0), (0, height - whole.shape[1]), (0, width - whole.shape[2]))
    return np.asarray(np.pad(whole, missing, mode="edge"), np.float32)


def focus(values: Array, on: Sequence[bool]) -> float:
    """Return the share of the positive values on the pictures of a mosaic that show the class.

    on: which of the four, row by row. Two of four: 0.5 is chance (Arias-Duart et al. 2022).
    """
    height, width = values.shape
    mask = np.zeros((height, width), bool)
    for i, shows in enumerate(on):
        down, across = divmod(i, 2)
        rows = slice(0, height // 2) if down == 0 else slice(height // 2, None)
        columns = slice(0, width // 2) if across == 0 else slice(width // 2, None)
        mask[rows, columns] = shows
    return relevance_mass(values, mask)
