"""Charts as SVG in a data URI: text is escaped, the tones hold on white, on black and in print."""

import base64
from functools import cache
from html import escape
from typing import Any
from unicodedata import east_asian_width

from markupsafe import Markup
from PIL import ImageFont

__all__ = ["DEEP", "FAINT", "INK", "LINE", "PAPER", "drawing", "text", "width_of"]

INK, PAPER, LINE = "#1b2328", "#ffffff", "#8a969d"
DEEP, FAINT = "#2f87a0", "#d3dade"
_FONTS = "Inter, Liberation Sans, Arial, Helvetica, sans-serif"
_SIZE = 11
_WIDER = 1.27
"""How much wider than Pillow's own font the widest of usual ones, DejaVu Sans, sets a word."""


def drawing(width: float, height: float, *parts: str, ground: bool = True) -> Markup:
    """Return the data URI of an SVG of these parts.

    ground: on paper of its own, for charts with text, which must be legible in dark mode too.
    """
    paper = f'<rect width="{width:g}" height="{height:g}" rx="4" fill="{PAPER}"/>' if ground else ""
    fonts = f' font-family="{_FONTS}"' if ground else ""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"{fonts}>'
        f"{paper}{''.join(parts)}</svg>"
    )
    return Markup(f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')}")


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = _SIZE,
    anchor: str = "start",
    fill: str = INK,
    turned: float = 0,
) -> str:
    """Return words at a place. anchor: start, middle or end. turned: degrees, anticlockwise."""
    turn = f' transform="rotate({-turned:g} {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" '
        f'fill="{fill}"{turn}>{escape(words)}</text>'
    )


def width_of(words: str) -> float:
    """Return how wide words of the usual size may get: the viewer's font is unknown."""
    square = sum(east_asian_width(letter) in "WF" for letter in words)
    measured: float = _measuring().getlength(words)
    return _WIDER * measured + square * _SIZE / 2


@cache
def _measuring() -> Any:
    return ImageFont.load_default(_SIZE)
