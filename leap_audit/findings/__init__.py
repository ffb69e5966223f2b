"""Evidence to findings: suspicions, each with its figures and with what it cannot show."""

from leap_audit.artifacts import Finding, Question
from leap_audit.findings.concern import Concern, action_of, concern_of, consequence_of
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.rules import CAUSES, FINDING_RULES, FindingRule

__all__ = [
    "FINDING_RULES",
    "NO_CLASS",
    "SEARCHED",
    "UNSETTLED",
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

SEARCHED = frozenset(
    {"class-not-reached", "target-not-first", "prototype-unstable", "strong-entanglement"}
)
"""Rules that look at the end of a search: more steps may end elsewhere."""
NO_CLASS = "A principal direction is no class: this says what it stands for, and is no fault."
UNSETTLED = "The search had not settled, so this is of low severity at most."
_ORDER = ("high", "medium", "low", "info")


def find(evidence: Evidence) -> tuple[Finding, ...]:
    """Return the findings of an audit: the gravest first, then causes before symptoms.

    Of equal severity they stand in the order of the table of rules. evidence: with the rankings of
    all isolations, which some rules look at.
    """
    pairs = [
        (suspicion, _capped(finding, evidence))
        for rule in FINDING_RULES
        if rule.asked_of(evidence)
        for suspicion, finding in rule.findings(evidence)
    ]
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


def _capped(finding: Finding, evidence: Evidence) -> Finding:
    """A finding about a prototype whose search had not settled is no more than low.

    One about directions that are no classes says what they stand for.
    """
    vectors = evidence.embedding
    if vectors is not None and vectors.kind == "principal" and finding.target:
        limits = f"{finding.limits} {NO_CLASS}"
        return finding.model_copy(update={"severity": "info", "limits": limits})
    made = evidence.by_target().get(finding.target, [])
    if finding.rule not in SEARCHED or not made or any(each.converged for each in made):
        return finding
    severity = max(finding.severity, "low", key=_ORDER.index)
    limits = f"{finding.limits} {UNSETTLED}"
    return finding.model_copy(update={"severity": severity, "limits": limits})


def questions(evidence: Evidence, findings: tuple[Finding, ...]) -> tuple[Question, ...]:
    """Return every rule that fits the model, and whether it raised one of `findings`.

    Those that ask of an encoder's vectors are left out where the model is none.
    """
    raised = {each.rule for each in findings}
    return tuple(
        rule.asked(evidence, raised=rule.id in raised)
        for rule in FINDING_RULES
        if rule.asked_of(evidence)
    )


def precedence(rule: str) -> int:
    """Return the place of a rule in the table; behind all where it is not there."""
    rules = [each.id for each in FINDING_RULES]
    return rules.index(rule) if rule in rules else len(rules)
