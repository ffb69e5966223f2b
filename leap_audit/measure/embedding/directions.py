"""Directions of an encoder's own space that stand for classes, where nobody names any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.embedding.spread import effective_rank, unit_vectors
from leap_audit.measure.examples.gathered import softmax_rows
from leap_audit.run.session import Array

__all__ = ["OwnDirections", "class_directions", "principal_directions"]

SCALES = tuple(float(each) for each in np.geomspace(1, 300, 24))
"""What is tried for the factor of the cosines."""
SURE = 0.9
"""The mean probability of the right class beyond which a larger factor says nothing more."""
PRINCIPAL = 3
"""Principal directions at most, each of which counts both ways."""
REACH = 3.0
"""What the standard deviation of a cosine with a principal direction becomes."""
NOTHING = 1e-5
"""Length of a difference of vectors of length 1 below which it is rounding."""


@dataclass(frozen=True, eq=False)
class OwnDirections:
    """Directions with their names."""

    vectors: Array
    """(directions, dimensions), none of length 0."""
    names: tuple[str, ...]
    scale: float
    """What the cosines are multiplied by before the softmax."""


def class_directions(
    vectors: Array,
    classes: Sequence[int | None],
    names: Sequence[str],
    scale: float | None = None,
) -> OwnDirections:
    """Return the centroid of each class less the mean of the centroids.

    What all classes have in common tells none apart, and lies in no direction. Without a scale the
    one is taken under which the classes of the pictures are most probable, each judged by centroids
    without it, or the first under which the right class has SURE on average. A class that has no
    picture gets none. vectors: (n, dimensions). classes: of each, as places in `names`; at least
    two occur.
    """
    units = unit_vectors(vectors)
    known = np.array([-1 if each is None else each for each in classes])
    present = np.unique(known[known >= 0])
    centroids = np.stack([units[known == k].mean(0) for k in present])
    directions = centroids - centroids.mean(0)
    if (np.linalg.norm(directions, axis=1) <= NOTHING).any():
        return _axes(units.shape[1], scale)
    own = np.searchsorted(present, known[known >= 0])
    chosen = _likeliest(units[known >= 0], own, centroids) if scale is None else scale
    return OwnDirections(directions, tuple(names[int(k)] for k in present), chosen)


def principal_directions(vectors: Array, scale: float | None = None) -> OwnDirections:
    """Return the principal directions of vectors of length 1, each both ways.

    As many as the effective rank of the vectors allows, PRINCIPAL at most; the sign is such that
    the largest number is positive. Without a scale a cosine's standard deviation becomes REACH.
    """
    units = unit_vectors(vectors)
    centred = units - units.mean(0)
    if np.abs(centred).max() <= NOTHING:
        return _axes(units.shape[1], scale)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    count = max(1, min(PRINCIPAL, int(effective_rank(centred)), int((values > 0).sum())))
    chosen = axes[:count]
    signs = np.sign(chosen[np.arange(count), np.abs(chosen).argmax(1)])
    both = np.concatenate([chosen * signs[:, None], -chosen * signs[:, None]])
    both = both.reshape(2, count, -1).transpose(1, 0, 2).reshape(2 * count, -1)
    names = tuple(f"direction {i + 1}{way}" for i in range(count) for way in ("+", "−"))
    deviation = float((units @ chosen.T).std(0).max())
    return OwnDirections(both, names, scale if scale is not None else REACH / deviation)


def _axes(width: int, scale: float | None) -> OwnDirections:
    """Two dimensions, where all vectors are alike and have no direction of their own."""
    count = min(2, width)
    vectors = np.eye(count, width) if count == 2 else np.array([[1.0], [-1.0]])
    names = ("dimension 0", "dimension 1") if count == 2 else ("dimension 0+", "dimension 0−")
    return OwnDirections(vectors, names, scale if scale is not None else 1.0)


def _likeliest(units: Array, own: Array, centroids: Array) -> float:
    """The scale under which the classes are most probable, each by centroids without it."""
    sizes = np.bincount(own)
    alone = sizes[own] > 1
    rows, judged, sizes_of = units[alone], own[alone], sizes[own[alone]]
    if not len(rows):
        return 1.0
    cosines = np.empty((len(rows), len(centroids)))
    for i, (unit, k, size) in enumerate(zip(rows, judged, sizes_of, strict=True)):
        without = centroids.copy()
        without[k] = (centroids[k] * size - unit) / (size - 1)
        cosines[i] = unit_vectors(without - without.mean(0)) @ unit
    places = np.arange(len(rows))
    right = [softmax_rows(scale * cosines)[places, judged] for scale in SCALES]
    likely = int(np.argmax([np.log(each + 1e-300).sum() for each in right]))
    enough = [i for i, each in enumerate(right) if each.mean() >= SURE]
    return SCALES[min([likely, *enough])]
