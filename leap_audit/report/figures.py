"""The charts: bars that HTML draws itself, and the curve of a search as a small SVG.

Both are drawn in tones that stand out on white, on black and in grey print.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from leap_audit.artifacts import Prototype
from leap_audit.report.svg import DEEP, LINE, drawing

__all__ = ["BarScale", "bar_scale", "curve", "entanglement_scale"]

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
