"""The conclusions of an audit: findings, and the checks of a declared policy."""

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from leap_audit.artifacts.frozen import Frozen

__all__ = [
    "Check",
    "EvidencePicture",
    "Finding",
    "PictureRole",
    "PolicyIdentity",
    "Question",
    "Severity",
    "Verdict",
]

Severity = Literal["high", "medium", "low", "info"]
PictureRole = Literal[
    "evidence", "counter-example", "original", "covered", "trigger", "control", "pasted"
]
"""What a picture of a finding is. From "original" on they are one experiment, in this order:
"trigger" is what a search found, by itself; "control" the picture that is pasted into, before."""
Verdict = Literal["PASS", "WARN", "FAIL", "NOT ASSESSED"]


class EvidencePicture(Frozen):
    image: str
    caption: str
    role: PictureRole = "evidence"


class Finding(Frozen):
    """A suspicion with its evidence."""

    id: str
    """Its rule, target and detail joined by colons, 'one-corner:3:upper-left'; the same in every
    audit. A name to refer to it by: read the three fields instead of taking it apart."""
    rule: str = ""
    """The rule that raised it."""
    target: tuple[int, ...] = ()
    """The class that the suspicion is about, several for a hybrid; empty: the whole model."""
    detail: str = ""
    """What else distinguishes it from other findings of its rule, 'upper-left'; often empty."""
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
    """All classes that the evidence mentions, the target first."""
    consequence: str = ""
    """What follows for whoever uses the model; a sentence."""
    action: str = ""
    """What to do next; a sentence."""
    confirmed: bool = False
    """Whether it is a measured fact, or an experiment with its control confirmed it."""
    explained_by: tuple[str, ...] = ()
    """The ids of findings that may be the cause of this one."""
    pictures: tuple[EvidencePicture, ...] = ()
    figures: dict[str, float] = Field(default_factory=dict)
    """What was counted or measured for it, by name."""

    @model_validator(mode="before")
    @classmethod
    def _fields_from_id(cls, data: Any) -> Any:
        """Fill in the fields that audits did not record at first. No other code takes ids apart."""
        if not isinstance(data, dict) or "rule" in data or not isinstance(data.get("id"), str):
            return data
        rule, *rest = data["id"].split(":")
        targets = [part for part in rest if _TARGET.fullmatch(part)]
        target = [int(number) for part in targets for number in part.split("+")]
        detail = ":".join(part for part in rest if part not in targets)
        return {"rule": rule, "target": target, "detail": detail, **data}


_TARGET = re.compile(r"[0-9]{1,9}(\+[0-9]{1,9})*")


class Question(Frozen):
    """One rule of the audit: whether it raised a finding, and on how much evidence it looked."""

    rule: str
    question: str
    raised: bool
    basis: str = ""
    """What was looked at, '40 photographs'; empty where nothing could be."""
    reason: str = ""
    """Why it was not assessed; empty where it was."""


class Check(Frozen):
    """One named check of a policy, with its result."""

    id: str
    """The name of the check in the policy file."""
    question: str
    status: Verdict
    measured: str
    """The measured value in words; where it was not assessed, the reason."""
    threshold: str
    """What the policy asks for, in words."""
    value: float | None = None
    """What was compared with the thresholds; None where it was not assessed."""
    required: bool = False
    """Whether the policy gives no verdict where this check could not be assessed."""


class PolicyIdentity(Frozen):
    """The policy that the verdict follows from."""

    name: str
    file: str
    """Base name only; empty for the default policy."""
    sha256: str
