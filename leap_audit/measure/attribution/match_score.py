"""The score that changed pictures are compared by: of a detection how well any row matches it."""

from dataclasses import dataclass

import numpy as np

from leap_audit.measure.attribution.score import Score
from leap_audit.measure.detection_targets import DetectionTarget, MatchedTarget
from leap_audit.measure.detections import raw_answers
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["MatchScore", "changed_score"]


@dataclass(frozen=True)
class MatchScore:
    """How well pictures match a detection of another one: a score without a gradient."""

    run: Run
    target: MatchedTarget
    batch: int = 8

    def __call__(self, pictures: Array) -> Array:
        """Return the match of each picture, (n,) float64 in 0..1."""
        pairs = raw_answers(self.run.at_once(self.batch), pictures)
        return np.array([self.target.value(*pair) for pair in pairs], np.float64)


def changed_score(score: Score) -> "Score | MatchScore":
    """Return the score that is compared between changed pictures.

    That of a detection follows it to the row that matches it best; any other is the score itself.
    """
    if not isinstance(score.target, DetectionTarget):
        return score
    return MatchScore(score.run, score.target.matched, score.batch)
