"""A suspicion before it becomes a finding, and the rule that raises it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from leap_audit.artifacts import EvidencePicture, Finding, Severity
from leap_audit.findings.evidence import Measurements

__all__ = ["PICTURES", "Rule", "Suspicion", "evidence_pictures", "seen_on"]

PICTURES = 4
"""Pictures of evidence that a finding shows at most."""


@dataclass(frozen=True)
class Suspicion:
    """What a rule suspects, of which classes, why, and what speaks against being sure."""

    title: str
    evidence: str
    sure: str
    confirm: str
    limits: str
    concerned: str = ""
    """Completes the rule's id; empty where the rule is raised once for the whole model."""
    classes: tuple[int, ...] = ()
    pictures: tuple[EvidencePicture, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A question asked of every audit. `id` starts the id of each finding it makes."""

    id: str
    severity: Severity
    question: str
    check: Callable[[Measurements], Iterator[Suspicion]]

    def findings(self, measured: Measurements) -> Iterator[Finding]:
        """Yield the findings of this rule."""
        for each in self.check(measured):
            yield Finding(
                id=f"{self.id}:{each.concerned}" if each.concerned else self.id,
                severity=self.severity,
                title=each.title,
                evidence=each.evidence,
                limits=each.limits,
                sure=each.sure,
                confirm=each.confirm,
                classes=each.classes,
                pictures=each.pictures,
                figures=each.figures,
            )


def evidence_pictures(shown: Sequence[tuple[str, str]]) -> tuple[EvidencePicture, ...]:
    """Return the first few (image, caption) that are pictures: withheld ones have no image."""
    kept = [EvidencePicture(image=image, caption=caption) for image, caption in shown if image]
    return tuple(kept[:PICTURES])


def seen_on(hits: int, of: int, thing: str) -> str:
    """Return how sure a pattern over several pictures makes one."""
    if hits >= 8:
        return f"Fairly sure that it is a pattern: {hits} of {of} {thing}."
    if hits >= 5:
        return f"Likely a pattern: {hits} of {of} {thing}."
    return f"Few pictures, so chance is not ruled out: {hits} of {of} {thing}."
