"""What was tried on the model, and what it makes one suspect of each class."""

from typing import Annotated, Literal

from pydantic import Field

from leap_audit.artifacts.frozen import Frozen
from leap_audit.artifacts.judged import EvidencePicture

__all__ = [
    "CHANGED_WHOLE",
    "ClassSuspicion",
    "Experiment",
    "MarkKind",
    "SearchKind",
    "Trial",
    "TriedOn",
    "TriggerSize",
]

Experiment = Literal["paste", "cover", "search", "global", "background", "removal"]
"""removal: a change of the whole picture, and on how many objects of a detector's it loses the
detection."""
SearchKind = Literal["trigger", "moved trigger", "colour map", "convolution"]
"""What is searched: a mask with a pattern at one place of all pictures, or at a random place of
each; a map of the colours; a map of small neighbourhoods."""
MarkKind = (
    Literal["region", "moved region", "frame", "pattern", "texture", "colour", "detail", "context"]
    | SearchKind
)
"""context: what stands beside the objects that a detector finds."""
CHANGED_WHOLE: frozenset[MarkKind] = frozenset(
    {"texture", "colour", "detail", "colour map", "convolution"}
)
"""Marks that are no thing in a picture but a change of all of it: nothing is covered or pasted."""
TriedOn = Literal["photographs", "prototypes"]


class Trial(Frozen):
    """One experiment on one class: on how many pictures it changed the answer, beside a control."""

    class_: Annotated[int, Field(alias="class")]
    experiment: Experiment
    kind: str
    """What was pasted, covered or changed."""
    pictures: int
    changed: int
    """Pictures whose answer became the class, or, where something was covered, ceased to be it."""
    control: int
    """The same of the control: what another class's picture holds there, or another region."""
    effect: float
    """(changed - control) / pictures, -1..1."""
    low: float
    high: float
    """95 % interval of the effect."""
    p: float
    """Of such an effect by chance, 0..1: an exact sign test over the pictures on which mark and
    control differ."""
    q: float
    """The same, corrected over all trials of the audit (Benjamini and Hochberg 1995)."""


class TriggerSize(Frozen):
    """How large the trigger that a search found must be to turn half of other pictures."""

    kind: SearchKind
    size: float
    """Of a mask its area as a fraction of the picture, of a filter the root mean square of what it
    changes; twice the largest that was tried where half are never turned."""
    deviations: float
    """How far its logarithm lies below those of the other classes, by their median absolute
    deviation, and below the usual one: the less of the two."""


class ClassSuspicion(Frozen):
    """How much speaks for a shortcut to a class, and what was tried."""

    class_: Annotated[int, Field(alias="class")]
    score: Annotated[float, Field(ge=0, le=1)]
    """0 where nothing was found; comparable between networks."""
    kind: MarkKind | None = None
    """What carries the shortcut, where there is one to suspect."""
    confirmed: bool = False
    """Whether an experiment with its control agreed, corrected over all that was tried."""
    tried_on: TriedOn | None = None
    where: str = ""
    """Where the mark lies, in words; empty where it is all over the picture."""
    area: float | None = None
    """The fraction of a picture that it covers, 0..1."""
    pasted: Trial | None = None
    covered: Trial | None = None
    wrong: int = 0
    """Pictures tried that show another class and are answered with this one."""
    corrected: int = 0
    """Those of them whose answer was right once the mark was covered."""
    triggers: tuple[TriggerSize, ...] = ()
    """One for each kind of search."""
    pictures: tuple[EvidencePicture, ...] = ()
    """A picture as it is, covered, and another with the mark pasted."""
