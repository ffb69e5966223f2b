"""The chart of which classes share features: prototypes against the audited classes."""

import math

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from leap_audit.artifacts import Audit, EntanglementMatrix
from leap_audit.report.charts import Chart
from leap_audit.report.pictures import data_uri
from leap_audit.report.svg import FAINT, INK, PAPER, drawing, text, width_of
from leap_audit.text.names import ClassLabels, distinct_names
from leap_audit.text.numbers import decimal

__all__ = ["entanglement_matrix"]

NUMBERS_UP_TO = 12
"""Rows or columns up to which each square has its number in it."""
NAMES_UP_TO = 48
"""Rows or columns up to which they are named."""
LARGEST = 900
"""CSS pixels of a matrix without names."""
UNNAMED = (
    "Rows stand in the order of the prototypes, columns in the order of their classes; too many to "
    "be named here."
)
_LIGHT, _DEEP = np.array([243.0, 246.0, 247.0]), np.array([11.0, 72.0, 88.0])
"""From nearly white to a deep teal whose lightness falls evenly, so that grey print reads."""
_NAME = 18
_TURNED = 48
"""Degrees, anticlockwise: the names of columns."""


def entanglement_matrix(audit: Audit, labels: ClassLabels) -> Chart | None:
    """Return the prototypes (rows) against the audited classes (columns); None below two.

    Many of them are a picture in which a square is a few pixels; a drawing would take minutes.
    """
    matrix = audit.matrix
    if matrix is None or len(matrix.classes) < 2 or not matrix.cosines:
        return None
    alt = _spoken(matrix, audit, labels)
    many = max(len(matrix.cosines), len(matrix.classes))
    if many > NAMES_UP_TO:
        side = max(1, LARGEST // many)
        return Chart(_picture(matrix, audit, side), alt, side * len(matrix.classes), UNNAMED)
    return _drawn(matrix, audit, labels, alt, numbers=many <= NUMBERS_UP_TO)


def _drawn(
    matrix: EntanglementMatrix, audit: Audit, labels: ClassLabels, alt: str, *, numbers: bool
) -> Chart:
    names = distinct_names([labels.of(p.target) for p in audit.prototypes], _NAME)
    across = distinct_names([labels[k] for k in matrix.classes], _NAME)
    cell = 44 if numbers else 20
    left = 8 + max(map(width_of, names))
    lengths = [width_of(name) + 12 for name in across]
    top = 8 + max(lengths) * math.sin(math.radians(_TURNED))
    reach = _reach(matrix)
    parts = []
    for i, row in enumerate(matrix.cosines):
        y = top + i * cell
        parts.append(text(left - 6, y + cell / 2 + 4, names[i], anchor="end"))
        for j, (k, cosine) in enumerate(zip(matrix.classes, row, strict=True)):
            x = left + j * cell
            parts += _cell(x, y, cell, cosine, reach, numbers=numbers)
            if k in audit.prototypes[i].target:
                parts.append(_frame(x, y, cell))
    for j, name in enumerate(across):
        parts.append(text(left + j * cell + cell / 2 + 3, top - 6, name, turned=_TURNED))
    slope = math.cos(math.radians(_TURNED))
    names_end = max((j + 0.5) * cell + slope * length for j, length in enumerate(lengths))
    width = left + max(cell * len(across) + 8, names_end)
    height = top + cell * len(names) + 8
    return Chart(drawing(width, height, *parts), alt, round(width))


def _picture(matrix: EntanglementMatrix, audit: Audit, side: int) -> Markup:
    """The squares as pixels, `side` of them each way; white where nothing was measured."""
    measured = np.array(
        [[np.nan if c is None else max(0.0, c) for c in row] for row in matrix.cosines], np.float64
    )
    tones = _tones(np.nan_to_num(measured / _reach(matrix)))
    tones[np.isnan(measured)] = 255
    pixels = tones.repeat(side, 0).repeat(side, 1)
    for i, prototype in enumerate(audit.prototypes):
        for j, k in enumerate(matrix.classes):
            if k in prototype.target:
                _outline(pixels[i * side : (i + 1) * side, j * side : (j + 1) * side])
    return data_uri(Image.fromarray(pixels), "PNG")


def _outline(square: NDArray[np.uint8]) -> None:
    square[[0, -1], :] = square[:, [0, -1]] = list(bytes.fromhex(INK.removeprefix("#")))


def _reach(matrix: EntanglementMatrix) -> float:
    """The cosine that is drawn darkest."""
    return max([0.0, *(c for row in matrix.cosines for c in row if c is not None)]) or 1.0


def _cell(
    x: float, y: float, cell: float, cosine: float | None, reach: float, *, numbers: bool
) -> list[str]:
    """A square as dark as the cosine is large; one below zero is as light as zero."""
    strength = max(0.0, cosine or 0.0) / reach
    look = (
        f'fill="none" stroke="{FAINT}"'
        if cosine is None
        else f'fill="#{_tones(strength).tobytes().hex()}"'
    )
    parts = [f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell - 1:g}" height="{cell - 1:g}" {look}/>']
    if cosine is not None and numbers:
        ink = PAPER if strength > 0.55 else INK if cosine > 0 else "#55626b"
        parts.append(
            text(x + cell / 2, y + cell / 2 + 4, decimal(cosine), anchor="middle", fill=ink)
        )
    return parts


def _tones(strength: ArrayLike) -> NDArray[np.uint8]:
    """Red, green and blue, (..., 3), of what is so strong, 0..1: as dark as it is strong."""
    mixed = _LIGHT + (_DEEP - _LIGHT) * np.asarray(strength)[..., None]
    tones: NDArray[np.uint8] = mixed.round().astype(np.uint8)
    return tones


def _frame(x: float, y: float, cell: float) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell - 1:g}" height="{cell - 1:g}" fill="none" '
        f'stroke="{INK}" stroke-width="2"/>'
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
