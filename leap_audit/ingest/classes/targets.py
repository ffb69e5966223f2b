"""Turn the words of `--targets` into the indices of the classes to audit."""

import difflib
import re
from collections.abc import Iterable, Sequence

from leap_audit.errors import TargetRefused
from leap_audit.ingest.classes.names import quoted

__all__ = ["DEFAULT_LIMIT", "select_targets"]

DEFAULT_LIMIT = 12
"""Up to this many classes are all audited when nobody chose."""

_NUMBERS = re.compile(r"[0-9,\s-]+")
_ITEM = re.compile(r"([0-9]{1,18})(?:\s*-\s*([0-9]{1,18}))?")


def select_targets(
    words: Sequence[str], classes: Sequence[str], predicted: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return the class numbers that the words ask for, each once, in the order asked for.

    A word is `all`, numbers and ranges (`1,8,20-25`, both ends included), or the whole name of
    one class, matched exactly. Digits are always numbers. Without words: all classes up to
    `DEFAULT_LIMIT`, else those in `predicted` (what the model saw on the samples), else the
    first `DEFAULT_LIMIT`.

    Raises TargetRefused: a number out of range, an unknown name (naming the nearest) or a name
    that several classes bear (listing their numbers).
    """
    if not words:
        return _default(len(classes), predicted)
    chosen = (index for word in words for index in _indices(word, classes))
    return tuple(dict.fromkeys(chosen))


def _default(count: int, predicted: Sequence[int]) -> tuple[int, ...]:
    if count <= DEFAULT_LIMIT:
        return tuple(range(count))
    return tuple(dict.fromkeys(predicted)) or tuple(range(DEFAULT_LIMIT))


def _indices(word: str, classes: Sequence[str]) -> Iterable[int]:
    if word.strip() == "all":
        return range(len(classes))
    if not word.strip():
        raise TargetRefused("An empty target; give class numbers, a class name, or all.")
    if _NUMBERS.fullmatch(word):
        return [
            index for item in word.split(",") for index in _span(item.strip(), word, len(classes))
        ]
    return [_named(word, classes)]


def _span(item: str, word: str, count: int) -> range:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise TargetRefused(
            f"Target {quoted(word)} is not a list of class numbers; write it like 1,8,20-25."
        )
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise TargetRefused(f"Target range {item} runs backwards; write it as {last}-{first}.")
    if last >= count:
        raise TargetRefused(
            f"Target {item} is out of range: the model has {count} classes, 0 to {count - 1}."
        )
    return range(first, last + 1)


def _named(word: str, classes: Sequence[str]) -> int:
    exact = word if word in classes else word.strip()
    places = [index for index, name in enumerate(classes) if name == exact]
    if len(places) == 1:
        return places[0]
    if places:
        numbers = ", ".join(map(str, places))
        raise TargetRefused(
            f"Target {quoted(word)} is the name of {len(places)} classes; give one of the "
            f"numbers {numbers}."
        )
    near = " or ".join(quoted(name) for name in _nearest(exact, classes))
    raise TargetRefused(
        f"Target {quoted(word)} is not a class; a name is matched whole, one at a time. "
        f"Did you mean {near}?"
    )


def _nearest(word: str, classes: Sequence[str]) -> list[str]:
    """Return up to three names: first those with the word among their parts, then look-alikes."""
    folded = word.casefold()
    alike = difflib.get_close_matches(word, classes, 3, 0.0)
    parts = [
        name for name in classes if folded in (part.strip().casefold() for part in name.split(","))
    ]
    inside = [name for name in classes if folded in name.casefold()] if len(folded) > 2 else []
    return list(dict.fromkeys([*parts, *inside, *alike]))[:3]
