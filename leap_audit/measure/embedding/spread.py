"""How an encoder's vectors fill their space: collapse, effective rank and hubs."""

from dataclasses import dataclass

import numpy as np

from leap_audit.run.session import Array

__all__ = [
    "Hubs",
    "Spread",
    "effective_rank",
    "hubs_of",
    "nearest_of",
    "skewness",
    "unit_vectors",
    "vector_spread",
]

NEIGHBOURS = 10
"""Neighbours of each picture in whose lists hubs are counted, where there are enough pictures."""
NULLS = 19
"""Draws of points without hubs that the skewness is compared with."""
MOST = 1000
"""Pictures among which hubs are counted at most."""
ROUNDING = 1e-12
"""Squares of singular values below this part of the largest are rounding."""
BLOCK = 1024
"""Pictures whose cosines with all others are in memory at once."""


@dataclass(frozen=True)
class Spread:
    """How far apart the vectors of different pictures lie."""

    effective_rank: float
    """Of the vectors of length 1 less their mean, from 1 on (see `effective_rank`)."""
    possible_rank: int
    """The highest that so many pictures and dimensions could have."""
    mean_cosine: float
    """Between two different pictures, -1..1."""
    still: int
    """Dimensions that are the same on all pictures."""


@dataclass(frozen=True, eq=False)
class Hubs:
    """How unevenly pictures are the neighbours of others."""

    neighbours: int
    """How many of each picture were counted."""
    chosen: Array
    """(m,) the places of the pictures among which they were counted."""
    times: Array
    """(m,) in how many other pictures' lists each of them is."""
    skewness: float
    """Of `times` (Radovanović et al. 2010); 0 is even."""
    usual: float
    """The highest skewness of NULLS draws of points without hubs, of as many pictures, with the
    variance along each principal direction that the vectors have."""
    centred: float
    """The skewness once the mean is taken off the vectors, which often cures it (Suzuki et al.
    2013)."""


def unit_vectors(vectors: Array) -> Array:
    """Return vectors of length 1, (n, d) float64; a vector of zeros stays one."""
    wide = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1))


def effective_rank(vectors: Array) -> float:
    """Return exp of the entropy of the normalised singular values; 0 where all are 0.

    Roy and Vetterli 2007; of an embedding, RankMe (Garrido et al. 2023). vectors: (n, d), taken as
    they are: what all have in common counts unless it was taken off before.
    """
    wide = np.asarray(vectors, np.float64)
    products = wide @ wide.T if len(wide) < wide.shape[1] else wide.T @ wide
    squares = np.linalg.eigvalsh(products)
    values = np.sqrt(np.where(squares > ROUNDING * squares.max(initial=0), squares, 0))
    total = float(values.sum())
    if total <= 0:
        return 0.0
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def vector_spread(vectors: Array) -> Spread:
    """Return how far apart vectors lie, (n, d) with n at least 2."""
    units = unit_vectors(vectors)
    count, width = units.shape
    centred = _rounded_off(units - units.mean(0), units)
    total = float((units.sum(0) ** 2).sum())
    own = float((units**2).sum())
    wide = np.asarray(vectors, np.float64)
    scale = float(np.abs(wide).max())
    return Spread(
        effective_rank(centred),
        min(count - 1, width),
        (total - own) / (count * (count - 1)),
        int((np.ptp(wide, axis=0) <= 1e-6 * scale).sum()),
    )


def nearest_of(vectors: Array, count: int) -> tuple[Array, Array]:
    """Return the cosines of the `count` nearest others of each, and their places; (n, count).

    The nearest come first; of equal ones that with the lower place. count is below n.
    """
    units = unit_vectors(vectors)
    values, places = [], []
    for start in range(0, len(units), BLOCK):
        cosines = units[start : start + BLOCK] @ units.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        values.append(np.take_along_axis(cosines, order, 1))
        places.append(order)
    return np.clip(np.concatenate(values), -1, 1), np.concatenate(places)


def skewness(values: Array) -> float:
    """Return the third standardised moment; 0 where all values are equal."""
    wide = np.asarray(values, np.float64)
    apart = wide - wide.mean()
    deviation = float(np.sqrt((apart**2).mean()))
    return float((apart**3).mean()) / deviation**3 if deviation > 0 else 0.0


def hubs_of(vectors: Array, rng: np.random.Generator, neighbours: int = NEIGHBOURS) -> Hubs:
    """Return how unevenly pictures are neighbours of others. vectors: (n, d), n at least 4.

    The neighbours are at most a quarter of the pictures; of more than MOST pictures so many are
    drawn. Points in many dimensions have hubs by
    chance alone, so the skewness is compared with that of points drawn from a normal distribution
    with the mean and the variances of the vectors.
    """
    units, chosen = unit_vectors(vectors), np.arange(len(vectors))
    if len(units) > MOST:
        chosen = np.sort(rng.choice(len(units), MOST, replace=False))
        units = units[chosen]
    count = len(units)
    k = max(1, min(neighbours, count // 4))
    mean = units.mean(0)
    centred = _rounded_off(units - mean, units)
    times = _occurrences(units, k)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    deviations = values / np.sqrt(max(count - 1, 1))
    # The neighbours depend on products alone: the axes of the points may be turned at will.
    middle = np.concatenate([axes @ mean, [_rest(mean, axes)]])
    draws = [
        skewness(
            _occurrences(
                middle
                + np.concatenate(
                    [rng.standard_normal((count, len(values))) * deviations, np.zeros((count, 1))],
                    axis=1,
                ),
                k,
            )
        )
        for _ in range(NULLS)
    ]
    return Hubs(k, chosen, times, skewness(times), max(draws), skewness(_occurrences(centred, k)))


def _rest(mean: Array, axes: Array) -> float:
    """The length of the part of the mean that lies outside the axes."""
    return float(np.sqrt(max(float(mean @ mean) - float(((axes @ mean) ** 2).sum()), 0.0)))


def _occurrences(vectors: Array, count: int) -> Array:
    """In how many lists of `count` neighbours each is."""
    _, places = nearest_of(vectors, count)
    return np.bincount(places.ravel(), minlength=len(vectors))


def _rounded_off(apart: Array, of: Array) -> Array:
    """Differences that are no more than the rounding of float32 are none."""
    return np.asarray(np.where(np.abs(apart) <= 1e-6 * np.abs(of).max(), 0.0, apart))
