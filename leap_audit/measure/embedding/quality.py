"""Whether the length of an encoder's vectors follows the sharpness or the contrast of pictures."""

from collections.abc import Callable, Mapping

import numpy as np

from leap_audit.artifacts import LengthLink
from leap_audit.measure.faithfulness.dependence import rank_correlation
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array
from leap_audit.statistics import sign_test

__all__ = ["WITHOUT", "contrast_of", "lengths_differ", "quality_links", "sharpness_of"]

SHUFFLES = 999
EVEN = 1e-4
"""Relative deviation of the lengths below which all are equal, as behind a normalisation."""
BLUR = 0.03
"""Of the short side: the deviation of the blur that takes sharpness."""
CONTRAST = 0.5
"""What is left of the contrast where it is taken."""


def sharpness_of(pictures: Array) -> Array:
    """Return the logarithm of the mean square of the Laplacian of the grey of pictures, (n,)."""
    grey = np.asarray(pictures, np.float64).mean(1)
    edges = (
        4 * grey[:, 1:-1, 1:-1]
        - grey[:, :-2, 1:-1]
        - grey[:, 2:, 1:-1]
        - grey[:, 1:-1, :-2]
        - grey[:, 1:-1, 2:]
    )
    return np.asarray(np.log((edges**2).mean((1, 2)) + 1e-12))


def contrast_of(pictures: Array) -> Array:
    """Return the standard deviation of the grey of pictures, (n,)."""
    return np.asarray(np.asarray(pictures, np.float64).mean(1).std((1, 2)))


def lengths_differ(vectors: Array) -> bool:
    """Return whether vectors, (n, d), have different lengths; behind a normalisation none do."""
    lengths = np.linalg.norm(np.asarray(vectors, np.float64), axis=1)
    return bool(lengths.std() > EVEN * lengths.mean())


def quality_links(
    pictures: Array,
    vectors: Array,
    without: Mapping[str, Array],
    rng: np.random.Generator,
) -> tuple[LengthLink, ...]:
    """Return how the length of the vectors goes with each quality; none where all are as long.

    What goes together between pictures may have a third cause, what they show. So the quality is
    also taken from each picture itself, and the length of its vector measured again.

    pictures: (n, channels, height, width) in 0..1, n at least 4. vectors: theirs, (n, d). without:
    quality -> the vectors of the pictures that it was taken from, (n, d).
    """
    if not lengths_differ(vectors):
        return ()
    wide = np.linalg.norm(np.asarray(vectors, np.float64), axis=1)
    found = []
    for quality, copies in without.items():
        values = MEASURED[quality](pictures)
        correlation = rank_correlation(values, wide)
        drawn = [abs(rank_correlation(values, rng.permutation(wide))) for _ in range(SHUFFLES)]
        p = (1 + sum(each >= abs(correlation) for each in drawn)) / (1 + SHUFFLES)
        after = np.linalg.norm(np.asarray(copies, np.float64), axis=1)
        shorter = int((after < wide * (1 - EVEN)).sum())
        longer = int((after > wide * (1 + EVEN)).sum())
        along = (shorter, longer) if correlation > 0 else (longer, shorter)
        found.append(
            LengthLink(
                quality=quality,
                pictures=len(wide),
                correlation=correlation,
                p=p,
                shorter=shorter,
                longer=longer,
                trial_p=sign_test(*along),
            )
        )
    return tuple(found)


def _blurred(pictures: Array) -> Array:
    height, width = pictures.shape[2:]
    sigma = BLUR * min(height, width)
    return np.asarray(blur_matrix(height, sigma) @ pictures @ blur_matrix(width, sigma).T)


def _pale(pictures: Array) -> Array:
    middle = pictures.mean((2, 3), keepdims=True)
    return np.asarray(middle + CONTRAST * (pictures - middle))


MEASURED: dict[str, Callable[[Array], Array]] = {"sharpness": sharpness_of, "contrast": contrast_of}
"""Quality -> what measures it, (n,)."""
WITHOUT: dict[str, Callable[[Array], Array]] = {"sharpness": _blurred, "contrast": _pale}
"""Quality -> what takes it from pictures."""
