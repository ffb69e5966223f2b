"""Photographs with the boxes of a detector drawn on them, as SVG over the picture."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from leap_audit.artifacts import Detection, Prototype, Sample
from leap_audit.report.pictures import Pictures
from leap_audit.report.svg import drawing, text, width_of
from leap_audit.text.names import ClassLabels
from leap_audit.text.numbers import percent

__all__ = ["BOXES_SHOWN", "PAIRS_SHOWN", "Boxes", "box_colour"]

BOXES_SHOWN = 20
"""Boxes that are drawn on a picture, and listed beside it, at most: the most confident."""
PAIRS_SHOWN = 3
"""Pairs of objects at one place that stand beside it, at most; all are in audit.json."""
COLOURS = (
    *("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"),
    "#ffffff",
)
"""A palette for all kinds of colour vision (Okabe and Ito 2008), one colour for each class."""
DARK = frozenset({"#0072b2", "#009e73", "#d55e00"})
HEIGHT = 15
"""Of a label."""


def box_colour(class_: int) -> str:
    """Return the colour of a class's boxes."""
    return COLOURS[class_ % len(COLOURS)]


class Boxes:
    """The detections of an audit drawn on the pictures in its folder."""

    def __init__(
        self, pictures: Pictures, labels: ClassLabels, owners: Iterable[Sample | Prototype] = ()
    ) -> None:
        self._pictures, self._labels = pictures, labels
        self._found = {each.image: each.detections for each in owners if each.detections}

    def are_of(self, image: str) -> bool:
        """Return whether `image` is a whole picture on which a detector finds something."""
        return bool(image) and image in self._found

    def framed(self, image: str, side: int, classes: Sequence[int] = ()) -> Markup:
        """Return a picture with the boxes of these classes and their names; side: as of `drawn`.

        classes: empty: all of them, without names, for a picture that is too small for these.
        """
        found = self._found[image]
        if not classes:
            return self._drawing(image, found, side, named=False)
        return self.drawn(image, [each for each in found if each.class_ in classes], side)

    def drawn(
        self, image: str, detections: Sequence[Detection], side: int, *, short: bool = False
    ) -> Markup:
        """Return a picture with boxes, numbered and named, as a data URI of an SVG.

        side: of the drawing, the longer one, in its own units; the smaller it is, the larger are
        the words. short: the numbers alone, for print. The first boxes lie on top.
        """
        return self._drawing(image, detections, side, named=True, short=short)

    def _drawing(
        self,
        image: str,
        detections: Sequence[Detection],
        side: int,
        *,
        named: bool,
        short: bool = False,
    ) -> Markup:
        size = self._pictures.read(image).size
        scale = side / max(size)
        width, height = size[0] * scale, size[1] * scale
        smooth = "pixelated" if self._pictures.is_small(image) else "auto"
        parts = [
            f'<image href="{self._pictures.photo(image, max(2 * side, 480))}" width="{width:g}" '
            f'height="{height:g}" style="image-rendering:{smooth}"/>'
        ]
        numbered = list(enumerate(detections[:BOXES_SHOWN], 1))
        for number, each in reversed(numbered):
            parts += self._box(number, each, width, height, short=short)[: None if named else 2]
        return drawing(width, height, *parts)

    def _box(
        self, number: int, each: Detection, width: float, height: float, *, short: bool
    ) -> list[str]:
        left, top, right, bottom = (
            min(max(side, 0.0), 1.0) * length
            for side, length in zip(each.box, (width, height) * 2, strict=True)
        )
        colour = box_colour(each.class_)
        words = str(number)
        if not short:
            words = f"{number} {self._labels[each.class_]} {percent(each.prob)}"
        wide = min(width_of(words) + 6, width)
        x = min(left, width - wide)
        y = top - HEIGHT if top >= HEIGHT else top
        frame = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}"'
        frame += f' height="{bottom - top:.1f}" fill="none"'
        return [
            f'<rect {frame} stroke="#111" stroke-width="4"/>',
            f'<rect {frame} stroke="{colour}" stroke-width="2"/>',
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{HEIGHT}" fill="{colour}"/>',
            text(x + 3, y + 11, words, fill="#ffffff" if colour in DARK else "#111111"),
        ]
