"""A picture's features as a mixture of those of training pictures (SimplEx, Crabbé et al. 2021).

SimplEx minimises ‖wᵀH − h‖ over weights w ≥ 0 with the sum 1 by gradient descent on a softmax.
Here it is solved: the mixture is the point of the convex hull nearest to h, which Wolfe's method of
1976 finds with an active set of few pictures, and the gap to the best possible is a figure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.examples.gathered import Gathered
from leap_audit.run.session import Array

__all__ = ["Mixture", "mixtures"]

TINY = 1e-12
"""A weight below this is 0."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """The mixture of training pictures that is nearest to one picture in the features."""

    places: Array
    """(active,) of the training pictures with a weight above 0, the largest weight first."""
    weights: Array
    """(active,) above 0, with the sum 1."""
    residual: float
    """‖wᵀH − h‖ / ‖h‖: how much of the picture's features the mixture misses."""
    gap: float
    """The square of the residual is at most 2 · gap above the least possible one."""


class _Search:
    """Wolfe's method for one picture: the point nearest to 0 in the hull of all h_i − h."""

    def __init__(self, target: Array, place: int, first: Array) -> None:
        self.target = target
        self.places = [place]
        self.points = (first - target)[None]
        self.weights = np.ones(1)
        self.point = self.points[0]
        self.gap = np.inf
        self.done = False

    def step(self, least: float, place: int, features: Array, tolerance: float) -> None:
        """Take in the training picture that lies furthest towards 0, or end.

        least: the smallest product of any h_i − h with the present point, at `place`.
        """
        size = max(float(self.target @ self.target), float((self.points**2).sum(1).max()), TINY)
        self.gap = max(0.0, float(self.point @ self.point) - least)
        if self.gap <= tolerance * size or place in self.places:
            self.done = True
            return
        self.places.append(place)
        self.points = np.concatenate([self.points, (features - self.target)[None]])
        self.weights = np.append(self.weights, 0.0)
        while True:
            affine = self._affine()
            if affine.min() > TINY:
                self.weights = affine
                break
            down = affine <= TINY
            ahead = self.weights[down] - affine[down]
            share = min(1.0, float((self.weights[down] / np.maximum(ahead, TINY)).min()))
            self.weights = self.weights + share * (affine - self.weights)
            kept = self.weights > TINY
            if kept.all():  # the step was of rounding alone
                kept[int(np.argmin(self.weights))] = False
            self.places = [p for p, keep in zip(self.places, kept, strict=True) if keep]
            self.points, self.weights = self.points[kept], self.weights[kept]
            self.weights = self.weights / self.weights.sum()
        self.point = self.weights @ self.points

    def _affine(self) -> Array:
        """The weights, of any sign, of the point nearest to 0 in the plane through the points."""
        count = len(self.points)
        system = np.ones((count + 1, count + 1))
        system[0, 0] = 0
        products = self.points @ self.points.T
        scale = max(float(np.trace(products)) / count, TINY)
        system[1:, 1:] = products / scale
        right = np.zeros(count + 1)
        right[0] = 1
        return np.asarray(np.linalg.lstsq(system, right, rcond=None)[0][1:])

    def mixture(self) -> Mixture:
        order = np.argsort(-self.weights, kind="stable")
        size = float(self.target @ self.target)
        residual = float(np.linalg.norm(self.point))
        scale = size if size > 0 else 1.0
        return Mixture(
            np.asarray(self.places)[order],
            self.weights[order],
            residual / np.sqrt(scale),
            self.gap / scale,
        )


def mixtures(
    training: Gathered,
    pictures: Gathered,
    *,
    steps: int = 300,
    tolerance: float = 1e-8,
    advance: Callable[[], object] = lambda: None,
) -> list[Mixture]:
    """Return the mixture of training pictures nearest to each picture.

    The features of the training pictures are read once in a step, for all pictures together.
    tolerance: the gap at which a search ends, as a share of the squared length of the features.
    """
    targets = pictures.features()
    start = training.features(np.arange(1))[0]
    searches = [_Search(target, 0, start) for target in targets]
    for _ in range(steps):
        open_ = [search for search in searches if not search.done]
        if not open_:
            break
        points = np.stack([search.point for search in open_])
        least = np.full(len(open_), np.inf)
        place = np.zeros(len(open_), np.int64)
        for part in training.blocks():
            products = training.features(part) @ points.T
            at = products.argmin(0)
            lower = products[at, np.arange(len(open_))]
            better = lower < least
            least[better] = lower[better]
            place[better] = part.start + at[better]
        for i, search in enumerate(open_):
            near = training.features(place[i : i + 1])[0]
            search.step(
                float(least[i] - search.target @ search.point), int(place[i]), near, tolerance
            )
        advance()
    return [search.mixture() for search in searches]
