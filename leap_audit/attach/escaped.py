"""Escape untrusted names for Markdown and the HTML in it."""

import html
import re

from leap_audit.text.names import NAME_LIMIT, shortened

__all__ = ["escaped"]

_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")
"""What means something in the middle of a line."""
_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
"""Where an address is cut: some renderers make links of plain text, escaped or not."""


def escaped(text: str, limit: int = NAME_LIMIT) -> str:
    """Return text that Markdown shows as it stands, visible and cut to about `limit` characters.

    Neither mark-up nor HTML in it counts, nor do addresses become links; it stays on one line and
    in one cell of a table. It must not stand at the beginning of a line.
    """
    shown = html.escape(shortened(text, limit), quote=False)
    return _ADDRESS.sub("<!-- -->", _MARKDOWN.sub(r"\\\1", shown))
