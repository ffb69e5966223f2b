"""Measurements to findings: suspicions, each with its figures and with what it cannot show."""

from collections.abc import Sequence
from pathlib import Path

from leap_audit.artifacts import Finding, ModelIdentity, Prototype, Readings, Sample
from leap_audit.findings.evidence import Measurements
from leap_audit.findings.rules import RULES, Rule

__all__ = ["RULES", "Rule", "find", "precedence"]

_ORDER = ("high", "medium", "low", "info")


def find(
    prototypes: Sequence[Prototype],
    samples: Sequence[Sample],
    classes: Sequence[str],
    folder: Path,
    readings: Readings | None = None,
    model: ModelIdentity | None = None,
) -> tuple[Finding, ...]:
    """Return what the measurements make one suspect, the gravest first, then causes before
    symptoms, as the table of rules has them.

    `folder` is where the pictures of the audit lie: some rules read the masks. readings: of
    photographs of known classes. model: what is known of the model itself.
    """
    measured = Measurements(prototypes, samples, classes, folder, readings, model)
    found = [finding for rule in RULES for finding in rule.findings(measured)]
    return tuple(
        sorted(found, key=lambda each: (_ORDER.index(each.severity), precedence(each.id), each.id))
    )


def precedence(id_: str) -> int:
    """Return the place of a finding's rule in the table of rules; behind all if it is not there."""
    rules = [rule.id for rule in RULES]
    rule = id_.split(":")[0]
    return rules.index(rule) if rule in rules else len(rules)
