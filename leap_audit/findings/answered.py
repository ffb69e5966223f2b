"""Photographs of known classes, and what the model answered to them."""

from collections.abc import Iterable
from dataclasses import dataclass

from leap_audit.artifacts import Sample

__all__ = ["Answered", "answered"]


@dataclass(frozen=True)
class Answered:
    """A photograph, the class it is known to show, and the model's first answer."""

    sample: Sample
    shows: int
    answer: int
    prob: float
    """Of the answer, 0..1."""

    @property
    def right(self) -> bool:
        """Whether the answer is the class it shows."""
        return self.answer == self.shows


def answered(samples: Iterable[Sample]) -> list[Answered]:
    """Return the photographs whose class is known and that the model answered, in order."""
    return [
        Answered(each, each.known, each.predicted[0].class_, each.predicted[0].prob)
        for each in samples
        if each.known is not None and each.predicted
    ]
