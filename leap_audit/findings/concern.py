"""The overall concern of an audit: how grave its findings are, and what to do next."""

from dataclasses import dataclass
from typing import Literal

from leap_audit.artifacts import Audit, Finding, Severity
from leap_audit.findings.rules import FINDING_RULES

__all__ = ["Concern", "ConcernLevel", "action_of", "concern_of", "consequence_of"]

ConcernLevel = Literal["critical", "high", "medium", "low", "none", "not assessed"]
_OF: dict[Severity, ConcernLevel] = {
    "high": "high",
    "medium": "medium",
    "low": "low",
    "info": "none",
}


@dataclass(frozen=True)
class Concern:
    """How grave the findings are together, in two sentences and an action."""

    level: ConcernLevel
    what: str
    consequence: str
    action: str


def concern_of(audit: Audit) -> Concern:
    """Return the overall concern: that of the gravest finding, the first in the audit.

    critical: a finding of severity high that was confirmed. not assessed: nothing was measured, or
    the audit is incomplete and raised nothing yet.
    """
    if audit.findings:
        first = audit.findings[0]
        level = "critical" if first.severity == "high" and first.confirmed else _OF[first.severity]
        return Concern(level, f"{first.title}.", consequence_of(first), action_of(first))
    if not audit.prototypes and not audit.samples:
        return Concern(
            "not assessed",
            "Nothing was measured.",
            "This report says nothing about the model.",
            "Run the audit again.",
        )
    if audit.status != "complete":
        return Concern(
            "not assessed",
            "The audit was interrupted before it was complete.",
            "What was measured until then raised no finding; the rest is unknown.",
            "Run the audit to the end.",
        )
    return Concern(
        "none",
        "No check of this audit raised a finding.",
        "That is no proof that the model is right; the limits say what was not examined.",
        "Read the limits, then test the model on labelled data from the place of use.",
    )


def consequence_of(finding: Finding) -> str:
    """Return what follows from a finding: its own words, else those of its rule."""
    return finding.consequence or next(
        (rule.consequence for rule in FINDING_RULES if rule.id == finding.rule), ""
    )


def action_of(finding: Finding) -> str:
    """Return what to do about a finding: its own words, else those of its rule."""
    return finding.action or next(
        (rule.action for rule in FINDING_RULES if rule.id == finding.rule), ""
    )
