"""Parts of a picture beside an object, placed by the object's box, and cutting and pasting them."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from leap_audit.measure.matching import BoxSides
from leap_audit.run.session import Array

__all__ = [
    "PARTS",
    "PART_SIDE",
    "SidePart",
    "box_pixels",
    "filled",
    "framed",
    "part_pixels",
    "pasted",
]

Point: TypeAlias = tuple[float, float]
"""(down, right) in pixels."""
PART_SIDE = 0.8
"""Sides of a part beside an object, in those of its box."""
_STEPS = (-1.3, -0.9, -0.45, 0.0, 0.45, 0.9, 1.3)
"""Centres of parts from the box's centre, in its sides: from 0.9 on a part does not touch it."""
BESIDE = 0.9


@dataclass(frozen=True)
class SidePart:
    """A part of the surroundings of an object."""

    right: float
    """Its centre from that of the object, in widths of the object's box."""
    down: float
    """In heights."""

    @property
    def opposite(self) -> "SidePart":
        """Return the part on the other side of the object."""
        return SidePart(-self.right, -self.down)

    def beside(self, box: BoxSides, patch: tuple[int, int], size: tuple[int, int]) -> Point:
        """Return the centre of a patch that lies beside another object as this part does.

        box: of that object; patch: height and width in pixels; size: of the picture. Beyond its
        side the patch begins as far from the object as the part does.
        """
        left, top, right, bottom = box
        wide, high = (right - left) * size[1], (bottom - top) * size[0]
        return (
            _centre(self.down, (top + bottom) / 2 * size[0], high, patch[0]),
            _centre(self.right, (left + right) / 2 * size[1], wide, patch[1]),
        )


PARTS = tuple(
    SidePart(right, down)
    for down in _STEPS
    for right in _STEPS
    if max(abs(right), abs(down)) >= BESIDE
)
"""All parts that are looked at, row by row."""


def box_pixels(box: BoxSides, height: int, width: int, margin: float = 0.0) -> tuple[slice, slice]:
    """Return the rows and columns of a box, (left, top, right, bottom) in fractions.

    margin: how much is added on each side, in sides of the box. At least one pixel.
    """
    left, top, right, bottom = box
    more_x, more_y = margin * (right - left), margin * (bottom - top)
    return (
        _within(top - more_y, bottom + more_y, height),
        _within(left - more_x, right + more_x, width),
    )


def part_pixels(
    part: SidePart, box: BoxSides, height: int, width: int
) -> tuple[slice, slice] | None:
    """Return the rows and columns of a part beside a box; None where it is off the picture.

    A part that is cut off by the border to less than half counts as off.
    """
    left, top, right, bottom = box
    wide, high = right - left, bottom - top
    x, y = (left + right) / 2 + part.right * wide, (top + bottom) / 2 + part.down * high
    rows = _clipped(y - PART_SIDE * high / 2, y + PART_SIDE * high / 2, height)
    columns = _clipped(x - PART_SIDE * wide / 2, x + PART_SIDE * wide / 2, width)
    whole = (PART_SIDE * high * height) * (PART_SIDE * wide * width)
    area = max(0, rows.stop - rows.start) * max(0, columns.stop - columns.start)
    return (rows, columns) if area and area >= whole / 2 else None


def filled(picture: Array, where: tuple[slice, slice], keep: tuple[slice, slice]) -> Array:
    """Return the picture with a part replaced by the mean of the frame around it.

    keep: the object's box, which stays as it is.
    """
    rows, columns = where
    height, width = picture.shape[1:]
    frame = np.zeros((height, width), bool)
    frame[max(0, rows.start - 2) : rows.stop + 2, max(0, columns.start - 2) : columns.stop + 2] = 1
    frame[rows, columns] = False
    frame[keep] = False
    around = picture[:, frame] if frame.any() else picture.reshape(len(picture), -1)
    changed = picture.copy()
    changed[:, rows, columns] = np.median(around, axis=1)[:, None, None]
    changed[:, keep[0], keep[1]] = picture[:, keep[0], keep[1]]
    return changed


def pasted(picture: Array, patch: Array, centre: Point) -> Array | None:
    """Return the picture with a patch around a centre, (down, right) in pixels.

    None where less than half of the patch lies on the picture.
    """
    height, width = patch.shape[1:]
    top, left = round(centre[0] - height / 2), round(centre[1] - width / 2)
    rows = slice(max(0, top), min(picture.shape[1], top + height))
    columns = slice(max(0, left), min(picture.shape[2], left + width))
    area = max(0, rows.stop - rows.start) * max(0, columns.stop - columns.start)
    if area < height * width / 2:
        return None
    changed = picture.copy()
    changed[:, rows, columns] = patch[
        :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return changed


def _centre(steps: float, middle: float, side: float, patch: int) -> float:
    if abs(steps) < BESIDE:
        return middle + steps * side
    distance = side / 2 + patch / 2 + (abs(steps) - BESIDE) * side
    return middle + (distance if steps > 0 else -distance)


def _within(low: float, high: float, pixels: int) -> slice:
    start = min(max(0, round(low * pixels)), pixels - 1)
    return slice(start, min(pixels, max(start + 1, round(high * pixels))))


def _clipped(low: float, high: float, pixels: int) -> slice:
    return slice(max(0, round(low * pixels)), min(pixels, round(high * pixels)))


def framed(picture: Array, box: BoxSides) -> Array:
    """Return the picture with a frame around a box, light on dark ground and dark on light."""
    rows, columns = box_pixels(box, *picture.shape[1:])
    changed = picture.copy()
    inside = changed[:, rows, columns]
    edge = np.ones(inside.shape[1:], bool)
    width = max(1, round(min(picture.shape[1:]) / 150))
    edge[width:-width, width:-width] = False
    light = float(inside[:, edge].mean()) < 0.5
    inside[:, edge] = 1.0 if light else 0.0
    return changed
