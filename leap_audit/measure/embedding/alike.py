"""The region of a picture that makes it like another: an isolation of a similarity."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.attribution.score import Score
from leap_audit.measure.attribution.smoothgrad import SmoothGradOptions, smooth_gradient
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.isolation.optimise import blurred
from leap_audit.measure.isolation.region import brightest, ranked
from leap_audit.measure.run import Run
from leap_audit.measure.smooth import enlargement
from leap_audit.measure.targets import CosineTarget
from leap_audit.run.session import Array

__all__ = ["AlikeOptions", "AlikeRegion", "alike_region"]

AREAS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
LEAST = 0.02
"""A picture that adds less than this to the cosine carries nothing to isolate."""
CELLS = 7
"""Cells along a side of the random masks."""
SLOPES = SmoothGradOptions(kind="square", blur=16 / 224)


@dataclass(frozen=True)
class AlikeOptions:
    """How the region is searched."""

    masks: int = 96
    """Random masks, half of whose cells are kept."""
    enough: float = 0.5
    """The part that a region keeps of what the picture adds to the cosine."""
    batch: int = 16


@dataclass(frozen=True, eq=False)
class AlikeRegion:
    """The smallest region that keeps a picture like another, with its check."""

    ranking: Array
    """(height, width) uint8: 255 is kept first."""
    area: float
    cosine: float
    """Of the vectors of the two whole pictures, -1..1."""
    kept: float
    """With only the region of the first kept."""
    erased: float
    """With the region of the first erased."""
    blank: float
    """With all of the first erased."""
    enough: bool
    """Whether the region keeps as much as the options ask for."""

    @property
    def inside(self) -> Array:
        """(height, width) bool: the region."""
        return brightest(self.ranking, self.area)


def alike_region(
    run: Run, picture: Array, vector: Array, options: AlikeOptions, seed: int
) -> AlikeRegion:
    """Return the region of a picture that makes its vector like another one.

    Candidates are the mean of random masks weighed by the cosine that they leave (RISE, Petsiuk et
    al. 2018), where the model has a gradient its mean square over noisy copies (SmoothGrad), and
    the product of both; the one is taken that keeps the cosine best and loses it soonest. What is
    erased is replaced by the blur under which the erased picture is least like the other.

    picture: (channels, height, width) in 0..1. vector: (dimensions,) of the other picture.
    """
    wide = np.asarray(picture, np.float32)
    score = Score(run, CosineTarget(vector), options.batch, wide)
    fills = blurred(wide[None])[:, 0]
    first = score(np.concatenate([wide[None], fills]))
    fill = fills[int(np.argmin(first[1:]))]
    whole, blank = float(first[0]), float(first[1:].min())

    def kept(masks: Array) -> Array:
        return score(np.where(masks[:, None], wide, fill))

    key = content_key(wide)
    maps = [_by_masks(score, wide, fill, options.masks, generator(seed, "alike masks", key))]
    if run.model.outside is None:
        rng = generator(seed, "alike slopes", key)
        batch = min(options.batch, SLOPES.copies)
        slopes = np.asarray(smooth_gradient(score.gradient, wide, SLOPES, rng, batch).sum(0))
        maps += [slopes, _evenly(maps[0]) * _evenly(slopes)]
    rankings = [ranked(each) for each in maps]
    marks = [_mark(kept, each) for each in rankings]
    ranking = rankings[int(np.argmax(marks))]
    masks = np.stack([brightest(ranking, area) for area in AREAS])
    cosines = kept(masks)
    added = whole - blank
    sufficient = np.flatnonzero((cosines >= blank + options.enough * added) & (added >= LEAST))
    place = int(sufficient[0]) if len(sufficient) else int(np.argmax(cosines))
    erased = kept(~masks[place : place + 1])
    return AlikeRegion(
        ranking,
        AREAS[place],
        whole,
        float(cosines[place]),
        float(erased[0]),
        blank,
        bool(len(sufficient)),
    )


def _mark(kept: Callable[[Array], Array], ranking: Array) -> float:
    """The mean cosine with each area kept, less that with it erased."""
    masks = np.stack([brightest(ranking, area) for area in AREAS[1::2]])
    return float(kept(masks).mean() - kept(~masks).mean())


def _by_masks(
    score: Score, picture: Array, fill: Array, count: int, rng: np.random.Generator
) -> Array:
    """(height, width): the mean of random masks weighed by the cosine that each leaves."""
    height, width = picture.shape[1:]
    rows, columns = enlargement(CELLS, height), enlargement(CELLS, width)
    cells = (rng.random((count, CELLS, CELLS)) < 0.5).astype(np.float64)
    masks = np.clip(rows @ cells @ columns.T, 0, 1).astype(np.float32)
    found = np.concatenate(
        [
            score(part[:, None] * picture + (1 - part[:, None]) * fill)
            for part in np.array_split(masks, max(1, count // 16))
        ]
    )
    weights = found - found.mean()
    return np.asarray(np.tensordot(weights, masks - masks.mean(0), 1))


def _evenly(values: Array) -> Array:
    """Ranks of the values, 0..1."""
    order = np.argsort(np.argsort(values, axis=None, kind="stable"), kind="stable")
    return np.asarray(order.reshape(values.shape) / max(values.size - 1, 1))
