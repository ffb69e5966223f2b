"""Turn the words of `--targets` into the indices of the classes to audit."""

import difflib
import re
from collections.abc import Iterable, Sequence

from leap_audit.errors import TargetRefused
from leap_audit.ingest.classes.names import quoted

__all__ = ["DEFAULT_LIMIT", "refuse_early", "select_targets"]

DEFAULT_LIMIT = 12
"""Up to this many classes are all audited when nobody chose."""

_NUMBERS = re.compile(r"[0-9,\s-]+")
_ITEM = re.compile(r"([0-9]{1,18})(?:\s*-\s*([0-9]{1,18}))?")
_MOST_PARTS = 5_000
"""Commas in one word that is read as a list of names."""


def select_targets(
    words: Sequence[str], classes: Sequence[str], predicted: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return the class indices that the words select, each once, in the order of the words.

    A word is `all`, numbers and ranges (`1,8,20-25`, both ends included), the name of a class, or
    a comma list of names and numbers (`bird,person,3`). Digits are always numbers. A name is
    matched whole; then without regard to case; then by its text before the first comma. Each way
    counts where exactly one class matches. Without words: all classes up to `DEFAULT_LIMIT`, else
    those in `predicted` (the model's answers to the photographs), else the first `DEFAULT_LIMIT`.

    Raises TargetRefused: a number out of range, an unknown name (naming the nearest) or a name
    that several classes have (listing their numbers).
    """
    if not words:
        return _default(len(classes), predicted)
    names = _Names(classes)
    chosen = (index for word in words for index in _indices(word, names, len(classes)))
    return tuple(dict.fromkeys(chosen))


def refuse_early(words: Sequence[str], listed: Sequence[str] | None) -> None:
    """Refuse words that cannot select a class, before the model is read.

    listed: the list of class names; None where the model has them. It may lack an entry for the
    background that the model has, so numbers may go one further, and 'background' is a name.

    Raises TargetRefused.
    """
    if listed is None:
        for word in words:
            if _NUMBERS.fullmatch(word) and word.strip():
                _numbers(word, None)
        return
    names = _Names([*listed, "background"])
    for word in words:
        list(_indices(word, names, len(listed) + 1))


def _default(count: int, predicted: Sequence[int]) -> tuple[int, ...]:
    if count <= DEFAULT_LIMIT:
        return tuple(range(count))
    return tuple(dict.fromkeys(predicted)) or tuple(range(DEFAULT_LIMIT))


class _Names:
    """The names of the classes, looked up from the strictest way of matching to the loosest."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self._whole: dict[str, list[int]] = {}
        self._folded: dict[str, list[int]] = {}
        self._short: dict[str, list[int]] = {}
        for index, name in enumerate(classes):
            folded = _folded(name)
            self._whole.setdefault(name, []).append(index)
            self._folded.setdefault(folded, []).append(index)
            self._short.setdefault(folded.partition(",")[0].strip(), []).append(index)

    def places(self, word: str) -> list[int]:
        """Return the indices of the classes that the strictest way with a match gives."""
        folded = _folded(word)
        ways = (
            (self._whole, word),
            (self._whole, word.strip()),
            (self._folded, folded),
            (self._short, folded),
        )
        return next((way[key] for way, key in ways if key in way), [])


def _folded(name: str) -> str:
    """The name without regard to case and to the width of its spaces."""
    return " ".join(name.casefold().split())


def _indices(word: str, names: _Names, count: int) -> Iterable[int]:
    if not word.strip():
        raise TargetRefused("An empty target; give class numbers, a class name, or all.")
    if _NUMBERS.fullmatch(word):
        return _numbers(word, count)
    places = names.places(word)
    if len(places) == 1:
        return places
    if word.strip().casefold() == "all" and not places:
        return range(count)
    if not places and "," in word:
        return _list(word, names, count)
    return [_named(word, names)]


def _numbers(word: str, count: int | None) -> list[int]:
    return [index for item in word.split(",") for index in _span(item.strip(), word, count)]


def _span(item: str, word: str, count: int | None) -> range:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise TargetRefused(
            f"Target {quoted(word)} is not a list of class numbers; write it like 1,8,20-25."
        )
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise TargetRefused(f"Target range {item} runs backwards; write it as {last}-{first}.")
    if count is None:
        return range(0)
    if last >= count:
        raise TargetRefused(
            f"Target {item} is out of range: the model has {count} classes, 0 to {count - 1}."
        )
    return range(first, last + 1)


def _list(word: str, names: _Names, count: int) -> list[int]:
    """Return the indices that a comma list selects. A name may hold commas: the longest counts."""
    parts = word.split(",")
    if len(parts) > _MOST_PARTS:
        raise TargetRefused(f"Target {quoted(word)} has more than {_MOST_PARTS:,} parts.")
    longest = 1 + max(name.count(",") for name in names.classes)
    chosen: list[int] = []
    start = 0
    while start < len(parts):
        if _ITEM.fullmatch(parts[start].strip()):
            chosen += _span(parts[start].strip(), word, count)
            start += 1
            continue
        ends = range(min(len(parts), start + longest), start, -1)
        joined = (",".join(parts[start:end]) for end in ends)
        taken = next((text for text in joined if names.places(text)), parts[start])
        chosen.append(_named(taken, names, within=word))
        start += 1 + taken.count(",")
    return chosen


def _named(word: str, names: _Names, within: str = "") -> int:
    """Return the index of the class of that name. within: the list that the name is part of."""
    places = names.places(word)
    if len(places) == 1:
        return places[0]
    shown = f"Target {quoted(word.strip())}" + (f" of {quoted(within)}" if within else "")
    if places:
        numbers = ", ".join(map(str, places))
        raise TargetRefused(
            f"{shown} is the name of {len(places)} classes; give one of the numbers {numbers}."
        )
    near = " or ".join(quoted(name) for name in _nearest(word.strip(), names.classes))
    raise TargetRefused(f"{shown} is not a class. Did you mean {near}?")


def _nearest(word: str, classes: Sequence[str]) -> list[str]:
    """Return up to three names: those with the word among their parts, then similar ones."""
    folded = word.casefold()
    alike = difflib.get_close_matches(word, classes, 3, 0.0)
    parts = [
        name for name in classes if folded in (part.strip().casefold() for part in name.split(","))
    ]
    inside = [name for name in classes if folded in name.casefold()] if len(folded) > 2 else []
    return list(dict.fromkeys([*parts, *inside, *alike]))[:3]
