"""Checks of experiments: whether shortcuts are confirmed, and how far marks turn answers."""

from leap_audit.artifacts import ClassSuspicion, Trial
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope
from leap_audit.text.numbers import count, listed, percent

__all__ = ["background", "confirmed_classes", "largest"]

NOT_TRIED = "no mark was tried on pictures of other classes"


def confirmed_classes(scope: Scope) -> Assessment:
    tried = _tried(scope)
    if isinstance(tried, NotAssessed):
        return tried
    found = [scope.audit.classes[each.class_] for each in tried if each.confirmed]
    names = f": {listed(found)}" if found else ""
    return Assessed(len(found), f"{len(found)} of {count(len(tried), 'class', 'classes')}{names}")


def largest(scope: Scope) -> Assessment:
    tried = _tried(scope)
    if isinstance(tried, NotAssessed):
        return tried
    worst = max(tried, key=lambda each: _effect(each.pasted))
    share = _effect(worst.pasted)
    return Assessed(share, f"{percent(share)}, by a mark of ‘{scope.audit.classes[worst.class_]}’")


def background(scope: Scope) -> Assessment:
    trials = [
        each
        for each in scope.audit.experiments
        if each.experiment == "background" and scope.concerns([each.class_])
    ]
    if (
        why := scope.lacking((t.class_ for t in trials), "no background was exchanged")
    ) is not None:
        return why
    if not trials:
        return NotAssessed("no background was exchanged")
    worst = max(trials, key=_effect)
    share = _effect(worst)
    return Assessed(
        share, f"{percent(share)}, with backgrounds of ‘{scope.audit.classes[worst.class_]}’"
    )


def _tried(scope: Scope) -> list[ClassSuspicion] | NotAssessed:
    tried = [
        each
        for each in scope.audit.suspicion
        if each.pasted is not None and scope.concerns([each.class_])
    ]
    if (why := scope.lacking((each.class_ for each in tried), NOT_TRIED)) is not None:
        return why
    return tried or NotAssessed(NOT_TRIED)


def _effect(trial: Trial | None) -> float:
    return 0.0 if trial is None else max(0.0, trial.effect)
