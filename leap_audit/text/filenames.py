"""Turn file names into text that can be written anywhere.

On most systems the name of a file is bytes: they need not be text in any encoding, and may hold
line breaks, escape codes and marks that turn the reading direction round. Every name passes
`legible` once, where it enters a record, and `plain_name` where it names another file.
"""

import os
import re
import unicodedata
from pathlib import Path

__all__ = ["clean", "legible", "plain_name"]

_SPACES = "Zs"
"""The category of spaces, which are printed as they are: macOS writes U+202F in screenshots."""


def legible(name: str | os.PathLike[str]) -> str:
    r"""Return a name, path or line of words without anything that hides, reorders or is no text.

    A byte that is no UTF-8 becomes \xe9, a line break \n, other unprintable characters \u202e and
    the like. What is printable stays as it is, and so does what this has returned before.
    """
    text = os.fspath(name)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    if letter.isprintable() or unicodedata.category(letter) == _SPACES:
        return letter
    if "\udc80" <= letter <= "\udcff":  # how Python holds a byte of a name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return ascii(letter)[1:-1]


def plain_name(name: str) -> str:
    """Return the name of a file to write: each run of unprintable letters becomes one `_`.

    So what is printed about that file can be copied.
    """
    kept = "".join(letter if letter.isprintable() else "\0" for letter in Path(name).name)
    return re.sub("\0+", "_", kept)


def clean(text: str) -> str:
    """Return the text with control characters escaped; line breaks stay.

    A space that no line breaks at is a space: not every terminal knows it.
    """
    return "".join(
        letter if letter == "\n" else legible(letter) for letter in text.replace("\u00a0", " ")
    )
