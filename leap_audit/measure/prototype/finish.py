"""What happens to a finished picture before anybody looks at it."""

import numpy as np

from leap_audit.run.session import Array

__all__ = ["equalised", "levels"]


def equalised(picture: Array, amount: float) -> Array:
    """Return the picture, (channels, height, width) in 0..1, with its histogram evened out.

    amount: 0 leaves it, 1 equalises its brightness wholly. All channels of a pixel are changed
    by the same difference, so that hues stay.
    """
    if not amount:
        return picture
    grey = np.asarray(picture, np.float64).mean(0)
    order = np.searchsorted(np.sort(grey, axis=None), grey.ravel(), side="right")
    even = (order / grey.size).reshape(grey.shape)
    return np.asarray(np.clip(picture + amount * (even - grey), 0, 1), np.float32)


def levels(picture: Array) -> Array:
    """Return the picture on 8-bit levels, as its PNG holds it."""
    return np.asarray(np.round(picture * 255) / 255, np.float32)
