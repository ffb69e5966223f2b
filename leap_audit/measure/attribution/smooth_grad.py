"""SmoothGrad: the mean gradient of a score over noisy copies of a picture (Smilkov et al. 2017)."""

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from leap_audit.config import Options
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.methods import GRADIENT, Explanation, method
from leap_audit.measure.run import PICTURE, Run
from leap_audit.measure.smooth import blur_matrix
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

__all__ = ["SmoothGradOptions", "explain_by_smooth_grad", "noise_of", "smooth_grad"]


class SmoothGradOptions(Options):
    """How the gradients are averaged."""

    copies: int = Field(default=16, ge=1, le=10_000)
    """Noisy copies of the picture, of which the gradients are averaged. More are made where they
    do not fill the last batch."""
    noise: float = Field(default=0.15, ge=0, le=10)
    """Standard deviation of the noise, as a share of the picture's own range."""
    squared: bool = True
    """Whether the gradients are squared before the average, which makes the map unsigned."""
    blur: float = Field(default=16 / 224, ge=0, le=1)
    """Standard deviation of the blur of the map, as a fraction of the picture's short side."""


def smooth_grad(
    run: Run,
    picture: Array,
    cotangent: Array,
    options: SmoothGradOptions,
    rng: np.random.Generator,
) -> Array:
    """Return the mean gradient at each pixel, (height, width), summed over the channels.

    0 or more where the gradients are squared. picture: (channels, height, width) in 0..1.
    cotangent: (classes, places), of the score that is explained; see `Answer.cotangent`. rng: of
    the noise, drawn batch by batch.

    Smilkov et al. 2017; squared as in Hooker et al. 2019.
    """
    picture = np.asarray(picture, np.float32)
    run = run.at_once(min(run.batch, options.copies))
    spread = np.float32(options.noise * np.ptp(picture))
    height, width = picture.shape[1:]
    rounds = -(-options.copies // run.batch)
    total = np.zeros((height, width), np.float64)
    for _ in range(rounds):
        noise = rng.standard_normal((run.batch, *picture.shape), np.float32)
        slopes = run.gradient(picture + spread * noise, cotangent)[PICTURE]
        added = np.square(slopes) if options.squared else slopes
        total += added.reshape(-1, height, width).sum(0)
    blur = options.blur * min(height, width)
    smooth = blur_matrix(height, blur) @ total @ blur_matrix(width, blur).T
    return np.asarray(smooth / (rounds * run.batch))


def noise_of(subject: Subject, seed: int) -> np.random.Generator:
    """Return the noise that belongs to a subject, whatever it is explained together with."""
    key = (content_key(np.asarray(subject.picture, np.float32)), subject.class_)
    return generator(seed, "isolation sensitivity", *key)


@method(
    "smooth_grad",
    kind="attribution",
    options=SmoothGradOptions,
    needs=(GRADIENT,),
    source="Smilkov et al. 2017",
    cost="about 3 passes a copy",
)
def explain_by_smooth_grad(
    run: Run, subjects: Sequence[Subject], options: SmoothGradOptions, *, seed: int
) -> Iterator[Explanation]:
    """Mean gradient of the class's score over noisy copies of the picture, squared and blurred."""
    for subject in subjects:
        cotangent = run.model.answer.cotangent((subject.class_,), subject.where)
        rng = noise_of(subject, seed)
        yield Explanation(smooth_grad(run, subject.picture, cotangent, options, rng))
