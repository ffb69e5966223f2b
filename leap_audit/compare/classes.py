"""Match the classes of two models by their names."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from leap_audit.compare.record import ClassMatching
from leap_audit.ingest.classes.ground_truth import normalised_name
from leap_audit.text.names import ClassLabels
from leap_audit.text.numbers import count

__all__ = ["Classes", "match"]


@dataclass(frozen=True)
class Classes:
    """The classes of both models, and which are taken to be the same."""

    to_new: dict[int, int]
    """Class of the old model -> the same of the new one."""
    old: ClassLabels
    new: ClassLabels
    matching: ClassMatching

    def target(self, old: Sequence[int]) -> tuple[int, ...] | None:
        """Return the target of the new model that is this one of the old; None without one."""
        found = [self.to_new.get(index) for index in old]
        known = tuple(index for index in found if index is not None)
        return known if len(known) == len(found) else None


def match(old: Sequence[str], new: Sequence[str]) -> Classes:
    """Return which classes of two models are the same.

    By name; of classes with one name the first is taken for the first. What is left is matched if
    the names differ in case, spaces, hyphens or underscores alone. By index where one model has
    numbers for names, or where no name is in both and there are as many classes.
    """
    pairs = _by(old, new, str)
    numbered = [_numbered(old), _numbered(new)]
    if any(numbered) and not all(numbered):
        return _by_index(old, new, "One of the audits has no names of classes")
    if not pairs and len(old) == len(new):
        return _by_index(old, new, "No class has the same name in both audits")
    left = {i: name for i, name in enumerate(old) if i not in pairs}
    taken = set(pairs.values())
    respelt = {
        i: k for i, k in _by(old, new, normalised_name).items() if i in left and k not in taken
    }
    said = (
        "The classes have no names: they are matched by number."
        if all(numbered)
        else "The classes are matched by name."
    )
    return _classes(old, new, pairs | respelt, "index" if all(numbered) else "name", said)


def _by_index(old: Sequence[str], new: Sequence[str], why: str) -> Classes:
    pairs = {index: index for index in range(min(len(old), len(new)))}
    said = (
        f"{why}, so {count(len(pairs), 'class is', 'classes are')} matched by number. Whether a "
        "number means the same class in both models must be known from elsewhere."
    )
    return _classes(old, new, pairs, "index", said)


def _by(old: Sequence[str], new: Sequence[str], key: Callable[[str], str]) -> dict[int, int]:
    places = dict(_keyed(new, key))
    return {index: places[name] for name, index in _keyed(old, key) if name in places}


def _keyed(
    names: Sequence[str], key: Callable[[str], str]
) -> Iterator[tuple[tuple[str, int], int]]:
    """Yield ((name, how often it came before), index)."""
    times: Counter[str] = Counter()
    for index, name in enumerate(names):
        said = key(name)
        yield (said, times[said]), index
        times[said] += 1


def _numbered(names: Sequence[str]) -> bool:
    return all(name == str(index) for index, name in enumerate(names))


def _classes(
    old: Sequence[str], new: Sequence[str], pairs: dict[int, int], by: str, said: str
) -> Classes:
    taken = set(pairs.values())
    removed = {i: name for i, name in enumerate(old) if i not in pairs}
    added = {k: name for k, name in enumerate(new) if k not in taken}
    replaced = sorted(removed.keys() & added.keys())
    return Classes(
        to_new=pairs,
        old=ClassLabels(old),
        new=ClassLabels(new),
        matching=ClassMatching(
            by="index" if by == "index" else "name",
            said=said,
            matched=len(pairs),
            moved=sum(i != k for i, k in pairs.items()),
            added=tuple(name for k, name in added.items() if k not in replaced),
            removed=tuple(name for i, name in removed.items() if i not in replaced),
            respelt=tuple((old[i], new[k]) for i, k in pairs.items() if old[i] != new[k])
            if by == "name"
            else (),
            replaced=tuple((removed[i], added[i]) for i in replaced),
        ),
    )
