"""What a policy can ask of the isolations, and of where they lie."""

from collections import Counter

from leap_audit.artifacts import Isolation
from leap_audit.findings.place import PICTURES_NEEDED
from leap_audit.policy.figures import Answer, Figure, NotAssessed, Subject
from leap_audit.text.numbers import count, percent

__all__ = ["at_the_border", "enough", "erased", "in_a_corner", "kept"]

LEAST = 3
"""Isolations below which an average says nothing."""


def enough(subject: Subject) -> Answer:
    found = _stated(subject)
    if isinstance(found, NotAssessed):
        return found
    good = sum(each.enough for each in found)
    return Figure(
        good / len(found), f"{good:,} of {_counted(found)} ({percent(good / len(found))})"
    )


def kept(subject: Subject) -> Answer:
    found = _stated(subject)
    if isinstance(found, NotAssessed):
        return found
    mean = sum(min(1.0, each.prob_keep / each.prob) for each in found) / len(found)
    return Figure(mean, f"{percent(mean)} on average of {_counted(found)}")


def erased(subject: Subject) -> Answer:
    stated = _stated(subject)
    if isinstance(stated, NotAssessed):
        return stated
    found = [each for each in stated if each.enough]
    if len(found) < LEAST:
        return _too_few(found, " whose region is enough")
    mean = sum(min(1.0, each.prob_delete / each.prob) for each in found) / len(found)
    return Figure(mean, f"{percent(mean)} on average of {_counted(found)}")


def in_a_corner(subject: Subject) -> Answer:
    return _placed(subject, "one-corner")


def at_the_border(subject: Subject) -> Answer:
    return _placed(subject, "border")


def _placed(subject: Subject, rule: str) -> Answer:
    times = Counter(seen.isolation.class_ for seen in subject.isolations())
    asked = sorted(class_ for class_, pictures in times.items() if pictures >= PICTURES_NEEDED)
    why = subject.lacking(asked, f"there are fewer than {PICTURES_NEEDED} pictures")
    if why is not None:
        return why
    if not asked:
        return NotAssessed(
            f"no class was isolated on {PICTURES_NEEDED} pictures on which the model says it"
        )
    parts = (finding.id.split(":") for finding in subject.audit.findings)
    concerned = {part[1] for part in parts if part[0] == rule and part[1:]}
    found = [class_ for class_ in asked if str(class_) in concerned]
    named = f": {subject.named(found)}" if found else ""
    return Figure(
        len(found),
        f"{len(found):,} of the {count(len(asked), 'class', 'classes')} with at least "
        f"{PICTURES_NEEDED} pictures{named}",
    )


def _stated(subject: Subject) -> list[Isolation] | NotAssessed:
    found = [seen.isolation for seen in subject.isolations()]
    why = subject.lacking((each.class_ for each in found), "there is no isolation")
    if why is not None:
        return why
    return found if len(found) >= LEAST else _too_few(found)


def _too_few(found: list[Isolation], which: str = "") -> NotAssessed:
    have = count(len(found), "isolation") if found else "no isolation"
    return NotAssessed(
        f"there {'is' if len(found) < 2 else 'are'} {have}{which} of a class that the model says "
        f"on the picture, and {LEAST} are needed"
    )


def _counted(found: list[Isolation]) -> str:
    return count(len(found), "isolation")
