"""Evidence to findings: suspicions, each with its figures and with what it cannot show."""

from leap_audit.artifacts import Finding, Question
from leap_audit.findings.concern import Concern, action_of, concern_of, consequence_of
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.rules import CAUSES, RULES, FindingRule

__all__ = [
    "RULES",
    "Concern",
    "Evidence",
    "FindingRule",
    "action_of",
    "concern_of",
    "consequence_of",
    "find",
    "precedence",
    "questions",
]

_ORDER = ("high", "medium", "low", "info")


def find(evidence: Evidence) -> tuple[Finding, ...]:
    """Return the findings of an audit: the gravest first, then causes before symptoms.

    Of equal severity they stand in the order of the table of rules. evidence: with the rankings of
    all isolations, which some rules look at.
    """
    pairs = [pair for rule in RULES for pair in rule.findings(evidence)]
    causes = [finding for _, finding in pairs if finding.rule in CAUSES]
    findings = [
        finding.model_copy(
            update={
                "explained_by": tuple(
                    cause.id
                    for cause in causes
                    if cause.rule != finding.rule
                    and suspicion.answered
                    and (not cause.target or set(cause.target) & set(suspicion.answered))
                )
            }
        )
        for suspicion, finding in pairs
    ]
    return tuple(
        sorted(
            findings,
            key=lambda each: (_ORDER.index(each.severity), precedence(each.rule), each.id),
        )
    )


def questions(evidence: Evidence, findings: tuple[Finding, ...]) -> tuple[Question, ...]:
    """Return every rule with whether it raised one of `findings`, and what it looked at."""
    raised = {each.rule for each in findings}
    return tuple(rule.asked(evidence, raised=rule.id in raised) for rule in RULES)


def precedence(rule: str) -> int:
    """Return the place of a rule in the table; behind all where it is not there."""
    rules = [each.id for each in RULES]
    return rules.index(rule) if rule in rules else len(rules)
