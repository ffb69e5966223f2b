"""Where pictures of one class lie far apart, and pictures of two classes near."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.embedding.spread import nearest_of, unit_vectors
from leap_audit.run.session import Array

__all__ = ["ClassPair", "ClassSeparation", "FarPicture", "separation_of"]

NEIGHBOURS = 5
"""Neighbours of a picture whose classes are compared with its own."""
LISTED = 8
"""Pairs of pictures and pictures that are listed at most."""
SHUFFLES = 199


@dataclass(frozen=True)
class ClassPair:
    """Two pictures of different classes whose vectors lie near each other."""

    first: int
    second: int
    cosine: float


@dataclass(frozen=True)
class FarPicture:
    """A picture that is farther from its own class than from another."""

    place: int
    own: float
    """The mean cosine with the other pictures of its class, -1..1."""
    nearer: int
    """The class that it is nearest to."""
    other: float
    """The mean cosine with that class."""


@dataclass(frozen=True)
class ClassSeparation:
    """How well the vectors tell classes apart that the encoder may never have seen."""

    same: float
    """Mean cosine of two pictures of one class."""
    different: float
    """Mean cosine of two pictures of two classes."""
    agreement: float
    """Part of the NEIGHBOURS nearest of a picture that is of its class, 0..1, the mean over
    classes."""
    chance: float
    """The highest agreement of SHUFFLES permutations of the classes."""
    by_class: tuple[tuple[int, float], ...]
    """(class, its agreement), of each class with two or more pictures."""
    near: tuple[ClassPair, ...]
    """The nearest pairs of different classes, each picture once, the nearest first."""
    far: tuple[FarPicture, ...]
    """Pictures that are nearer to another class than to their own, the clearest first."""


def separation_of(
    vectors: Array,
    classes: Sequence[int | None],
    rng: np.random.Generator,
    apart: Sequence[tuple[int, int]] = (),
) -> ClassSeparation | None:
    """Return how well vectors tell classes apart; None below two classes with two pictures each.

    vectors: (n, d). classes: of each picture; None: not known, left out. apart: pairs that are no
    evidence, such as near-duplicates, which are near whatever the classes are.
    """
    known = np.array([-1 if each is None else each for each in classes])
    names, times = np.unique(known[known >= 0], return_counts=True)
    names = names[times > 1]
    places = np.flatnonzero(np.isin(known, names))
    if len(names) < 2:
        return None
    units, labels = unit_vectors(vectors)[places], known[places]
    sums = np.stack([units[labels == k].sum(0) for k in names])
    sizes = np.array([(labels == k).sum() for k in names])
    own = np.searchsorted(names, labels)
    squares = (units**2).sum(1)
    means = units @ sums.T / sizes
    rows = np.arange(len(units))
    means[rows, own] = (means[rows, own] * sizes[own] - squares) / (sizes[own] - 1)
    within = float((sums**2).sum() - squares.sum())
    whole = float((sums.sum(0) ** 2).sum() - squares.sum())
    pairs_within = int((sizes * (sizes - 1)).sum())
    pairs_all = len(units) * (len(units) - 1)
    k = min(NEIGHBOURS, int(sizes.min()) - 1)
    _cosines, nearest = nearest_of(units, k)
    agreed = _agreement(nearest, own, len(names))
    chance = max(
        float(_agreement(nearest, rng.permutation(own), len(names)).mean()) for _ in range(SHUFFLES)
    )
    return ClassSeparation(
        within / pairs_within,
        (whole - within) / (pairs_all - pairs_within),
        float(agreed.mean()),
        chance,
        tuple((int(k), float(share)) for k, share in zip(names, agreed, strict=True)),
        _near(units, own, places, {frozenset(each) for each in apart}),
        _far(means, own, names, places),
    )


def _agreement(nearest: Array, own: Array, classes: int) -> Array:
    """(classes,): part of the neighbours of a class's pictures that is of the class."""
    shares = (own[nearest] == own[:, None]).mean(1)
    return np.bincount(own, shares, classes) / np.maximum(np.bincount(own, minlength=classes), 1)


def _near(
    units: Array, own: Array, places: Array, apart: set[frozenset[int]]
) -> tuple[ClassPair, ...]:
    found, used = [], set[int]()
    best: list[tuple[float, int, int]] = []
    for i, unit in enumerate(units):
        cosines = units @ unit
        cosines[own == own[i]] = -np.inf
        for j in np.argsort(-cosines, kind="stable")[:3]:
            if np.isfinite(cosines[j]) and i < j:
                best.append((-float(cosines[j]), i, int(j)))
    for cosine, i, j in sorted(best):
        pair = (int(places[i]), int(places[j]))
        if used & {i, j} or frozenset(pair) in apart:
            continue
        used |= {i, j}
        found.append(ClassPair(*pair, min(1.0, -cosine)))
    return tuple(found[:LISTED])


def _far(means: Array, own: Array, names: Array, places: Array) -> tuple[FarPicture, ...]:
    rows = np.arange(len(own))
    others = means.copy()
    others[rows, own] = -np.inf
    nearer = others.argmax(1)
    gap = others[rows, nearer] - means[rows, own]
    return tuple(
        FarPicture(
            int(places[i]),
            float(means[i, own[i]]),
            int(names[nearer[i]]),
            float(others[i, nearer[i]]),
        )
        for i in np.argsort(-gap, kind="stable")[:LISTED]
        if gap[i] > 0
    )
