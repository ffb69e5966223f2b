"""Rules, and the suspicions that they raise before these become findings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from leap_audit.artifacts import EvidencePicture, Finding, Severity
from leap_audit.findings.evidence import Evidence

__all__ = ["SHOWN_PICTURES", "FindingRule", "Suspicion", "evidence_pictures", "pattern_certainty"]

SHOWN_PICTURES = 4
"""Pictures of evidence that a finding shows at most."""
SURE, LIKELY = 8, 5
"""Pictures from which on a pattern is fairly sure, and likely."""


@dataclass(frozen=True)
class Suspicion:
    """A suspicion of a rule, with its evidence and its doubts."""

    title: str
    evidence: str
    sure: str
    confirm: str
    limits: str
    target: tuple[int, ...] = ()
    """The class that it is about, several for a hybrid; empty: the whole model."""
    detail: str = ""
    """What else distinguishes it from other suspicions of its rule."""
    classes: tuple[int, ...] = ()
    pictures: tuple[EvidencePicture, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FindingRule:
    """A question to every audit; each answer that is suspicious becomes a finding."""

    id: str
    severity: Severity
    question: str
    check: Callable[[Evidence], Iterator[Suspicion]]

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield the findings of this rule."""
        for each in self.check(evidence):
            yield Finding(
                id=":".join(filter(None, [self.id, "+".join(map(str, each.target)), each.detail])),
                rule=self.id,
                target=each.target,
                detail=each.detail,
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
    return tuple(kept[:SHOWN_PICTURES])


def pattern_certainty(hits: int, of: int, thing: str) -> str:
    """Return in a sentence how sure a pattern over several pictures is."""
    if hits >= SURE:
        return f"Fairly sure that it is a pattern: {hits} of {of} {thing}."
    if hits >= LIKELY:
        return f"Likely a pattern: {hits} of {of} {thing}."
    return f"Few pictures, so chance is not ruled out: {hits} of {of} {thing}."
