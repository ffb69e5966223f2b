"""How much speaks for a shortcut to each class, in two audits side by side."""

from leap_audit.artifacts import Audit, ClassSuspicion
from leap_audit.compare.classes import Classes
from leap_audit.compare.record import SuspicionPair
from leap_audit.compare.sides import Gallery

__all__ = ["pair_suspicion"]


def pair_suspicion(
    old: Audit, new: Audit, classes: Classes, galleries: tuple[Gallery, Gallery]
) -> tuple[SuspicionPair, ...]:
    """Return the suspicion of both audits by class, the highest first.

    A class that the two have in common is one row. Raises PictureRefused: a picture is missing.
    """
    then: dict[int | str, tuple[str, ClassSuspicion]] = {
        classes.to_new.get(each.class_, f"old {each.class_}"): (classes.old[each.class_], each)
        for each in old.suspicion
    }
    now: dict[int | str, tuple[str, ClassSuspicion]] = {
        each.class_: (classes.new[each.class_], each) for each in new.suspicion
    }
    pairs = [
        SuspicionPair(
            name=(now.get(key) or then[key])[0],
            old=galleries[0].suspicion(then[key][1]) if key in then else None,
            new=galleries[1].suspicion(now[key][1]) if key in now else None,
        )
        for key in dict.fromkeys([*now, *then])
    ]
    return tuple(sorted(pairs, key=_weight))


def _weight(pair: SuspicionPair) -> tuple[bool, float]:
    sides: list[ClassSuspicion] = [each for each in (pair.old, pair.new) if each is not None]
    return not any(each.confirmed for each in sides), -max(each.score for each in sides)
