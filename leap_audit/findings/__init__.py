"""Evidence to findings: suspicions, each with its figures and with what it cannot show."""

from leap_audit.artifacts import Finding
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.rules import FINDING_RULES, FindingRule

__all__ = ["FINDING_RULES", "Evidence", "FindingRule", "find", "precedence"]

_ORDER = ("high", "medium", "low", "info")


def find(evidence: Evidence) -> tuple[Finding, ...]:
    """Return the findings of an audit: the gravest first, then causes before symptoms.

    Of equal severity they stand in the order of the table of rules. evidence: with the rankings of
    all isolations, which some rules look at.
    """
    findings = [finding for rule in FINDING_RULES for finding in rule.findings(evidence)]
    return tuple(
        sorted(
            findings,
            key=lambda each: (_ORDER.index(each.severity), precedence(each.rule), each.id),
        )
    )


def precedence(rule: str) -> int:
    """Return the place of a rule in the table; behind all where it is not there."""
    rules = [each.id for each in FINDING_RULES]
    return rules.index(rule) if rule in rules else len(rules)
