"""A map over its picture, as a picture, and the box of a detection around its object."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leap_audit.ingest.pictures.bands import in_colour

__all__ = ["BOX", "overlay", "same_everywhere", "with_box"]

FOR, AGAINST = (np.array(c, np.float64) / 255 for c in ((214, 40, 40), (29, 78, 216)))
STRONGEST = 0.99
"""Quantile of the map's size that is shown as strongest, so that one pixel does not hide others."""
OPAQUE = 0.75
"""How much of the colour of what is strongest is the map's; the rest is the picture's."""
BOX = np.array((255, 221, 0), np.float64) / 255
"""The line of a box, which no map has: maps are red, blue and grey."""
LINE = 0.006
"""Width of that line, relative to the picture's longer side; half of it is black on each side."""


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


def with_box(
    picture: NDArray[np.floating], box: Sequence[float], side: str = ""
) -> NDArray[np.float64]:
    """Return a picture with the line of a box, yellow between two black ones, (3, height, width).

    picture: (channels, height, width) in 0..1. box: left, top, right and bottom, as fractions of
    the picture; what lies beyond it is drawn along its edge. side: the one that is drawn three
    times as wide: left, top, right or bottom; box: all of them.
    """
    shown = np.array(in_colour(picture), np.float64)
    height, width = shown.shape[1:]
    line = max(1, round(LINE * max(height, width)))
    black = (line + 1) // 2
    left, top, right, bottom = (
        min(max(round(at * length), 2 * line + black), length - 2 * line - black)
        for at, length in zip(box, (width, height) * 2, strict=True)
    )
    ends = {
        "left": (left, top, left, bottom),
        "top": (left, top, right, top),
        "right": (right, top, right, bottom),
        "bottom": (left, bottom, right, bottom),
    }
    for grown, colour in ((black, np.zeros(3)), (0, BOX)):
        for name, (x0, y0, x1, y1) in ends.items():
            wide = line * (3 if side in (name, "box") else 1)
            before = wide // 2 + grown
            after = wide - wide // 2 + grown
            rows, columns = slice(y0 - before, y1 + after), slice(x0 - before, x1 + after)
            shown[:, rows, columns] = colour[:, None, None]
    return shown
