"""Charts: bars that HTML draws itself, the curve of a search, and whether probabilities hold.

All are drawn in tones that stand out on white, on black and in grey print.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from leap_audit.artifacts import Prototype, Sample
from leap_audit.findings.basis import CALIBRATION_NEEDS
from leap_audit.findings.evidence import LabelledAnswer, labelled_answers
from leap_audit.report.svg import DEEP, INK, LINE, drawing, text, width_of
from leap_audit.statistics import wilson
from leap_audit.text.numbers import percent

__all__ = [
    "BarScale",
    "Chart",
    "bar_scale",
    "calibration",
    "curve",
    "entanglement_scale",
]

_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
_WIDTH, _HEIGHT, _MARGIN = 240.0, 56.0, 4.0


@dataclass(frozen=True)
class BarScale:
    """The values at the two ends of every bar chart of a report, zero always among them."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where `value` lies, in percent from the left."""
        clipped = min(max(value, self.low), self.high)
        return round(100 * (clipped - self.low) / (self.high - self.low), 2)

    def bar(self, value: float) -> str:
        """Return the CSS that places a bar from zero to `value`."""
        if not math.isfinite(value):
            return "left:0%;width:0%"
        start, end = sorted((self.at(0.0), self.at(value)))
        return f"left:{start:.2f}%;width:{end - start:.2f}%"


def entanglement_scale(prototypes: Iterable[Prototype]) -> BarScale:
    """Return one scale for all entanglements, so that bars compare across the whole report."""
    return bar_scale([e.entanglement for p in prototypes for e in p.entanglements])


def bar_scale(values: Iterable[float]) -> BarScale:
    """Return a scale from zero or below to above zero, on which all finite values lie."""
    finite = [value for value in values if math.isfinite(value)]
    high = max([0.1, *finite])
    low = min([0.0, *finite])
    return BarScale(-math.ceil(-low * 10) / 10, math.ceil(high * 10) / 10)


def curve(values: Sequence[float]) -> Markup | None:
    """Return the curve as the data URI of an SVG; None where there is nothing to draw."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2 or len(finite) != len(values):
        return None
    low, high = min(*finite, 0.0), max(*finite, 0.0)
    reach = (high - low) or 1.0

    def y(value: float) -> float:
        return _MARGIN + (_HEIGHT - 2 * _MARGIN) * (high - value) / reach

    step = (_WIDTH - 2 * _MARGIN) / (len(finite) - 1)
    points = " ".join(f"{_MARGIN + i * step:.1f},{y(v):.1f}" for i, v in enumerate(finite))
    return drawing(
        _WIDTH,
        _HEIGHT,
        f'<path d="M{_MARGIN} {y(0):.1f}H{_WIDTH - _MARGIN}" stroke="{LINE}" stroke-width="1" '
        'stroke-dasharray="2 3"/>',
        f'<polyline points="{points}" fill="none" stroke="{DEEP}" stroke-width="2" '
        'stroke-linejoin="round" stroke-linecap="round"/>',
        f'<circle cx="{_WIDTH - _MARGIN:.1f}" cy="{y(finite[-1]):.1f}" r="3.2" fill="{DEEP}"/>',
        ground=False,
    )


@dataclass(frozen=True)
class Chart:
    """A drawing, and the same in words for those who cannot see it."""

    image: Markup
    alt: str
    width: int
    """CSS pixels at which its text reads well."""
    note: str = ""
    """What else to say below it."""


def calibration(samples: Sequence[Sample]) -> Chart | None:
    """Return how often the first answer is right against how sure the model was of it.

    None below `CALIBRATION_NEEDS` photographs of known classes. A point for each group of
    photographs, its area their number, with the 95 % interval of the share that is right (Wilson).
    """
    known = labelled_answers(samples)
    if len(known) < CALIBRATION_NEEDS:
        return None
    side, top, label = 240.0, 12.0, 12.0
    left = label + 6 + width_of("100%") + 6

    def x(share: float) -> float:
        return left + side * share

    def y(share: float) -> float:
        return top + side * (1 - share)

    parts = [
        f'<path d="M{left} {top}V{top + side}H{left + side}" fill="none" stroke="{LINE}"/>',
        f'<path d="M{x(0):.1f} {y(0):.1f}L{x(1):.1f} {y(1):.1f}" stroke="{LINE}" '
        'stroke-dasharray="3 4"/>',
    ]
    for tick in (0.0, 0.5, 1.0):
        parts.append(text(x(tick), top + side + 16, f"{tick:.0%}", anchor="middle"))
        parts.append(text(left - 6, y(tick) + 4, f"{tick:.0%}", anchor="end"))
    parts.append(text(x(0.5), top + side + 34, "probability of the first answer", anchor="middle"))
    parts.append(text(label, y(0.5), "right", anchor="middle", turned=90))
    said = []
    for sure, right, of in _groups(known):
        low, high = wilson(right, of)
        centre = f'cx="{x(sure):.1f}" cy="{y(right / of):.1f}"'
        parts.append(
            f'<path d="M{x(sure):.1f} {y(low):.1f}V{y(high):.1f}" stroke="{INK}" '
            'stroke-width="1.2"/>'
        )
        radius = 3 + 6 * (of / len(known)) ** 0.5
        parts.append(f'<circle {centre} r="{radius:.1f}" fill="{DEEP}" stroke="{INK}"/>')
        said.append(f"{percent(sure)} sure, {right} of {of} right")
    alt = f"How often the first answer is right, by how sure the model is: {'; '.join(said)}."
    width = left + side + 24
    return Chart(drawing(width, top + side + 46, *parts), alt, round(width))


def _groups(known: Sequence[LabelledAnswer]) -> list[tuple[float, int, int]]:
    """(mean probability, right, photographs) of each bin that holds any."""
    found = []
    for low, high in pairwise(_BINS):
        inside = [each for each in known if low <= min(each.prob, 1 - 1e-9) < high]
        if inside:
            sure = sum(each.prob for each in inside) / len(inside)
            right = sum(each.right for each in inside)
            found.append((sure, right, len(inside)))
    return found
