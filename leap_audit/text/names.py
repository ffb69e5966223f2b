"""Make names safe to display.

Class and file names come from files nobody vouched for. They may hold line breaks, escape
codes, characters that turn the reading direction round, or a whole book.
"""

import difflib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile

__all__ = [
    "NAME_LIMIT",
    "ClassLabels",
    "did_you_mean",
    "distinct_names",
    "joined",
    "shortened",
    "visible",
]

NAME_LIMIT = 64
"""Characters of a class or file name that are displayed."""

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_MARKS_IN_A_ROW = 3


def joined(classes: Iterable[object]) -> str:
    """Return the names or the numbers of a hybrid's classes as one key: 'one+seven', '1+7'."""
    return "+".join(map(str, classes))


def did_you_mean(name: str, known: Iterable[str], alike: float = 0.0) -> str:
    """Return the end of a sentence about an unknown name: '; did you mean 'x'?', or '.'.

    alike: how alike the nearest of the known names must be, 0..1.
    """
    near = difflib.get_close_matches(name, list(known), 1, alike)
    return f"; did you mean {near[0]!r}?" if near else "."


def visible(text: str) -> str:
    """Return `text` with every character that hides or reorders others spelt out.

    Control characters, direction marks, zero-width characters, line separators, lone surrogates
    and unassigned characters become [U+202E] and the like, in signs that every font has;
    combining marks piled more than three high become [U+0301].
    """
    if text.isascii() and text.isprintable():
        return text
    shown = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in _HIDDEN or marks > _MARKS_IN_A_ROW:
            shown.append(f"[U+{ord(character):04X}]")
        else:
            shown.append(character)
    return "".join(shown)


def shortened(text: str, limit: int = NAME_LIMIT) -> str:
    """Return `text` made visible and cut to about `limit` characters, with an ellipsis."""
    shown = visible(text[: limit + 1])
    if len(text) <= limit and len(shown) <= 2 * limit:
        return shown
    return f"{shown[:limit].rstrip()}…"


def distinct_names(names: Sequence[str], limit: int) -> list[str]:
    """Return names cut to about `limit` characters: their beginnings, where these differ.

    Of names that begin alike, as 'a photo of a cat' and 'a photo of a dog', the last words: those
    whose beginnings are the same, and all where words that all begin with fill half of them.
    """
    beginnings = [shortened(name, limit) for name in names]
    times = Counter(beginnings)
    places = zip(*(name.split(" ")[:-1] for name in names), strict=False)
    begin = [words[0] for words in takewhile(lambda words: len(set(words)) == 1, places)]
    alike = len(names) > 1 and len(" ".join(begin)) >= limit / 2
    return [
        f"…{_ending(name, limit - 1)}"
        if (alike or times[short] > 1) and len(name) > limit
        else short
        for name, short in zip(names, beginnings, strict=True)
    ]


def _ending(name: str, limit: int) -> str:
    """The last words of a name, or its last characters where a word is longer."""
    before, tail = name[-limit - 1], name[-limit:]
    words = tail if before == " " else tail.partition(" ")[2]
    return visible(words or tail).lstrip()


class ClassLabels:
    """What to call each class: its name, with its index where the name alone is not enough.

    Of names that list synonyms ('tench, Tinca tinca') the first, where no other class has it.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        first = [_first(name) for name in classes]
        times = Counter(first)
        self._shown = [
            short if short and times[short] == 1 else shortened(name).strip() or "(no name)"
            for short, name in zip(first, classes, strict=True)
        ]
        self._times = Counter(self._shown)

    def __getitem__(self, index: int) -> str:
        """Return the label of class `index`; a name that is not unique carries the index."""
        if not 0 <= index < len(self._shown):
            return f"class {index}"
        name = self._shown[index]
        return name if self._times[name] == 1 else f"{name} (class {index})"

    def several(self, indices: Iterable[int]) -> list[str]:
        """Return the labels of classes."""
        return [self[index] for index in indices]

    def of(self, target: Sequence[int]) -> str:
        """Return the label of a target, the classes of a hybrid joined by a plus."""
        return joined(self.several(target))


def _first(name: str) -> str:
    """The part of a name before its first comma."""
    return shortened(name.partition(",")[0]).strip()
