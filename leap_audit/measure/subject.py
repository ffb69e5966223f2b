"""What a measurement is of: a picture, and the class that is asked about in it."""

from dataclasses import dataclass, field

import numpy as np

from leap_audit.ingest.outputs.answer import Answer
from leap_audit.measure.targets import ClassTarget, DetectionTarget, Target
from leap_audit.run.session import Array

__all__ = ["Subject", "sharpness"]

WIDEST = 25.0
SURE = 0.9
"""The probability of an encoder's first answer beyond which its slope is lost."""


@dataclass(frozen=True)
class Subject:
    """A picture and the class that is asked about in it."""

    picture: Array
    """(channels, height, width), 0..1."""
    class_: int
    sharpness: float = 1.0
    """What the logits are multiplied by before the softmax of the loss (see `sharpness`)."""
    where: Array = field(default_factory=lambda: np.ones(1, np.float32))
    """(places,) how much the answer at each place counts; together 1. A picture with one answer
    has one place."""
    target: Target | None = None
    """What is explained by a method of attribution; None: the class's score."""
    baselines: Array | None = None
    """(m, channels, height, width), the pictures without content that a method of attribution
    compares with; None: those that its options name."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right and bottom in fractions, of the detection that is asked about: where
    the picture is changed, its score is matched by place (see `measure.matching`). None:
    not a detection."""

    @property
    def explained(self) -> Target:
        """Return what a method of attribution explains."""
        if self.target is not None:
            return self.target
        if self.box is not None:
            return DetectionTarget(int(np.argmax(self.where)), "class", self.class_, self.box)
        return ClassTarget(self.class_, self.where)


def sharpness(scores: Array, answer: Answer, *, cosines: bool = False) -> float:
    """Return the factor, at most 1, that brings one picture's scores to a usual range.

    A model whose scores lie in the thousands has probabilities of exactly 0 and 1, whose slope
    is lost; the factor makes the highest score stand WIDEST above the median. It bends the loss
    alone: every probability reported is the model's own. cosines: the scores are those of an
    encoder, whose factor is anybody's choice: the first answer gets SURE at most. scores:
    (classes, places).
    """
    height = answer.reach(scores)
    factor = min(1.0, WIDEST / height) if height > 0 else 1.0

    def most(of: float) -> float:
        return float(answer.probabilities(of * scores).max())

    if not cosines or most(factor) <= SURE:
        return factor
    low, high = 0.0, factor
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if most(middle) > SURE else (middle, high)
    return low
