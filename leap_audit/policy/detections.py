"""Checks of detectors: names at one place, objects found twice, objects that changes lose."""

from leap_audit.findings.objects import Pair, pairs_of, removals
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope
from leap_audit.text.numbers import count, percent

__all__ = ["confused_places", "found_classes", "lost_objects", "twice_found_objects"]

NOTHING = "no object was found on the photographs"


def confused_places(scope: Scope) -> Assessment:
    """Return how many objects have two names, per object found."""
    if scope.audit.model.task == "detection" and len(scope.audit.classes) < 2:
        return NotAssessed("the model has one class")
    return _share(scope, [each for each in _pairs(scope) if each.two and each.how.held])


def twice_found_objects(scope: Scope) -> Assessment:
    """Return how many detections repeat another, per object found."""
    return _share(scope, [each for each in _pairs(scope) if not each.two and each.how.covered])


def lost_objects(scope: Scope) -> Assessment:
    """Return how many objects the usual change loses that loses most."""
    trials = [each for each in scope.audit.experiments if scope.concerns([each.class_])]
    tried = removals(trials)
    lost = (each.class_ for each in trials if each.experiment == "removal")
    if (why := scope.lacking(lost, "no change was tried on objects")) is not None:
        return why
    if not tried:
        return NotAssessed("no change was tried on three objects of a class")
    worst = max(tried, key=lambda each: each.share)
    return Assessed(
        worst.share, f"{percent(worst.share)} of {count(worst.objects, 'object')}: {worst.kind}"
    )


def found_classes(scope: Scope) -> Assessment:
    """Return the share of audited classes that the detector finds somewhere."""
    if scope.audit.model.task != "detection":
        return NotAssessed("the model is no detector")
    targets = [target[0] for target in scope.targets() if len(target) == 1]
    if (why := scope.lacking(targets, "there is no prototype")) is not None:
        return why
    if not targets:
        return NotAssessed("no prototype was made")
    several = [
        *(each.detections for each in scope.audit.samples),
        *(each.detections for each in scope.audit.prototypes),
    ]
    somewhere = {found.class_ for each in several for found in each}
    missing = [class_ for class_ in targets if class_ not in somewhere]
    share = 1 - len(missing) / len(targets)
    never = f"; never {scope.named(missing)}" if missing else ""
    return Assessed(share, f"{percent(share)} of {count(len(targets), 'class', 'classes')}{never}")


def _pairs(scope: Scope) -> list[Pair]:
    both = [
        (each, (each.first.class_, each.second.class_)) for each in pairs_of(scope.audit.samples)
    ]
    return [each for each, classes in both if scope.concerns(classes)]


def _share(scope: Scope, pairs: list[Pair]) -> Assessment:
    every = [
        each
        for sample in scope.audit.samples
        for each in sample.detections
        if scope.concerns([each.class_])
    ]
    if (why := scope.lacking((each.class_ for each in every), "no object was found")) is not None:
        return why
    if not every:
        return NotAssessed(NOTHING)
    share = len(pairs) / len(every)
    return Assessed(share, f"{count(len(pairs), 'time')} on {count(len(every), 'object')}")
