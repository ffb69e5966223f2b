"""Replace the marked section of a model card without touching another byte."""

import re
from pathlib import Path

from leap_audit.errors import CardRefused

__all__ = ["END", "START", "card_text", "with_section"]

START = "<!-- leap-audit:start (written by leap-audit attach; changes in here are lost) -->"
END = "<!-- leap-audit:end -->"

_ANY = re.compile(rb"<!--\s*leap-audit:(?:start|end)\b")
_LINE = rb"(?<![^\r\n\xbf])"  # at the start of a line; BF ends the mark of the order of bytes
_START = re.compile(_LINE + rb"<!-- leap-audit:start\b[^\r\n]*?-->")
_END = re.compile(_LINE + rb"<!-- leap-audit:end -->(?=[ \t]*(?:[\r\n]|\Z))")


def card_text(card: bytes, path: Path) -> str:
    """Return a card as text, without a byte order mark.

    Raises CardRefused: it is not UTF-8.
    """
    try:
        text = card.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise CardRefused(f"{path}: is not UTF-8 text; save the card as UTF-8.")
    return text


def with_section(card: bytes, section: str, path: Path) -> bytes:
    """Return the card with its section replaced, or with one appended.

    section: from START to END, in lines that end with a line feed; they end as the card's do.
    Everything outside of it stays, byte for byte; before an appended one stands an empty line.

    Raises CardRefused: the marks are broken or there are several.
    """
    newline = _newline(card)
    new = section.encode("utf-8").replace(b"\n", newline)
    marks = len(_ANY.findall(card))
    if not marks:
        gap = b"" if not card else newline * (1 if _ends_a_line(card) else 2)
        return card + gap + new + newline
    starts, ends = list(_START.finditer(card)), list(_END.finditer(card))
    if marks != 2 or len(starts) != 1 or len(ends) != 1 or starts[0].end() > ends[0].start():
        raise CardRefused(
            f"{path}: the marks of its leap-audit section are broken or there are several; leave "
            "one pair of them, each on a line of its own, or take them all out."
        )
    return card[: starts[0].start()] + new + card[ends[0].start() + len(END) :]


def _newline(card: bytes) -> bytes:
    """How the lines of a card end: as its first."""
    found = re.search(rb"\r\n|\n|\r", card)
    return found.group() if found else b"\n"


def _ends_a_line(card: bytes) -> bool:
    return card.endswith((b"\n", b"\r"))
