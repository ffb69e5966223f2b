"""Pictures of isolations: the region outlined, its ranking in colour, and predicted maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from leap_audit.artifacts import Audit, Isolation, Prototype, Sample
from leap_audit.findings.evidence import core
from leap_audit.report.pictures import Pictures, data_uri

__all__ = ["MAP_COLOURS", "RAMP", "Regions", "ramp_colour"]

ORANGE = (255, 143, 31)
"""The outline of a region: legible on dark and on light, in colour and in grey."""
SURROUND = 0.28
"""Brightness that is left outside a region."""
BLEND = 0.62
"""How much of an overlay is the colour of the ranking; the rest is the picture in grey."""
LINE = 0.011
"""Width of the outline, relative to the picture's longer side."""
RAMP = ((8, 7, 30), (74, 18, 107), (181, 54, 88), (246, 136, 31), (252, 250, 164))
"""The ranking from needed last to needed first; its brightness rises evenly, for grey print."""
MAP_COLOURS = (
    (230, 159, 0),
    (0, 114, 178),
    (240, 228, 66),
    (213, 94, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
    (150, 150, 150),
)
"""The classes of a predicted map, the largest first: a palette for all kinds of colour vision
(Okabe and Ito 2008), in an order in which the first four differ in grey print too."""
_QUALITY = 86


def ramp_colour(level: float) -> tuple[int, int, int]:
    """Return the colour of a ranking's level, 0..1."""
    red, green, blue = _ramp(np.array([level * 255]))[0]
    return int(red), int(green), int(blue)


@dataclass(frozen=True)
class _Place:
    """What an isolation is drawn from."""

    source: str
    """The picture itself; empty where photographs were kept out of the report."""
    isolation: Isolation


class Regions:
    """The isolations of an audit as pictures; `pictures`: those in its folder."""

    def __init__(self, audit: Audit, pictures: Pictures) -> None:
        self._pictures = pictures
        owners: list[Prototype | Sample] = [*audit.prototypes, *audit.samples]
        self._places = {
            each.image: _Place(owner.image, each)
            for owner in owners
            for each in owner.isolations
            if each.image
        }

    def is_isolation(self, image: str) -> bool:
        """Return whether `image` is the picture of an isolation that can be outlined."""
        return image in self._places and bool(self._places[image].source)

    def evidence(self, image: str, side: int) -> Markup:
        """Return the outlined region whose picture `image` is, as a data URI."""
        place = self._places[image]
        return self.outlined(place.source, place.isolation, side)

    def outlined(self, source: str, isolation: Isolation, side: int) -> Markup:
        """Return the picture with the region in full light, outlined in orange, the rest dark."""
        colours, flat = self._base(source, isolation.mask, side)
        ranking = self._ranking(isolation.mask, colours.shape[:2])
        inside = core(ranking, isolation.area) > 0
        dark = SURROUND * (0.5 * colours + 0.5 * colours.mean(2, keepdims=True))
        shown = np.where(inside[..., None], colours, dark)
        shown[_edge(inside, max(2, round(LINE * max(inside.shape))))] = ORANGE
        return _uri(shown, flat=flat)

    def boxed(self, source: str, isolation: Isolation, side: int) -> Markup:
        """Return the picture with the box of the object that an isolation is of, in orange."""
        shown, flat = self._base(source, isolation.mask, side)
        height, width = shown.shape[:2]
        assert isolation.box is not None
        left, top, right, bottom = (min(max(each, 0.0), 1.0) for each in isolation.box)
        inside = np.zeros((height, width), bool)
        rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
        columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
        inside[rows, columns] = True
        shown[_edge(inside, max(2, round(LINE * max(height, width))))] = ORANGE
        return _uri(shown, flat=flat)

    def overlaid(self, source: str, map_: str, side: int) -> Markup:
        """Return a ranking of all pixels, or another map, in colour over the picture in grey."""
        colours, flat = self._base(source, map_, side)
        ranking = self._ranking(map_, colours.shape[:2])
        grey = colours.mean(2, keepdims=True)
        return _uri((1 - BLEND) * grey + BLEND * _ramp(ranking), flat=flat)

    def predicted_map(self, source: str, map_: str, side: int) -> Markup:
        """Return the predicted map in `MAP_COLOURS`, over the picture in grey."""
        colours, _ = self._base(source, map_, side)
        height, width = colours.shape[:2]
        levels = np.asarray(
            self._pictures.read(map_).convert("L").resize((width, height), Image.Resampling.NEAREST)
        )
        palette = np.array([(40, 40, 40), *MAP_COLOURS], np.float32)
        drawn = palette[np.minimum(levels, len(MAP_COLOURS))]
        shown = 0.45 * colours.mean(2, keepdims=True) + 0.55 * drawn
        return _uri(shown, flat=False)

    def _base(self, source: str, mask: str, side: int) -> tuple[NDArray[np.float32], bool]:
        """The picture at `side` pixels, or grey where it was kept out; whether pixels are shown."""
        small = self._pictures.is_small(source or mask)
        if source:
            picture = self._pictures.read(source).convert("RGB")
        else:
            picture = Image.new("RGB", self._pictures.read(mask).size, (150, 150, 150))
        scale = side / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
        return np.asarray(picture.resize(size, how), np.float32), small

    def _ranking(self, mask: str, shape: Sequence[int]) -> NDArray[np.uint8]:
        picture = self._pictures.read(mask).convert("L")
        small = self._pictures.is_small(mask)
        how = Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC
        return np.asarray(picture.resize((shape[1], shape[0]), how), np.uint8)


def _ramp(levels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Colours, (..., 3), of levels in 0..255."""
    at = np.linspace(0, 255, len(RAMP))
    values = np.asarray(levels, np.float64)
    channels = [np.interp(values, at, [stop[channel] for stop in RAMP]) for channel in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def _edge(inside: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels outside a region that are within `width` of it, and the rim of the picture."""
    grown = inside.copy()
    for _ in range(width):
        padded = np.pad(grown, 1)
        grown = (
            padded[1:-1, 1:-1]
            | padded[:-2, 1:-1]
            | padded[2:, 1:-1]
            | padded[1:-1, :-2]
            | padded[1:-1, 2:]
        )
    rim = np.zeros_like(inside)
    rim[:width] = rim[-width:] = rim[:, :width] = rim[:, -width:] = True
    return np.asarray((grown & ~inside) | (rim & inside))


def _uri(shown: NDArray[np.float32], *, flat: bool) -> Markup:
    picture = Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    if flat:
        return data_uri(picture, "PNG", optimize=True)
    return data_uri(picture, "JPEG", quality=_QUALITY, optimize=True)
