"""SmoothGrad: the mean square gradient of a score over noisy copies of a picture, blurred."""

import numpy as np
from pydantic import Field

from leap_audit.config import Options
from leap_audit.measure.run import PICTURE, Run
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = ["SmoothGradOptions", "smooth_grad"]


class SmoothGradOptions(Options):
    """How SmoothGrad is computed."""

    copies: int = Field(default=16, ge=1)
    """Noisy copies, rounded up to whole batches."""
    noise: float = Field(default=0.15, ge=0)
    """Standard deviation of the noise, as a share of the picture's own range."""
    smoothing: float = Field(default=16 / 224, ge=0)
    """Standard deviation of the blur, as a fraction of the short side."""


def smooth_grad(
    run: Run,
    picture: Array,
    cotangent: Array,
    options: SmoothGradOptions,
    rng: np.random.Generator,
) -> Array:
    """Return the summed square gradient at each pixel, (height, width), 0 or more.

    picture: (channels, height, width) in 0..1. cotangent: (classes, places), of the score that is
    explained; see `Answer.cotangent`. rng: of the noise, drawn batch by batch.

    Smilkov et al. 2017, SmoothGrad; squared as in Hooker et al. 2019.
    """
    picture = np.asarray(picture, np.float32)
    run = run.at_once(min(run.batch, options.copies))
    spread = np.float32(options.noise * np.ptp(picture))
    height, width = picture.shape[1:]
    total = np.zeros((height, width), np.float64)
    for _ in range(-(-options.copies // run.batch)):
        noise = rng.standard_normal((run.batch, *picture.shape), np.float32)
        slopes = run.gradient(picture + spread * noise, cotangent)[PICTURE]
        total += np.square(slopes).reshape(-1, height, width).sum(0)
    blur = options.smoothing * min(height, width)
    return np.asarray(blur_matrix(height, blur) @ total @ blur_matrix(width, blur).T)
