"""Near-duplicates: pictures that the encoder finds alike, confirmed by comparing the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.embedding.spread import nearest_of, unit_vectors
from leap_audit.run.session import Array

__all__ = ["Duplicate", "near_duplicates", "same_picture"]

CANDIDATES = 5
"""Neighbours of each picture that are compared with it as pictures."""
SIDE = 24
"""Cells along a side at which pictures are compared."""
SHIFT = 1
"""Cells by which one may be shifted against the other."""
SAME = 0.95
"""Correlation of two pictures' details from which they show the same."""
FLAT = 0.01
"""Standard deviation of the grey below which a picture has nothing to compare."""


@dataclass(frozen=True)
class Duplicate:
    """Two pictures that show the same."""

    first: int
    second: int
    cosine: float
    """Of their vectors, -1..1."""
    correlation: float
    """Of the pictures themselves (see `same_picture`), -1..1."""
    equal: bool
    """Whether they are the same to the last level of grey."""
    mirrored: bool
    """Whether one is the other's mirror image."""


def near_duplicates(
    pictures: Sequence[Array], vectors: Array, digests: Sequence[str] = ()
) -> tuple[Duplicate, ...]:
    """Return the pairs that show the same, the most alike first.

    The encoder proposes: the CANDIDATES nearest neighbours of each picture are compared with it,
    and so are all pictures whose files are equal. The pictures decide: an encoder that finds
    everything alike has no more duplicates than another.

    pictures: (channels, height, width) in 0..1 each. vectors: (n, d). digests: of their files.
    """
    count = len(pictures)
    if count < 2:
        return ()
    _, places = nearest_of(vectors, min(CANDIDATES, count - 1))
    pairs = {(min(i, int(j)), max(i, int(j))) for i in range(count) for j in places[i]}
    first: dict[str, int] = {}
    for i, digest in enumerate(digests):
        if digest in first:
            pairs.add((first[digest], i))
        first.setdefault(digest, i)
    units = unit_vectors(vectors)
    cells = [_cells(np.asarray(each)) for each in pictures]
    found = []
    for i, j in sorted(pairs):
        equal = bool(np.array_equal(pictures[i], pictures[j]))
        plain, mirrored = (
            same_picture(cells[i], cells[j]),
            same_picture(cells[i], cells[j][:, ::-1]),
        )
        if equal or max(plain, mirrored) >= SAME:
            found.append(
                Duplicate(
                    i,
                    j,
                    float(np.clip(units[i] @ units[j], -1, 1)),
                    1.0 if equal else max(plain, mirrored),
                    equal,
                    not equal and mirrored > plain,
                )
            )
    return tuple(sorted(found, key=lambda each: (not each.equal, -each.correlation, each.first)))


def same_picture(a: Array, b: Array) -> float:
    """Return the correlation, -1..1, of the details of two pictures, under the best small shift.

    a, b: (SIDE, SIDE) grey. Details are what is left of the grey once the mean of the cells around
    is taken off: light areas and dark ones alone do not make two pictures the same. 0 where one
    has none.
    """
    x = _detail(a)[SHIFT:-SHIFT, SHIFT:-SHIFT].ravel()
    found = []
    moved = _detail(b)
    steps = range(2 * SHIFT + 1)
    inner = a.shape[0] - 2 * SHIFT
    for down in steps:
        for right in steps:
            y = moved[down : down + inner, right : right + inner].ravel()
            found.append(_correlation(x, y))
    return max(found)


def _cells(picture: Array) -> Array:
    """(SIDE, SIDE): the mean grey of the cells that a picture is cut into."""
    grey: Array = np.asarray(picture, np.float64).mean(0)
    for axis in (0, 1):
        size = grey.shape[axis]
        edges = np.linspace(0, size, SIDE + 1)
        sums = np.concatenate([np.zeros_like(grey.take([0], axis)), grey.cumsum(axis)], axis)
        at = np.floor(edges).astype(int)
        part = edges - at
        ahead = np.minimum(at + 1, size)
        shape = [1, 1]
        shape[axis] = -1
        share = part.reshape(shape)
        integral = sums.take(at, axis) * (1 - share) + sums.take(ahead, axis) * share
        grey = np.diff(integral, axis=axis) / (size / SIDE)
    return grey


def _detail(cells: Array) -> Array:
    """Cells less the mean of the 5 × 5 around them."""
    padded = np.pad(cells, 2, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean((2, 3))
    return np.asarray(cells - around)


def _correlation(x: Array, y: Array) -> float:
    x, y = x - x.mean(), y - y.mean()
    if min(x.std(), y.std()) < FLAT * 0.1:
        return 0.0
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))
