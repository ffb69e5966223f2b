"""A map over its picture, as a picture."""

import numpy as np
from numpy.typing import NDArray

from leap_audit.ingest.pictures.bands import in_colour

__all__ = ["overlay"]

FOR, AGAINST = (np.array(c, np.float64) / 255 for c in ((214, 40, 40), (29, 78, 216)))
STRONGEST = 0.99
"""Quantile of the map's size that is shown as strongest, so that one pixel does not hide others."""


def overlay(picture: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a map over the picture's grey, (3, height, width) in 0..1.

    Red speaks for the target, blue against it, grey neither. picture: (channels, h, w) in 0..1.
    """
    colour = np.asarray(in_colour(picture), np.float64)
    grey = 0.35 + 0.65 * colour.mean(0)
    top = float(np.quantile(np.abs(values), STRONGEST)) or float(np.abs(values).max())
    share = np.clip(np.abs(values) / top, 0, 1) if top > 0 else np.zeros(values.shape)
    tint = np.where((values > 0)[None], FOR[:, None, None], AGAINST[:, None, None])
    return np.asarray((1 - share) * grey + share * tint)
