"""What a policy can ask of the audit as a whole: its findings, and what it rests on."""

from leap_audit.artifacts import Severity
from leap_audit.findings.readings import doubt
from leap_audit.policy.figures import Answer, Figure, NotAssessed, Subject
from leap_audit.text.numbers import count, listed

__all__ = ["assumed", "doubted", "high", "low", "medium"]

DECIDING = ("range", "mean", "std", "resize", "channel_order")
"""Fields of the preprocessing that change every number and that a model seldom tells."""


def high(subject: Subject) -> Answer:
    return _findings(subject, "high")


def medium(subject: Subject) -> Answer:
    return _findings(subject, "medium")


def low(subject: Subject) -> Answer:
    return _findings(subject, "low")


def _findings(subject: Subject, severity: Severity) -> Answer:
    audit = subject.audit
    if not audit.prototypes and not audit.samples:
        return NotAssessed("nothing was measured")
    found = [
        each
        for each in audit.findings
        if each.severity == severity and (not each.classes or subject.concerns(each.classes))
    ]
    titles = f": {'; '.join(each.title for each in found[:3])}" if found else ""
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return Figure(len(found), f"{count(len(found), 'finding')}{titles}{more}")


def assumed(subject: Subject) -> Answer:
    preprocessing = subject.audit.model.preprocessing
    # One channel, or bands, leave nothing to declare about their order.
    coloured = preprocessing.channel_order in ("RGB", "BGR")
    fields = [
        name
        for name in DECIDING
        if name in preprocessing.assumed and (name != "channel_order" or coloured)
    ]
    return Figure(len(fields), f"{len(fields)} assumed: {listed(fields)}" if fields else "none")


def doubted(subject: Subject) -> Answer:
    readings = subject.audit.readings
    if readings is None or not readings.photographs:
        return NotAssessed("no photograph's class is known; see --labels")
    better = doubt(readings)
    of = count(readings.photographs, "photograph")
    if better is None:
        return Figure(0.0, f"no other preprocessing is clearly better on {of}")
    gain = better.right - readings.right
    return Figure(gain / readings.photographs, f"{gain} of {of} more with {better.text}")
