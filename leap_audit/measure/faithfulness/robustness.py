"""Infidelity and max-sensitivity (Yeh et al. 2019)."""

from collections.abc import Callable

import numpy as np

from leap_audit.run.session import Array

__all__ = ["infidelity", "max_sensitivity"]

NOISE, RADIUS = 0.03, 0.02
"""Standard deviation of what is taken off a picture, and the half side of the cube around it that
is searched, both as shares of the picture's own range."""


def infidelity(
    scores: Callable[[Array], Array],
    picture: Array,
    values: Array,
    rng: np.random.Generator,
    draws: int = 100,
) -> float:
    """Return how far a map is from telling what small changes do, 0 (exact) to 1 (no better than
    a map of zeros).

    E[(b I·φ - (f(x) - f(x - I)))²] / E[(f(x) - f(x - I))²], I: Gaussian noise, b: the best factor,
    so that a map's unit does not matter. values: (channels, h, w), or (h, w) for all channels.
    """
    spread = NOISE * float(np.ptp(picture))
    noise = (spread * rng.standard_normal((draws, *picture.shape))).astype(np.float32)
    told = (noise * values).reshape(draws, -1).sum(1, dtype=np.float64)
    both = scores(np.concatenate([picture[None], picture - noise]).astype(np.float32))
    real = both[0] - both[1:]
    size, power = float(np.mean(told**2)), float(np.mean(real**2))
    if power == 0:
        return 0.0 if size == 0 else 1.0
    factor = float(np.mean(told * real)) / size if size > 0 else 0.0
    return float(np.mean((factor * told - real) ** 2) / power)


def max_sensitivity(
    explain: Callable[[Array], Array],
    picture: Array,
    values: Array,
    rng: np.random.Generator,
    draws: int = 10,
) -> float:
    """Return the largest relative change of a map over small changes of the picture, 0 or more.

    max ‖φ(x') - φ(x)‖ / ‖φ(x)‖ over `draws` pictures x' from the cube around x. explain: a picture
    -> its map. Says nothing of whether the map is right: a constant one has 0.
    """
    radius = RADIUS * float(np.ptp(picture))
    norm = float(np.linalg.norm(values))
    if norm == 0:
        return 0.0
    worst = 0.0
    for _ in range(draws):
        near = picture + rng.uniform(-radius, radius, picture.shape).astype(np.float32)
        worst = max(worst, float(np.linalg.norm(explain(near) - values)) / norm)
    return worst
