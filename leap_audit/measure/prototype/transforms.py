"""The random view of a step: zoom, shift, aspect and mirror, as one matrix per axis.

All of these are separable, so a view of the picture P is A_h · P · A_wᵀ, and its gradient is two
more products. Each row of a matrix holds the two pixels that one pixel of the view is
interpolated from. Beyond the border the picture is reflected, or, where it is one object on a plain
ground, nothing is taken from there.
"""

import numpy as np

from leap_audit.config import PrototypeOptions
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = ["blur_at", "light", "view"]

INVISIBLE = 0.2
"""A blur of fewer pixels' standard deviation than this changes nothing that can be seen."""

ASPECT = 0.1
"""Largest relative difference between the two axes' zoom."""


def view(
    rng: np.random.Generator, height: int, width: int, options: PrototypeOptions
) -> tuple[Array, Array]:
    """Return A_h (height × height) and A_w (width × width) of one random view, float32."""
    assert options.scale is not None
    assert options.shift is not None
    zoom = rng.uniform(*options.scale)
    moves = rng.uniform(-1, 1, 2) * options.shift * min(height, width)
    stretch = rng.uniform(-1, 1, 2) * ASPECT * min(1.0, 5 * options.shift)
    mirrored = bool(options.flip) and rng.random() < 0.5
    empty = bool(options.plain_ground)
    rows = _resampling(height, zoom * (1 + stretch[0]), moves[0], empty)
    columns = _resampling(width, zoom * (1 + stretch[1]), moves[1], empty)
    return rows, columns[::-1].copy() if mirrored else columns


def light(rng: np.random.Generator, channels: int, jitter: float) -> tuple[float, Array]:
    """Return the light of one view, as gain and shift: gain · picture + shift, (channels, 1, 1).

    The gain, a factor between exp(±2 jitter), leaves mid-grey where it is; each channel is then
    shifted by up to `jitter`.
    """
    gain = float(np.exp(rng.uniform(-2, 2) * jitter))
    shift = 0.5 * (1 - gain) + rng.uniform(-1, 1, (channels, 1, 1)) * jitter
    return gain, np.asarray(shift, np.float32)


def blur_at(n: int, options: PrototypeOptions, step: int) -> Array | None:
    """Return the n × n blur of a step, None where it is too weak to be seen.

    Its width goes, by equal factors, from the first of `options.blur` to the second.
    """
    if options.blur is None:
        return None
    first, last = options.blur
    way = step / max(options.steps - 1, 1)
    sigma = float(first ** (1 - way) * last**way) if min(first, last) > 0 else first * (1 - way)
    return None if sigma < INVISIBLE else blur_matrix(n, sigma)


def _resampling(n: int, zoom: float, move: float, empty: bool) -> Array:
    """Bilinear resampling of n pixels: pixel i comes from centre + move + zoom · (i - centre).

    empty: nothing lies beyond the border; else the pixels are reflected there.
    """
    centre = (n - 1) / 2
    source = centre + move + zoom * (np.arange(n) - centre)
    low = np.floor(source).astype(int)
    weight = source - low
    matrix = np.zeros((n, n), np.float32)
    rows = np.arange(n)
    for index, share in ((low, 1 - weight), (low + 1, weight)):
        inside = (index >= 0) & (index < n)
        kept = np.where(inside, share, 0.0) if empty else share
        np.add.at(matrix, (rows, _reflected(index, n)), kept)
    return matrix


def _reflected(index: Array, n: int) -> Array:
    """Mirror positions beyond the border back in, as often as needed."""
    period = np.abs(index) % (2 * n - 2) if n > 1 else index * 0
    return np.where(period < n, period, 2 * n - 2 - period)
