"""SmoothGrad: gradients of a score over noisy copies of a picture (Smilkov et al. 2017)."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from leap_audit.config import Options
from leap_audit.measure.attribution.entry import Item, MethodValues, attribution
from leap_audit.measure.methods import Traits
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = ["SmoothGradOptions", "SmoothOptions", "moment", "smooth_gradient", "spread_of"]


class SmoothOptions(Options):
    """Noisy copies of a picture."""

    copies: int = Field(default=16, ge=1, le=10_000)
    """Noisy copies of the picture."""
    noise: float = Field(default=0.15, ge=0, le=1000)
    """Standard deviation of the noise, as a share of the picture's own range."""
    relative: bool = True
    """Whether the noise is such a share, or in the picture's own numbers."""
    kind: Literal["mean", "square", "variance"] = "mean"
    """What is taken of the maps of the copies: their mean, their mean square, or their variance."""


class SmoothGradOptions(SmoothOptions):
    """SmoothGrad."""

    blur: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of a blur of the map, as a fraction of the picture's short side; 0: none.
    Isolations take the mean square with a blur of 1/14."""


def smooth_gradient(
    gradient: Callable[[Array], Array],
    picture: Array,
    options: SmoothGradOptions,
    rng: np.random.Generator,
    batch: int,
) -> Array:
    """Return the mean, mean square or variance of the gradient, (channels, height, width) float64.

    gradient: of the score, at (n, channels, height, width); of the same shape. picture: (channels,
    height, width) in 0..1. rng: of the noise, drawn copy by copy, so that it does not depend on the
    batch. batch: copies computed together.

    Smilkov et al. 2017 (mean), Hooker et al. 2019 (mean square), Adebayo et al. 2018 (variance).
    """
    picture = np.asarray(picture, np.float32)
    spread = spread_of(picture, options)
    first, done = np.zeros(picture.shape, np.float64), 0
    second = first.copy()
    while done < options.copies:
        count = min(max(batch, 1), options.copies - done)
        noise = rng.standard_normal((count, *picture.shape), np.float32)
        gradients = gradient(picture + spread * noise).astype(np.float64)
        first += gradients.sum(0)
        second += np.square(gradients).sum(0)
        done += count
    found = moment(first / done, second / done, options)
    if options.blur == 0:
        return found
    height, width = picture.shape[1:]
    blur = options.blur * min(height, width)
    return np.asarray(blur_matrix(height, blur) @ found @ blur_matrix(width, blur).T)


def spread_of(picture: Array, options: SmoothOptions) -> np.float32:
    """Return the standard deviation of the noise, in the picture's own numbers."""
    return np.float32(options.noise * (np.ptp(picture) if options.relative else 1))


def moment(mean: Array, square: Array, options: SmoothOptions) -> Array:
    """Return what the options take of maps, from their mean and their mean square."""
    if options.kind == "variance":
        return np.asarray(np.maximum(square - mean**2, 0))
    return mean if options.kind == "mean" else square


@attribution(
    "smoothgrad",
    options=SmoothGradOptions,
    source="Smilkov et al. 2017; Hooker et al. 2019; Adebayo et al. 2018",
    cost="50 passes",
    traits=Traits(
        "mean, mean square or variance over n of df/dx(x + noise)",
        advice="Square and variance have no sign and find what the score depends on; the mean "
        "keeps the sign, and is noisier.",
        peers={"captum": "NoiseTunnel", "foxai": "CV_NOISE_TUNNEL_EXPLAINER"},
    ),
)
def smoothgrad(item: Item, options: SmoothGradOptions, rng: np.random.Generator) -> MethodValues:
    """Gradients over noisy copies of the picture: their mean, mean square or variance."""
    score = item.score
    return MethodValues(smooth_gradient(score.gradient, item.picture, options, rng, score.batch))
