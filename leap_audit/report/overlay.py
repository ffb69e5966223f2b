"""A map over its picture, as a picture."""

import numpy as np
from numpy.typing import NDArray

from leap_audit.ingest.pictures.bands import in_colour

__all__ = ["overlay", "same_everywhere"]

FOR, AGAINST = (np.array(c, np.float64) / 255 for c in ((214, 40, 40), (29, 78, 216)))
STRONGEST = 0.99
"""Quantile of the map's size that is shown as strongest, so that one pixel does not hide others."""
OPAQUE = 0.75
"""How much of the colour of what is strongest is the map's; the rest is the picture's."""


def overlay(picture: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a map over the picture's grey, (3, height, width) in 0..1.

    Red speaks for the target, blue against it, grey neither. A map of one sign is shown from its
    number nearest to 0, so that it is not one colour where its numbers are close together.
    picture: (channels, h, w) in 0..1. values: (h, w).
    """
    colour = np.asarray(in_colour(picture), np.float64)
    grey = 0.35 + 0.65 * colour.mean(0)
    shown = values.astype(np.float64)
    if not same_everywhere(values):
        shown -= np.clip(0, shown.min(), shown.max())
    else:
        shown[:] = 0
    top = float(np.quantile(np.abs(shown), STRONGEST)) or float(np.abs(shown).max())
    share = OPAQUE * (np.clip(np.abs(shown) / top, 0, 1) if top > 0 else np.zeros(shown.shape))
    tint = np.where((shown > 0)[None], FOR[:, None, None], AGAINST[:, None, None])
    return np.asarray((1 - share) * grey + share * tint)


def same_everywhere(values: NDArray[np.floating]) -> bool:
    """Whether a map tells no place from another: its numbers differ by rounding only."""
    return bool(np.ptp(values) <= 1e-5 * np.abs(values).max())
