"""Checks of isolations: whether they hold, and where they lie."""

from collections import Counter

from leap_audit.artifacts import Isolation
from leap_audit.findings.basis import PICTURES_NEEDED
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope
from leap_audit.text.numbers import count, percent

__all__ = ["at_the_border", "enough", "erased", "in_a_corner", "kept"]

LEAST = 3
"""Isolations below which an average says nothing."""


def enough(scope: Scope) -> Assessment:
    stated = _stated(scope)
    if isinstance(stated, NotAssessed):
        return stated
    good = sum(each.outcome != "not enough" for each in stated)
    return Assessed(
        good / len(stated), f"{good:,} of {_counted(stated)} ({percent(good / len(stated))})"
    )


def kept(scope: Scope) -> Assessment:
    stated = _stated(scope)
    if isinstance(stated, NotAssessed):
        return stated
    mean = sum(each.kept for each in stated) / len(stated)
    return Assessed(mean, f"{percent(mean)} on average of {_counted(stated)}")


def erased(scope: Scope) -> Assessment:
    stated = _stated(scope)
    if isinstance(stated, NotAssessed):
        return stated
    if scope.audit.encoder:
        return NotAssessed("the rest of a picture keeps the cosine of an encoder by nature")
    stated = [each for each in stated if each.outcome != "not enough"]
    if len(stated) < LEAST:
        return _too_few(stated, " whose region is enough")
    mean = sum(each.left for each in stated) / len(stated)
    return Assessed(mean, f"{percent(mean)} on average of {_counted(stated)}")


def in_a_corner(scope: Scope) -> Assessment:
    return _placed(scope, "one-corner")


def at_the_border(scope: Scope) -> Assessment:
    return _placed(scope, "border")


def _placed(scope: Scope, rule: str) -> Assessment:
    times = Counter(each.isolation.class_ for each in scope.stated_classes())
    frequent = sorted(class_ for class_, pictures in times.items() if pictures >= PICTURES_NEEDED)
    why = scope.lacking(frequent, f"there are fewer than {PICTURES_NEEDED} pictures")
    if why is not None:
        return why
    if not frequent:
        return NotAssessed(
            f"no class was isolated on {PICTURES_NEEDED} pictures on which the model says it"
        )
    suspected = {index for f in scope.audit.findings if f.rule == rule for index in f.target}
    placed = [class_ for class_ in frequent if class_ in suspected]
    named = f": {scope.named(placed)}" if placed else ""
    return Assessed(
        len(placed),
        f"{len(placed):,} of the {count(len(frequent), 'class', 'classes')} with at least "
        f"{PICTURES_NEEDED} pictures{named}",
    )


def _stated(scope: Scope) -> list[Isolation] | NotAssessed:
    stated = [each.isolation for each in scope.stated_classes()]
    why = scope.lacking((each.class_ for each in stated), "there is no isolation")
    if why is not None:
        return why
    return stated if len(stated) >= LEAST else _too_few(stated)


def _too_few(stated: list[Isolation], which: str = "") -> NotAssessed:
    have = count(len(stated), "isolation") if stated else "no isolation"
    return NotAssessed(
        f"there {'is' if len(stated) < 2 else 'are'} {have}{which} of a class that the model says "
        f"on the picture, and {LEAST} are needed"
    )


def _counted(stated: list[Isolation]) -> str:
    return count(len(stated), "isolation")
