"""Pictures of isolations: the region outlined, its ranking in colour, and predicted maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from leap_audit.artifacts import AlikePart, Audit, Isolation, Prototype, Sample
from leap_audit.findings.evidence import core
from leap_audit.report.pictures import Pictures, compact, data_uri

__all__ = ["MAP_COLOURS", "RAMP", "Regions", "ramp_colour"]

ORANGE = (255, 143, 31)
"""The outline of a region: legible on dark and on light, in colour and in grey."""
WHITE = (255, 255, 255)
"""The box of an object around its region."""
SURROUND = 0.28
"""Brightness that is left outside a region."""
SHADE = 1 / 3
"""How much darker the black of a picture makes the colour of the ranking over it: so little that a
quarter of the ranking outweighs the step from black to white. So it reads the same on bright and
on dark pictures, and in grey print."""
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
_COLOURS = 256
AnyNumber = TypeVar("AnyNumber", bound=np.generic)


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

    def outlined(self, source: str, isolation: Isolation | AlikePart, side: int) -> Markup:
        """Return the picture with the region in full light, outlined in orange, the rest dark.

        With the box of the object in white, where the isolation is of one.
        """
        colours, square = self._base(source, isolation.mask, side)
        ranking = self._ranking(isolation.mask, colours.shape[:2])
        inside = core(ranking, isolation.area) > 0
        dark = SURROUND * (0.5 * colours + 0.5 * colours.mean(2, keepdims=True))
        shown = np.where(inside[..., None], colours, dark)
        if isinstance(isolation, Isolation) and isolation.box is not None:
            line = max(1, round(LINE * max(inside.shape)) // 2)
            shown[_edge(_within(isolation.box, inside.shape), line)] = WHITE
        return self._lined(shown, inside, square)

    def boxed(self, source: str, isolation: Isolation, side: int) -> Markup:
        """Return the picture with the box of the object that an isolation is of, in orange."""
        shown, square = self._base(source, isolation.mask, side)
        height, width = shown.shape[:2]
        assert isolation.box is not None
        return self._lined(shown, _within(isolation.box, (height, width)), square)

    def overlaid(self, source: str, map_: str, side: int) -> Markup:
        """Return a ranking of all pixels, or another map, in colour, shaded by the picture."""
        colours, square = self._base(source, map_, side, enlarged=False)
        ranking = self._ranking(map_, colours.shape[:2])
        shown = _picture(_ramp(ranking) * (1 - SHADE * (1 - _contrast(colours))))
        return compact(shown) if square else self._pictures.photographic(shown)

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
        return self._pictures.photographic(_picture(shown))

    def is_small(self, source: str, mask: str) -> bool:
        """Return whether the pixels of the pictures made of these two must stay sharp."""
        return self._pictures.is_small(source or mask)

    def _lined(self, shown: NDArray[np.float32], inside: NDArray[np.bool_], square: int) -> Markup:
        """The picture with an orange line around a region.

        square: the side of the squares that it is made of, as `_base` returns it.
        """
        line = _edge(inside, max(2, round(LINE * max(inside.shape))))
        if not square:
            shown[line] = ORANGE
            return self._pictures.photographic(_picture(shown))
        # Squares of pixels in a palette: half the bytes, and a line of exactly its colour.
        # The palette of one pixel of each square is that of them all, and found much sooner.
        coarse = shown[::square, ::square]
        if not np.array_equal(_enlarged(coarse, square), shown):  # there are finer lines
            coarse, square = shown, 1
        paletted = _picture(coarse).quantize(_COLOURS - 1, dither=Image.Dither.NONE)
        levels = _enlarged(np.array(paletted), square)
        levels[line] = _COLOURS - 1
        drawn = Image.fromarray(levels, "P")
        colours = (paletted.getpalette() or [])[: 3 * (_COLOURS - 1)]
        drawn.putpalette([*colours, *[0] * (3 * (_COLOURS - 1) - len(colours)), *ORANGE])
        return data_uri(drawn, "PNG", optimize=True)

    def _base(
        self, source: str, mask: str, side: int, *, enlarged: bool = True
    ) -> tuple[NDArray[np.float32], int]:
        """The picture at `side` pixels, or grey where it was kept out.

        And the side of the squares that the pixels of a small picture become; 0 for another.
        A small picture is enlarged to squares of pixels, or not at all. On the screen no other is
        enlarged, because the browser does it as well and the file stays small.
        """
        square = int(self._pictures.is_small(source or mask))
        if source:
            picture = self._pictures.read(source).convert("RGB")
        else:
            picture = Image.new("RGB", self._pictures.read(mask).size, (150, 150, 150))
        scale: float = side / max(picture.size)
        if scale > 1 and square:
            scale = square = int(scale) if enlarged else 1
        elif not self._pictures.paper:
            scale = min(scale, 1)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        how = Image.Resampling.NEAREST if square else Image.Resampling.LANCZOS
        return np.asarray(picture.resize(size, how), np.float32), square

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


def _within(box: Sequence[float], shape: Sequence[int]) -> NDArray[np.bool_]:
    """The pixels inside a box, (height, width); at least one row and column."""
    height, width = shape
    left, top, right, bottom = (min(max(each, 0.0), 1.0) for each in box)
    inside = np.zeros((height, width), bool)
    rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
    columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
    inside[rows, columns] = True
    return inside


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


def _contrast(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brightness, (height, width, 1): 0 at the darkest pixels of a picture, 1 at the brightest."""
    grey = colours.mean(2, keepdims=True)
    low, high = np.quantile(grey, (0.02, 0.98))
    if high - low < 1:
        return np.ones_like(grey)
    return np.asarray(np.clip((grey - low) / (high - low), 0, 1), np.float32)


def _enlarged(values: NDArray[AnyNumber], square: int) -> NDArray[AnyNumber]:
    """Make of each pixel a square of that side."""
    return values.repeat(square, 0).repeat(square, 1)


def _picture(shown: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
