"""The signs of severities and results, as style rules: a shape for each beside its colour."""

import base64

from markupsafe import Markup

__all__ = ["SHAPES", "icon_rules"]

_RING = "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1z"
_CROSS = (
    "M5 1h6l4 4v6l-4 4H5l-4-4V5zM5.1 6.3 6.8 8 5.1 9.7l1.2 1.2L8 9.2l1.7 1.7 1.2-1.2L9.2 8l1.7-1.7"
    "-1.2-1.2L8 6.8 6.3 5.1z"
)
_TRIANGLE = "M8 1 15.5 14.5H.5zM7.1 5.5v5h1.8v-5zm0 6.2v1.6h1.8v-1.6z"
_DIAMOND = "M8 .5 15.5 8 8 15.5.5 8zM7.1 4v5h1.8V4zm0 6.2v1.7h1.8v-1.7z"
_TICK = f"{_RING}M11.3 4.8 7 9.1 4.9 7 3.6 8.3 7 11.7l5.6-5.6z"
_NOTE = f"{_RING}M7.1 7v5h1.8V7zm0-2.8v1.7h1.8V4.2z"
_DASH = f"{_RING}M4.5 7.1v1.8h7V7.1z"
SHAPES = {
    "critical": _CROSS,
    "fail": _CROSS,
    "high": _TRIANGLE,
    "medium": _DIAMOND,
    "warn": _DIAMOND,
    "low": _NOTE,
    "info": _NOTE,
    "none": _TICK,
    "pass": _TICK,
    "not-assessed": _DASH,
}
"""Level -> the path of its sign, 16 by 16."""
_IN_TEXT = {"pass": "#2a8a4f", "not-assessed": "#707c87"}
"""Levels whose sign also stands in text, in a tone that shows on light and on dark."""


def icon_rules() -> Markup:
    """Return the style rules of all signs: white on the colour of their level, or in text."""
    rules = [_rule(f".icon-{level}", path, "#ffffff") for level, path in SHAPES.items()]
    rules += [_rule(f"li > .icon-{level}", SHAPES[level], tone) for level, tone in _IN_TEXT.items()]
    return Markup("\n".join(rules))


def _rule(selector: str, path: str, fill: str) -> str:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
        f'<path fill="{fill}" fill-rule="evenodd" d="{path}"/></svg>'
    )
    data = base64.b64encode(svg.encode()).decode("ascii")
    return f'{selector} {{ background-image: url("data:image/svg+xml;base64,{data}"); }}'
