"""Rules, and the suspicions that they raise before these become findings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from leap_audit.artifacts import EvidencePicture, Finding, PictureRole, Question, Severity
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.of_detectors import OF_DETECTORS, RuleWords

__all__ = [
    "SHOWN_PICTURES",
    "FindingRule",
    "Suspicion",
    "TooLittle",
    "evidence_pictures",
    "pattern_certainty",
]

SHOWN_PICTURES = 4
"""Pictures of one role that a finding shows at most."""
Models = Literal["all", "encoders", "detectors", "all but detectors"]
SURE, LIKELY = 8, 5
"""Pictures from which on the confidence in a pattern is high, and medium."""


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
    severity: Severity | None = None
    """None: the severity of its rule."""
    consequence: str = ""
    """Empty: the consequence of its rule."""
    action: str = ""
    """Empty: the action of its rule."""
    confirmed: bool = False
    """Whether it is a measured fact, or an experiment with its control confirmed it."""
    answered: tuple[int, ...] = ()
    """The wrong answers that it is about; findings on these classes may explain it."""


@dataclass(frozen=True)
class FindingRule:
    """A question to every audit; each answer that is suspicious becomes a finding."""

    id: str
    severity: Severity
    question: str
    check: Callable[[Evidence], Iterator[Suspicion]]
    basis: Callable[[Evidence], str]
    """Return what the rule looks at, '40 photographs'. Raises TooLittle: there is too little."""
    consequence: str
    """What follows for whoever uses the model; a sentence."""
    action: str
    """What to do about it next; a sentence."""
    of: Models = "all"
    """Which models the question makes sense for."""

    def asked_of(self, evidence: Evidence) -> bool:
        """Return whether the question makes sense for the model."""
        if self.of == "encoders":
            return evidence.embedding is not None
        return self.of == "all" or evidence.detector == (self.of == "detectors")

    def findings(self, evidence: Evidence) -> Iterator[tuple[Suspicion, Finding]]:
        """Yield the suspicions of this rule, each with the finding that it becomes."""
        words = self._words(evidence)
        for each in self.check(evidence):
            yield (
                each,
                Finding(
                    id=":".join(
                        filter(None, [self.id, "+".join(map(str, each.target)), each.detail])
                    ),
                    rule=self.id,
                    target=each.target,
                    detail=each.detail,
                    severity=each.severity or self.severity,
                    title=each.title,
                    evidence=each.evidence,
                    limits=each.limits,
                    sure=each.sure,
                    confirm=each.confirm,
                    consequence=each.consequence or words.consequence or self.consequence,
                    action=each.action or words.action or self.action,
                    confirmed=each.confirmed,
                    classes=each.classes,
                    pictures=each.pictures,
                    figures=each.figures,
                ),
            )

    def asked(self, evidence: Evidence, *, raised: bool) -> Question:
        """Return the record of this question. raised: whether it raised a finding."""
        try:
            basis, reason = self.basis(evidence), ""
        except TooLittle as error:
            basis, reason = "", str(error)
        return Question(
            rule=self.id,
            question=self._words(evidence).question,
            raised=raised,
            basis=basis,
            reason=reason,
        )

    def _words(self, evidence: Evidence) -> RuleWords:
        own = RuleWords(self.question)
        return OF_DETECTORS.get(self.id, own) if evidence.detector else own


class TooLittle(Exception):
    """A rule has too little evidence to answer its question; the message is the reason."""


def evidence_pictures(
    shown: Sequence[tuple[str, str]], role: PictureRole = "evidence"
) -> tuple[EvidencePicture, ...]:
    """Return the first few (image, caption) that are pictures: withheld ones have no image."""
    kept = [
        EvidencePicture(image=image, caption=caption, role=role)
        for image, caption in shown
        if image
    ]
    return tuple(kept[:SHOWN_PICTURES])


def pattern_certainty(hits: int, of: int) -> str:
    """Return in a sentence how sure a pattern over several pictures is."""
    level = "high" if hits >= SURE else "medium" if hits >= LIKELY else "low"
    few = "; with so few pictures it may be chance" if level == "low" else ""
    return f"Confidence: {level} ({hits} of {of}){few}."
