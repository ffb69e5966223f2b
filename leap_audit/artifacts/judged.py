"""What was concluded: suspicions, and checks against a declared policy."""

from typing import Literal

from pydantic import Field

from leap_audit.artifacts.frozen import Frozen

__all__ = ["Check", "EvidencePicture", "Finding", "PolicyIdentity", "Severity", "Verdict"]

Severity = Literal["high", "medium", "low", "info"]
Verdict = Literal["PASS", "WARN", "FAIL", "NOT ASSESSED"]


class EvidencePicture(Frozen):
    image: str
    caption: str


class Finding(Frozen):
    """A suspicion with its evidence."""

    id: str
    """The rule and what it concerns, 'one-corner:3:upper-left'; the same in every audit."""
    severity: Severity
    title: str
    evidence: str
    limits: str
    """What the evidence cannot show."""
    sure: str = ""
    """How sure one may be, and from what; a sentence."""
    confirm: str = ""
    """What would confirm the suspicion or clear it; a sentence."""
    classes: tuple[int, ...] = ()
    """The classes concerned."""
    pictures: tuple[EvidencePicture, ...] = ()
    figures: dict[str, float] = Field(default_factory=dict)
    """What was counted or measured for it, by name."""


class Check(Frozen):
    """One named check of a policy, and how the audit did."""

    id: str
    """The name of the check in the policy file."""
    question: str
    status: Verdict
    measured: str
    """What the audit found, in words; why not, where it was not assessed."""
    threshold: str
    """What the policy asks for, in words."""
    value: float | None = None
    """What was compared with the thresholds; None where it was not assessed."""
    required: bool = False
    """Whether the policy gives no verdict where this check could not be assessed."""


class PolicyIdentity(Frozen):
    """The declared thresholds that the verdict was given by."""

    name: str
    file: str
    """Base name only; empty for the default policy."""
    sha256: str
