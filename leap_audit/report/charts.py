"""Charts: a drawing with what it says, and whether probabilities hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from leap_audit.artifacts import Sample
from leap_audit.findings.answered import Answered, answered
from leap_audit.report.svg import DEEP, INK, LINE, drawing, text, width_of
from leap_audit.text.numbers import percent, wilson

__all__ = ["CALIBRATION_NEEDS", "Chart", "calibration"]

CALIBRATION_NEEDS = 10
"""Photographs of known classes, below which no calibration is shown."""
_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Chart:
    """A drawing and what it says to those who cannot see it."""

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
    known = answered(samples)
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


def _groups(known: Sequence[Answered]) -> list[tuple[float, int, int]]:
    """(mean probability, right, photographs) of each bin that holds any."""
    found = []
    for low, high in pairwise(_BINS):
        inside = [each for each in known if low <= min(each.prob, 1 - 1e-9) < high]
        if inside:
            sure = sum(each.prob for each in inside) / len(inside)
            right = sum(each.right for each in inside)
            found.append((sure, right, len(inside)))
    return found
