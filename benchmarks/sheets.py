"""Pictures side by side in one file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leap_audit.ingest.pictures.bands import in_colour

__all__ = ["contact_sheet"]

LEAST_SIDE = 112
"""Pixels that a small picture is enlarged to, about."""
QUALITY = 80
"""Of a JPEG."""


def contact_sheet(
    pictures: NDArray[Any], path: Path, *, columns: int = 6, side: int | None = None, gap: int = 4
) -> None:
    """Write pictures, (n, channels, height, width) in 0..1, as one PNG or JPEG.

    side: the height of each; by default they keep their size, and small ones are enlarged by an
    integer. gap: white pixels between two.
    """
    height, width = pictures.shape[2:]
    scale = max(1, LEAST_SIDE // width) if side is None else side / height
    sides = round(scale * width), round(scale * height)
    rows = -(-len(pictures) // columns)
    across, down = (each + gap for each in sides)
    sheet = Image.new("RGB", (columns * across - gap, rows * down - gap), "white")
    for i, picture in enumerate(pictures):
        pixels = np.rint(in_colour(picture).transpose(1, 2, 0) * 255).astype(np.uint8)
        smooth = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
        image = Image.fromarray(pixels).resize(sides, smooth)
        sheet.paste(image, (i % columns * across, i // columns * down))
    sheet.save(path, optimize=True, quality=QUALITY)
