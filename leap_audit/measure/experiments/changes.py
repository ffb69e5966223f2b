"""Changes of whole pictures, each at doses, and the class that each pushes the answers towards."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from leap_audit.measure.experiments.marks import FRAME
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = ["CHANGES", "PictureChange"]

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}


@dataclass(frozen=True)
class PictureChange:
    """A change of a whole picture."""

    name: str
    """In words, with its dose."""
    applied: Callable[[Array, np.random.Generator], Array]
    """Pictures (n, channels, height, width) in 0..1 -> changed ones; the numbers are for noise."""
    coloured: bool = False
    """Whether it needs three channels."""


def _blurred(pictures: Array, side: float) -> Array:
    height, width = pictures.shape[2:]
    sigma = side * min(height, width)
    return np.asarray(blur_matrix(height, sigma) @ pictures @ blur_matrix(width, sigma).T)


def _tinted(colour: tuple[int, ...], dose: float) -> PictureChange:
    name = next(k for k, v in COLOURS.items() if v == colour)
    light = np.reshape(colour, (3, 1, 1))
    return PictureChange(
        f"tinted {name}, {dose:.0%}",
        lambda pictures, _: (1 - dose) * pictures + dose * light,
        coloured=True,
    )


def _framed(grey: float) -> PictureChange:
    def applied(pictures: Array, _: np.random.Generator) -> Array:
        changed = pictures.copy()
        n = max(1, round(FRAME * min(pictures.shape[2:])))
        changed[:, :, :n] = changed[:, :, -n:] = grey
        changed[:, :, :, :n] = changed[:, :, :, -n:] = grey
        return changed

    return PictureChange(f"a {'white' if grey else 'black'} frame", applied)


def _grid(pictures: Array, _: np.random.Generator) -> Array:
    changed = pictures.copy()
    step = max(4, round(min(pictures.shape[2:]) / 8))
    changed[:, :, ::step] = changed[:, :, :, ::step] = 1.0
    return changed


def _jpeg(quality: int) -> PictureChange:
    def applied(pictures: Array, _: np.random.Generator) -> Array:
        return np.stack([_compressed(each, quality) for each in pictures])

    return PictureChange(f"JPEG of quality {quality}", applied)


def _compressed(picture: Array, quality: int) -> Array:
    """Through JPEG and back; of bands each on its own."""
    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    parts = [levels.transpose(1, 2, 0)] if len(levels) == 3 else list(levels)
    found = []
    for part in parts:
        held = io.BytesIO()
        Image.fromarray(part).save(held, "JPEG", quality=quality)
        with Image.open(held, formats=["JPEG"]) as opened:
            found.append(np.asarray(opened, np.float32) / 255)
    return found[0].transpose(2, 0, 1) if len(levels) == 3 else np.stack(found)


def _smaller(factor: int) -> PictureChange:
    def applied(pictures: Array, _: np.random.Generator) -> Array:
        height, width = pictures.shape[2:]
        part = pictures[:, :, : height - height % factor, : width - width % factor]
        n, channels, rows, columns = part.shape
        cells = part.reshape(n, channels, rows // factor, factor, columns // factor, factor)
        small = cells.mean((3, 5)).repeat(factor, 2).repeat(factor, 3)
        changed = pictures.copy()
        changed[:, :, :rows, :columns] = small
        return changed

    return PictureChange(f"pixels of {factor} × {factor}", applied)


CHANGES: tuple[PictureChange, ...] = (
    *(_tinted(colour, dose) for colour in COLOURS.values() for dose in (0.15, 0.3)),
    PictureChange("darker by 0.2", lambda p, _: p - 0.2),
    PictureChange("brighter by 0.2", lambda p, _: p + 0.2),
    PictureChange("contrast halved", lambda p, _: (p - 0.5) * 0.5 + 0.5),
    PictureChange("contrast by 1.6", lambda p, _: (p - 0.5) * 1.6 + 0.5),
    PictureChange("without colour", lambda p, _: 0 * p + p.mean(1, keepdims=True), coloured=True),
    PictureChange(
        "colours doubled",
        lambda p, _: 2 * p - p.mean(1, keepdims=True),
        coloured=True,
    ),
    PictureChange("blurred, 2 % of the side", lambda p, _: _blurred(p, 0.02)),
    PictureChange("blurred, 5 % of the side", lambda p, _: _blurred(p, 0.05)),
    PictureChange("sharpened", lambda p, _: p + 1.5 * (p - _blurred(p, 0.03))),
    PictureChange("noise of 0.05", lambda p, rng: p + 0.05 * rng.standard_normal(p.shape)),
    PictureChange("noise of 0.15", lambda p, rng: p + 0.15 * rng.standard_normal(p.shape)),
    _jpeg(50),
    _jpeg(10),
    _framed(0.0),
    _framed(1.0),
    PictureChange("a white grid", _grid),
    _smaller(2),
    _smaller(4),
    PictureChange("mirrored", lambda p, _: p[:, :, :, ::-1]),
    PictureChange("upside down", lambda p, _: p[:, :, ::-1]),
)
"""What is tried. Values that leave 0..1 are cut off by whoever applies a change."""
