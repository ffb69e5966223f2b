"""The ranking of a picture's pixels: of a few candidates the one that stands its own check best.

The optimised map (see `isolation`) settles in the wrong place now and then. Where it does, the
slopes of the score still point at the object; and where both are right, their mean is often better
than either. So all three are tried on the model, and the best is kept.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from leap_audit.config import IsolationOptions
from leap_audit.measure.attribution.smoothgrad import SmoothGradOptions, smooth_gradient
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.isolation.optimise import blurred, rank_pixels
from leap_audit.measure.isolation.region import strength
from leap_audit.measure.run import PICTURE, Run
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

__all__ = ["best_of", "best_ranking", "candidates", "rankings", "slopes_of"]

SHARE = 0.7
"""Weight of the slopes beside the optimised map, both standardised."""
SLOPES = SmoothGradOptions(kind="square", blur=16 / 224)
"""How the slopes are averaged."""
AREAS = (0.03, 0.08, 0.15, 0.25, 0.4, 0.6)
ROUNDING = 1e-5
BLUR = 1
"""Which of the blurs stands for "erased" when candidates are compared, beside the mean colour."""


def rankings(
    run: Run,
    subjects: Sequence[Subject],
    options: IsolationOptions,
    *,
    seed: int,
    batch: int,
    advance: Callable[[int], None],
) -> Iterator[Array]:
    """Yield one score map per subject, (height, width): the higher, the earlier kept.

    advance: called after each step with the number of subjects it moved.
    """
    if not subjects:
        return
    maps = rank_pixels(run, subjects, options, seed=seed, batch=batch, advance=advance)
    for subject, scores in zip(subjects, maps, strict=True):
        slopes = slopes_of(run.at_once(batch), subject, options, seed)
        yield best_ranking(run, subject, scores, slopes)


def slopes_of(run: Run, subject: Subject, options: IsolationOptions, seed: int) -> Array:
    """Return the mean square gradient of the subject's class, as its places count: (height, width).

    SmoothGrad, summed over the channels and blurred as much as the ranking is.
    """
    wide = SLOPES.model_copy(update={"blur": SLOPES.blur * options.smoothing})
    cotangent = run.model.answer.cotangent((subject.class_,), subject.where)
    batch = min(run.batch, wide.copies)
    run = run.at_once(batch)
    key = (content_key(np.asarray(subject.picture, np.float32)), subject.class_)
    rng = generator(seed, "isolation sensitivity", *key)

    def gradient(pictures: Array) -> Array:
        return run.gradient(pictures, cotangent)[PICTURE]

    return np.asarray(smooth_gradient(gradient, subject.picture, wide, rng, batch).sum(0))


def best_ranking(run: Run, subject: Subject, scores: Array, slopes: Array) -> Array:
    """Return the best of the optimised map, the slopes and their mean, (height, width)."""
    several = candidates(scores, slopes)
    return several[best_of(run, subject, several)]


def candidates(scores: Array, slopes: Array) -> list[Array]:
    """Return the optimised map, its mean with the slopes, and the slopes alone, (height, width)."""
    logarithm = _standard(np.log(slopes + 1e-12 * max(float(slopes.max()), 1e-30)))
    return [scores, _standard(scores) + SHARE * logarithm, logarithm]


def best_of(run: Run, subject: Subject, several: Sequence[Array]) -> int:
    """Return which map keeps the class best and loses it soonest, over areas of 3 % to 60 %.

    The mean probability, of an encoder the mean cosine, with the highest-scoring part of each area
    kept, less that with it erased, where a blur stands for what is absent and where the mean
    colour does; of equals the first.
    """
    picture = np.asarray(subject.picture, np.float32)
    fills = [blurred(picture[None])[BLUR, 0], picture.mean((1, 2), keepdims=True)]
    found = []
    for scores in several:
        cuts = np.quantile(scores, [1 - area for area in AREAS])
        pairs = [(scores > cut, fill) for cut in cuts for fill in fills]
        kept = [np.where(mask, picture, fill) for mask, fill in pairs]
        erased = [np.where(mask, fill, picture) for mask, fill in pairs]
        strengths = strength(run, np.stack([*kept, *erased]), subject)
        found.append(strengths[: len(pairs)].mean() - strengths[len(pairs) :].mean())
    return int(np.argmax(found))


def _standard(values: Array) -> Array:
    """(x - mean) / deviation; nothing where all are equal but for rounding."""
    shifted = values - values.mean()
    deviation = float(shifted.std())
    flat = deviation <= ROUNDING * max(1.0, float(np.abs(values).max()))
    return np.asarray(np.zeros_like(shifted) if flat else shifted / deviation)
