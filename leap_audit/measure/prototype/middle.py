"""The middle of the picture, where a map shall say the class of a prototype, and what is around it.

Asked for a class at every place, a map is given its texture from border to border. Asked for it in
the middle and not near the border, it is given one object on a ground.
"""

import numpy as np

from leap_audit.config import PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Answer, ScoreMap
from leap_audit.run.session import Array

__all__ = ["LEAST_SIDE", "has_a_middle", "middle_places", "place_weights"]

LEAST_SIDE = 8
"""Rows and columns that a map must have, to tell the middle of a picture from its border."""

LEAST_SHARE = 1e-3
"""Share of a map below which a view shows nothing of the middle, or of the border: the rest is
rounding, which must not be made large."""


def has_a_middle(answer: Answer) -> bool:
    """Return whether the answer is a map that is fine enough to have a middle."""
    return isinstance(answer, ScoreMap) and min(answer.grid) >= LEAST_SIDE


def place_weights(
    rows: Array, columns: Array, grid: tuple[int, int], options: PrototypeOptions
) -> Array:
    """Return how much the score at each place of a map counts in each view, (views, places).

    What shows the middle counts 1 in all, what shows the border -`surround_weight` in all, what
    lies between them nothing. rows, columns: the views' matrices, (views, height, height) and
    (views, width, width). grid: rows and columns of the map.
    """
    assert options.middle is not None
    assert options.surround is not None
    height, width = rows.shape[-1], columns.shape[-1]
    seen = [
        _pooled(rows, columns, _disc(height, width, radius), grid)
        for radius in (options.middle, options.surround)
    ]
    inside, outside = _shares(seen[0]), _shares(1 - seen[1])
    return np.asarray(inside - options.surround_weight * outside, np.float32)


def middle_places(model: Model, options: PrototypeOptions) -> Array | None:
    """Return the weights, (places,), of the places that show the middle; together 1.

    None where the class is not wanted in the middle, or the answer is no map: all places count.
    """
    if not options.middle or not isinstance(model.answer, ScoreMap):
        return None
    height, width = model.picture_shape[1:]
    rows, columns = (np.eye(n, dtype=np.float32)[None] for n in (height, width))
    shown = _pooled(rows, columns, _disc(height, width, options.middle), model.answer.grid)
    return np.asarray(_shares(shown)[0], np.float32)


def _disc(height: int, width: int, radius: float) -> Array:
    """1 at pixels within a radius of the middle, in short sides, and 0 elsewhere."""
    y, x = np.mgrid[:height, :width]
    short = min(height, width)
    away = np.hypot(y + 0.5 - height / 2, x + 0.5 - width / 2)
    return np.asarray(away <= radius * short, np.float64)


def _pooled(rows: Array, columns: Array, picture: Array, grid: tuple[int, int]) -> Array:
    """What each place of a map shows of a picture, averaged over its pixels: (views, places)."""
    down, across = (
        _averaging(cells, m / np.maximum(m.sum(-1, keepdims=True), 1e-9))
        for cells, m in zip(grid, (rows, columns), strict=True)
    )
    return np.asarray(down @ picture @ across.transpose(0, 2, 1)).reshape(len(rows), -1)


def _averaging(cells: int, matrix: Array) -> Array:
    """Average the rows of (views, n, n) in so many equal parts; of fewer rows some serve twice."""
    n = matrix.shape[1]
    starts = np.arange(cells) * n // cells
    ends = np.maximum((np.arange(1, cells + 1) * n) // cells, starts + 1)
    means = [matrix[:, a:b].mean(1) for a, b in zip(starts, ends, strict=True)]
    return np.asarray(np.stack(means, axis=1), np.float64)


def _shares(weights: Array) -> Array:
    """Rows that add up to 1; one that holds next to nothing becomes nothing."""
    weights = np.clip(weights, 0, 1)
    total = weights.sum(1, keepdims=True)
    enough = total > LEAST_SHARE * weights.shape[1]
    return np.asarray(np.where(enough, weights / np.maximum(total, 1e-9), 0))
