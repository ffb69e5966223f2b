"""The schema of comparison.json.

The artifacts of the audits stand in it as they are, but for their pictures, which are named by
what is in them and lie beside comparison.json. Class numbers are those of the audit that they
come from.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from leap_audit.artifacts import (
    Check,
    ClassSuspicion,
    Detection,
    Entanglement,
    Finding,
    Isolation,
    ModelIdentity,
    PolicyIdentity,
    Prototype,
    Sample,
    Severity,
    Verdict,
)
from leap_audit.artifacts.frozen import Frozen

__all__ = [
    "COMPARISON_FILE",
    "COMPARISON_SCHEMA",
    "Accuracy",
    "Change",
    "CheckPair",
    "ClassAccuracy",
    "ClassMatching",
    "Comparison",
    "Difference",
    "Direction",
    "EntanglementPair",
    "FindingPair",
    "IsolationPair",
    "ObjectsPair",
    "PhotographPair",
    "PicturePair",
    "PrototypePair",
    "SideIdentity",
    "SuspicionPair",
]

COMPARISON_SCHEMA = "leap-audit-comparison/1"
COMPARISON_FILE = "comparison.json"
Direction = Literal["worse", "different", "better"]


class SideIdentity(Frozen):
    """One of the two audits."""

    folder: str
    """Base name only."""
    sha256: str
    """Of its audit.json."""
    status: Literal["complete", "incomplete"]
    verdict: Verdict
    policy: PolicyIdentity | None
    started: str
    model: ModelIdentity
    classes: int
    prototypes: int
    photographs: int
    findings: int


class Difference(Frozen):
    """A property of both audits, in words."""

    what: str
    old: str
    new: str
    affects: str = ""
    """What cannot be compared, or only with care, because of it; empty for the model's identity."""


class ClassMatching(Frozen):
    """Which classes of the two models are taken to be the same."""

    by: Literal["name", "index"]
    said: str
    """How they were matched, a sentence."""
    matched: int
    moved: int
    """Matched classes that stand at another index now."""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    respelt: tuple[tuple[str, str], ...] = ()
    """(old, new) names that differ in case, spaces, hyphens or underscores alone: matched."""
    replaced: tuple[tuple[str, str], ...] = ()
    """(old, new) names at one index that have nothing to do with each other: not matched."""


class PicturePair(Frozen):
    """One thing in the two audits; an empty name is a picture that one of them has not."""

    what: str
    old: str
    new: str
    old_caption: str = ""
    new_caption: str = ""


class Change(Frozen):
    """A change for a reviewer to look at."""

    id: str
    direction: Direction
    severity: Severity
    title: str
    evidence: str
    limits: str
    """What the evidence cannot show."""
    pictures: tuple[PicturePair, ...] = ()


class CheckPair(Frozen):
    """One check of the policies, then and now; None where an audit did not ask it."""

    id: str
    direction: Literal["worse", "different", "better", "same"]
    old: Check | None
    new: Check | None


class FindingPair(Frozen):
    """A finding by its rule and the names of its classes, then and now."""

    key: str
    state: Literal["new", "gone", "still", "unknown"]
    """unknown: the old audit has it, and the new one did not look at what it concerns."""
    old: Finding | None
    new: Finding | None
    note: str = ""


class SuspicionPair(Frozen):
    """How much speaks for a shortcut to a class, then and now; None where it was not audited."""

    name: str
    old: ClassSuspicion | None
    new: ClassSuspicion | None


class EntanglementPair(Frozen):
    """How much a class shares with a prototype, then and now."""

    name: str
    state: Literal["changed", "within", "one seed", "not listed", "other method"]
    """changed: the ranges over the seeds do not overlap; within: they do; one seed: an audit has
    no range; not listed: it is not among the classes that an audit lists; other method: the two
    audits measured different things."""
    own: bool
    """Whether it is the prototype's own class."""
    old: Entanglement | None
    new: Entanglement | None
    gap: float = 0.0
    """Distance between the two ranges, positive where the new one lies higher; 0 if they meet."""


class PrototypePair(Frozen):
    """The prototypes of one target; None in the audit that has none."""

    name: str
    old: Prototype | None
    new: Prototype | None
    entanglements: tuple[EntanglementPair, ...] = ()
    seeds: tuple[int, int] = (1, 1)
    """How many seeds the two were made from."""


class IsolationPair(Frozen):
    """What carried a class on one photograph, then and now."""

    same_class: bool
    """False: both answers are isolated, and they are not the same."""
    old: Isolation
    new: Isolation
    spearman: float | None
    """Rank correlation of the two rankings over all pixels, -1..1; None where one is flat or the
    models see pictures of different sizes."""
    overlap: float | None
    """Intersection over union of the two regions, 0..1; None as above."""
    chance: float
    """Intersection over union of two regions of these areas that have nothing to do with each
    other, 0..1."""


class ObjectsPair(Frozen):
    """The objects that two detectors find in a photograph, matched by class and place."""

    kept: int
    """How many both find."""
    lost: tuple[Detection, ...]
    """Those that the old one alone finds."""
    gained: tuple[Detection, ...]
    """Those that the new one alone finds."""


class PhotographPair(Frozen):
    """A photograph that both audits show, by the SHA-256 of its file."""

    sha256: str
    old: Sample
    new: Sample
    changed: bool
    """Whether the model's first answer is another one; of detectors, whether an object is."""
    known: str | None
    """The class that both audits know it to show."""
    isolations: tuple[IsolationPair, ...] = ()
    objects: ObjectsPair | None = None
    """None unless both models are detectors."""


class ClassAccuracy(Frozen):
    name: str
    photographs: int
    right_old: int
    right_new: int


class Accuracy(Frozen):
    """How often the first answer is right, on photographs whose class both audits know."""

    photographs: int
    right_old: int
    right_new: int
    gained: int
    """Wrong then, right now."""
    lost: int
    p: float
    """Of gains and losses so uneven, either way, if each photograph that changed were as likely
    to be gained as lost (McNemar's exact test)."""
    by_class: tuple[ClassAccuracy, ...]


class Comparison(Frozen):
    schema_: Annotated[str, Field(alias="schema")] = COMPARISON_SCHEMA
    status: Literal["complete", "incomplete"]
    """incomplete: one of the audits is."""
    worse: tuple[str, ...]
    """What of the verdict and the checks got worse, a sentence each."""
    old: SideIdentity
    new: SideIdentity
    changes: tuple[Change, ...]
    """What matters most first."""
    warnings: tuple[str, ...]
    """What makes all of it, or a part, doubtful, a sentence each."""
    identity: tuple[Difference, ...]
    settings: tuple[Difference, ...]
    """Only those that differ."""
    vectors: tuple[Difference, ...] = ()
    """Figures of the vectors of two encoders; empty where a model is none."""
    classes: ClassMatching
    checks: tuple[CheckPair, ...]
    findings: tuple[FindingPair, ...]
    """New ones first, then those gone, then the others; each in the order of its audit."""
    suspicion: tuple[SuspicionPair, ...] = ()
    """Confirmed shortcuts first, then the highest scores."""
    prototypes: tuple[PrototypePair, ...]
    """Those that changed first."""
    entanglements_compared: int
    """Entanglements with a range in both audits."""
    entanglements_by_chance: float
    """How many of them would be called changed if nothing but the seeds differed, at most."""
    photographs: tuple[PhotographPair, ...]
    """Those with another answer first."""
    accuracy: Accuracy | None
    """None where no class is known of a photograph in both."""
    only_old: int
    """Photographs of the old audit alone."""
    only_new: int

    def write(self, folder: Path) -> None:
        """Write `folder`/comparison.json, the single source of every other view."""
        text = self.model_dump_json(by_alias=True, indent=1)
        (folder / COMPARISON_FILE).write_text(text + "\n", encoding="utf-8")
