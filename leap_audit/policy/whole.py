"""The checks of the audit as a whole: its findings, its photographs, its preprocessing."""

from leap_audit.artifacts import Severity
from leap_audit.findings.assumptions import open_assumptions
from leap_audit.findings.evidence import doubt, labelled_answers
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope
from leap_audit.statistics import wilson
from leap_audit.text.numbers import count, listed, percent

__all__ = ["assumed", "doubted", "high", "low", "medium", "photograph_count", "right_answers"]


def high(scope: Scope) -> Assessment:
    return _findings(scope, "high")


def medium(scope: Scope) -> Assessment:
    return _findings(scope, "medium")


def low(scope: Scope) -> Assessment:
    return _findings(scope, "low")


def _findings(scope: Scope, severity: Severity) -> Assessment:
    audit = scope.audit
    if not audit.prototypes and not audit.samples:
        return NotAssessed("nothing was measured")
    found = [
        each
        for each in audit.findings
        if each.severity == severity and (not each.classes or scope.concerns(each.classes))
    ]
    titles = f": {'; '.join(each.title for each in found[:3])}" if found else ""
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return Assessed(len(found), f"{count(len(found), 'finding')}{titles}{more}")


def photograph_count(scope: Scope) -> Assessment:
    number = len(scope.audit.samples)
    return Assessed(number, count(number, "photograph"))


def right_answers(scope: Scope) -> Assessment:
    model = scope.audit.model
    if model.places != (1, 1) or model.independent:
        several = "a map" if model.places != (1, 1) else "several classes at once"
        return NotAssessed(f"the model answers with {several}, and one known class cannot judge it")
    known = [each for each in labelled_answers(scope.audit.samples) if scope.concerns([each.shows])]
    if (why := scope.lacking((each.shows for each in known), "no photograph")) is not None:
        return why
    if not known:
        return NotAssessed("no photograph's class is known; see --labels")
    right = sum(each.right for each in known)
    low, high = wilson(right, len(known))
    return Assessed(
        right / len(known),
        f"{right:,} of {count(len(known), 'photograph')} ({percent(right / len(known))}; 95 % "
        f"interval {percent(low)} to {percent(high)})",
        low,
        high,
    )


def assumed(scope: Scope) -> Assessment:
    fields = open_assumptions(scope.audit.model.preprocessing)
    return Assessed(len(fields), f"{len(fields)} assumed: {listed(fields)}" if fields else "none")


def doubted(scope: Scope) -> Assessment:
    readings = scope.audit.readings
    if readings is None or not readings.photographs:
        return NotAssessed("no photograph's class is known; see --labels")
    better = doubt(readings)
    of = count(readings.photographs, "photograph")
    if better is None:
        return Assessed(0.0, f"no other preprocessing is clearly better on {of}")
    gain = better.right - readings.right
    return Assessed(gain / readings.photographs, f"{gain} of {of} more with {better.text}")
