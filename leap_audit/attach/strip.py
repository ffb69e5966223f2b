"""A picture of several prototypes side by side."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from leap_audit.artifacts import Audit, Prototype
from leap_audit.report.pictures import Pictures

__all__ = ["shown_prototypes", "strip_of"]

SIDE, GAP = 160, 8
"""Pixels of a tile's longer side, and between two."""
MOST = 8


def shown_prototypes(audit: Audit) -> list[Prototype]:
    """Return the prototypes of the strip: of each target the first, of so many targets."""
    first: dict[tuple[int, ...], Prototype] = {}
    for each in audit.prototypes:
        first.setdefault(each.target, each)
    return list(first.values())[:MOST]


def strip_of(prototypes: Sequence[Prototype], folder: Path) -> bytes:
    """Return the prototypes as one PNG on white, 160 pixels high; `folder`: of the audit.

    Photographs are never in it: a card is public. Raises PictureRefused.
    """
    pictures = Pictures(folder)
    tiles = []
    for each in prototypes:
        tile = pictures.read(each.image).convert("RGB")
        scale = SIDE / max(tile.size)
        size = tuple(max(1, round(side * scale)) for side in tile.size)
        small = pictures.is_small(each.image)
        how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
        tiles.append(tile.resize((size[0], size[1]), how))
    width = sum(tile.width for tile in tiles) + GAP * (len(tiles) - 1)
    strip = Image.new("RGB", (width, SIDE), "white")
    left = 0
    for tile in tiles:
        strip.paste(tile, (left, (SIDE - tile.height) // 2))
        left += tile.width + GAP
    out = io.BytesIO()
    strip.save(out, "PNG", optimize=True)
    return out.getvalue()
