"""The charts of a whole audit: which classes share features, and whether probabilities hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from leap_audit.artifacts import Audit, EntanglementMatrix, Sample
from leap_audit.findings.answered import Answered, answered
from leap_audit.findings.names import ClassLabels
from leap_audit.findings.numbers import decimal, percent, wilson
from leap_audit.report.svg import DEEP, FAINT, INK, LINE, PAPER, drawing, text

__all__ = ["CALIBRATION_NEEDS", "Chart", "calibration", "entanglement_matrix"]

CALIBRATION_NEEDS = 10
"""Photographs of known classes, below which no calibration is shown."""
NUMBERS_UP_TO = 12
NAMES_UP_TO = 48
_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
_NAME = 18


@dataclass(frozen=True)
class Chart:
    """A drawing and what it says to those who cannot see it."""

    image: Markup
    alt: str
    width: int
    """CSS pixels at which its text reads well."""


def entanglement_matrix(audit: Audit, labels: ClassLabels) -> Chart | None:
    """Return the prototypes (rows) against the audited classes (columns); None below two."""
    matrix = audit.matrix
    if matrix is None or len(matrix.classes) < 2 or not matrix.cosines:
        return None
    names = [_short(labels.of(p.target)) for p in audit.prototypes]
    across = [_short(labels[k]) for k in matrix.classes]
    many = max(len(names), len(across))
    named = many <= NAMES_UP_TO
    cell = 44 if many <= NUMBERS_UP_TO else 20 if named else max(3, 900 // many)
    left = 8 + (6.2 * max(map(len, names)) if named else 0)
    top = 8 + (4.6 * max(map(len, across)) + 8 if named else 0)
    reach = max([0.0, *(c for row in matrix.cosines for c in row if c is not None)]) or 1.0
    parts = []
    for i, row in enumerate(matrix.cosines):
        y = top + i * cell
        if named:
            parts.append(text(left - 6, y + cell / 2 + 4, names[i], anchor="end"))
        for j, (k, cosine) in enumerate(zip(matrix.classes, row, strict=True)):
            x = left + j * cell
            parts += _cell(x, y, cell, cosine, reach, numbers=many <= NUMBERS_UP_TO)
            if k in audit.prototypes[i].target:
                parts.append(_frame(x, y, cell))
    if named:
        for j, name in enumerate(across):
            parts.append(text(left + j * cell + cell / 2 + 3, top - 6, name, turned=48))
    overhang = 3.2 * len(across[-1]) if named else 0
    width = left + cell * len(across) + max(8, overhang)
    height = top + cell * len(names) + 8
    return Chart(drawing(width, height, *parts), _spoken(matrix, audit, labels), round(width))


def calibration(samples: Sequence[Sample]) -> Chart | None:
    """Return how often the first answer is right against how sure the model was of it.

    None below `CALIBRATION_NEEDS` photographs of known classes. A point for each group of
    photographs, its area their number, with the 95 % interval of the share that is right (Wilson).
    """
    known = answered(samples)
    if len(known) < CALIBRATION_NEEDS:
        return None
    side, left, top = 240.0, 44.0, 12.0

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
    parts.append(text(12, y(0.5), "right", anchor="middle", turned=90))
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
    return Chart(drawing(left + side + 24, top + side + 46, *parts), alt, 310)


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


def _cell(
    x: float, y: float, cell: float, cosine: float | None, reach: float, *, numbers: bool
) -> list[str]:
    """A square as dark as the cosine is large; one below zero is as light as zero."""
    size = cell - (1 if cell > 6 else 0)
    strength = max(0.0, cosine or 0.0) / reach
    look = f'fill="none" stroke="{FAINT}"' if cosine is None else f'fill="{_tone(strength)}"'
    parts = [f'<rect x="{x:.1f}" y="{y:.1f}" width="{size:g}" height="{size:g}" {look}/>']
    if cosine is not None and numbers:
        ink = PAPER if strength > 0.55 else INK if cosine > 0 else "#55626b"
        parts.append(
            text(x + size / 2, y + size / 2 + 4, decimal(cosine), anchor="middle", fill=ink)
        )
    return parts


def _tone(strength: float) -> str:
    """From nearly white to a deep teal whose lightness falls evenly, so that grey print reads."""
    light, deep = (243, 246, 247), (11, 72, 88)
    mixed = (round(a + (b - a) * strength) for a, b in zip(light, deep, strict=True))
    return "#" + "".join(f"{each:02x}" for each in mixed)


def _frame(x: float, y: float, cell: float) -> str:
    width = 2 if cell > 10 else 0.8
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell - 1:g}" height="{cell - 1:g}" fill="none" '
        f'stroke="{INK}" stroke-width="{width}"/>'
    )


def _spoken(matrix: EntanglementMatrix, audit: Audit, labels: ClassLabels) -> str:
    """What the matrix shows, in a sentence or two."""
    pairs = [
        (cosine, prototype.target, k)
        for prototype, row in zip(audit.prototypes, matrix.cosines, strict=True)
        for k, cosine in zip(matrix.classes, row, strict=True)
        if cosine is not None and k not in prototype.target
    ]
    size = f"{len(matrix.cosines)} prototypes by {len(matrix.classes)} classes"
    opening = f"Matrix of entanglement: {size}."
    if not pairs:
        return opening
    strongest = sorted(pairs, key=lambda each: -each[0])[:3]
    said = ", ".join(f"‘{labels.of(t)}’ with ‘{labels[k]}’ {decimal(c)}" for c, t, k in strongest)
    return f"{opening} The most entangled: {said}."


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1].rstrip()}…"
