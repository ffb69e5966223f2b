"""The checks of an attribution, in one table: what each asks, and what it cannot say."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from leap_audit.config import Options
from leap_audit.errors import GradientUnavailable
from leap_audit.measure.attribution.match_score import MatchScore
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.faithfulness.dependence import entropy_gain, randomised, rank_correlation
from leap_audit.measure.faithfulness.description import sparseness
from leap_audit.measure.faithfulness.localisation import pointing, rank_accuracy, relevance_mass
from leap_audit.measure.faithfulness.ranking import FILLS, Erasure, fill_of, insertion_deletion
from leap_audit.measure.faithfulness.robustness import infidelity, max_sensitivity
from leap_audit.measure.methods import Explanation, Method
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.measure.targets import (
    ClassTarget,
    CosineTarget,
    DimensionTarget,
    DirectionTarget,
    TensorTarget,
)
from leap_audit.run.session import Array

__all__ = ["FAITHFULNESS_CHECKS", "Checked", "FaithfulnessCheck", "check_attribution"]

NO_CLASS = (CosineTarget, DimensionTarget, DirectionTarget, TensorTarget)
"""Targets that have no probability."""


@dataclass(frozen=True)
class Checked:
    """An attribution under check, with what the checks run again."""

    run: Run
    method: Method
    options: Options
    subject: Subject
    explanation: Explanation
    seed: int = 0
    mask: Array | None = None
    """(height, width) bool: where the object is, if somebody says so."""
    other: Run | None = None
    """The model with shuffled weights; None: made when it is needed."""

    @property
    def picture(self) -> Array:
        """Return (channels, height, width), float32."""
        return np.asarray(self.subject.picture, np.float32)

    def explained(self, subject: Subject, run: Run | None = None) -> Explanation:
        """Return what the method says of another subject, or of another model."""
        made = self.method.function(run or self.run, [subject], self.options, seed=self.seed)
        (explanation,) = made
        assert isinstance(explanation, Explanation)
        return explanation

    def probability(self, pictures: Array) -> Array:
        """Return the class's probability on each picture, (n,).

        Of a target that is no class: the cosine, or the score in shares of the explained
        picture's. Of a detection: how well any row matches it, which is its confidence on the
        explained picture.
        """
        subject, answer = self.subject, self.run.model.answer
        if isinstance(subject.target, DetectionTarget):
            return MatchScore(self.run, subject.target.matched, self.run.batch)(pictures)
        if isinstance(subject.target, NO_CLASS):
            own = 1.0 if isinstance(subject.target, CosineTarget) else self._own
            return self.score(pictures) / (abs(own) or 1.0)
        return np.array(
            [
                answer.probabilities(s)[subject.class_] @ subject.where
                for s in self.run.scores(pictures)
            ]
        )

    def score(self, pictures: Array) -> Array:
        """Return the score that is explained on each picture, (n,)."""
        subject = self.subject
        if isinstance(subject.target, (*NO_CLASS, DetectionTarget)):
            return Score(self.run, subject.target, self.run.batch)(pictures)
        found = [
            s[subject.class_].astype(np.float64) @ subject.where for s in self.run.scores(pictures)
        ]
        return np.array(found)

    @cached_property
    def _own(self) -> float:
        """The score of the explained picture."""
        return float(self.score(self.picture[None])[0])

    def rng(self, what: str) -> np.random.Generator:
        """Return the generator of one check."""
        return generator(self.seed, f"check {what}", content_key(self.picture), self.subject.class_)

    @cached_property
    def shuffled(self) -> Array | None:
        """Return the map of the model with shuffled weights, (height, width).

        None: the weights lie in a module outside the graph, and cannot be shuffled.
        """
        if self.run.model.outside is not None:
            return None
        run = self.other
        if run is None:
            run = Run(randomised(self.run.model, self.seed), self.run.batch, self.run.threads)
        try:
            return self.explained(self.subject, run).values
        except GradientUnavailable:  # the score of that model moves with nothing
            return np.zeros_like(self.explanation.values)

    @cached_property
    def erasures(self) -> dict[str, Erasure]:
        """Return insertion and deletion under each fill."""
        return {
            fill: insertion_deletion(
                self.probability, self.picture, self.explanation.values, fill_of(self.picture, fill)
            )
            for fill in FILLS
        }


@dataclass(frozen=True)
class FaithfulnessCheck:
    """One question about an attribution."""

    name: str
    question: str
    better: str
    """high, low, or empty for what only describes."""
    limits: str
    """What its answer cannot say."""
    figure: Callable[[Checked], float | None]
    """None: the check has no answer for this method or subject."""
    slow: bool = False
    """Whether the method runs again for it."""


def _erased(fill: str, what: str) -> Callable[[Checked], float | None]:
    return lambda c: float(getattr(c.erasures[fill], what))


def _infidelity(c: Checked) -> float | None:
    detail, shape = c.explanation.detail, c.picture.shape
    values = detail if detail is not None and detail.shape == shape else c.explanation.values
    return infidelity(c.score, c.picture, values, c.rng("infidelity"))


def _sensitivity(c: Checked) -> float | None:
    def explain(picture: Array) -> Array:
        return c.explained(replace(c.subject, picture=picture)).values

    rng = c.rng("max-sensitivity")
    return max_sensitivity(explain, c.picture, c.explanation.values, rng)


def _weights(c: Checked) -> float | None:
    return None if c.shuffled is None else entropy_gain(c.explanation.values, c.shuffled)


def _other_weights(c: Checked) -> float | None:
    return None if c.shuffled is None else rank_correlation(c.explanation.values, c.shuffled)


def _class(c: Checked) -> float | None:
    target = c.subject.target
    if c.run.model.classes < 2 or (target is not None and not isinstance(target, ClassTarget)):
        return None
    (scores,) = c.run.scores(c.picture[None])
    mean = np.asarray(scores, np.float64).mean(1)
    mean[c.subject.class_] = -np.inf
    other = replace(c.subject, class_=int(mean.argmax()), target=None)
    try:
        return rank_correlation(c.explanation.values, c.explained(other).values)
    except GradientUnavailable:  # the other class's score moves with nothing
        return 0.0


def _on_mask(function: Callable[[Array, Array], float]) -> Callable[[Checked], float | None]:
    return lambda c: None if c.mask is None else function(c.explanation.values, c.mask)


FAITHFULNESS_CHECKS: dict[str, FaithfulnessCheck] = {
    check.name: check
    for check in (
        *(
            FaithfulnessCheck(
                f"{what}_{fill}",
                f"{asks}, the most important first (the erased ones: {fill}).",
                better,
                "The model was not trained on pictures with erased parts. Another fill may rank "
                "methods differently.",
                _erased(fill, what),
            )
            for fill in FILLS
            for what, asks, better in (
                ("insertion", "Probability of the class while pixels are added", "high"),
                ("deletion", "Probability of the class while pixels are erased", "low"),
                ("gain", "Insertion minus deletion: pixels added and erased", "high"),
            )
        ),
        FaithfulnessCheck(
            "completeness_gap",
            "How far the map's sum is from the sum that the method promises, relative to it.",
            "low",
            "Many wrong maps add up as well.",
            lambda c: c.explanation.figures.get("completeness_gap"),
        ),
        FaithfulnessCheck(
            "infidelity",
            "Share of the effect of small noise on the score that the map does not predict, 0..1.",
            "low",
            "Only tests small changes, where a plain gradient does best.",
            _infidelity,
        ),
        FaithfulnessCheck(
            "max_sensitivity",
            "Largest relative change of the map when the picture changes too little to see.",
            "low",
            "A map that never changes scores 0, whether it is right or not.",
            _sensitivity,
            slow=True,
        ),
        FaithfulnessCheck(
            "weights",
            "How much more even the map is with all weights shuffled; at 0 or less it does not "
            "depend on what was learned.",
            "high",
            "One shuffle on one picture. A map of edges can pass.",
            _weights,
            slow=True,
        ),
        FaithfulnessCheck(
            "other_weights",
            "Rank correlation with the map of the model with all weights shuffled; near 1: the map "
            "does not depend on what was learned.",
            "low",
            "One shuffle on one picture. Empty parts of the picture may stay empty in the map.",
            _other_weights,
            slow=True,
        ),
        FaithfulnessCheck(
            "other_class",
            "Rank correlation with the map of the next most probable class; near 1: the map does "
            "not depend on the class.",
            "low",
            "Classes that look alike may well have the same evidence.",
            _class,
            slow=True,
        ),
        FaithfulnessCheck(
            "sparseness",
            "Gini index of the map: 1 is a single pixel, 0 all pixels alike.",
            "",
            "Describes the map, but does not say whether it is right.",
            lambda c: sparseness(c.explanation.values),
        ),
        *(
            FaithfulnessCheck(
                name, question, "high", "Compares with people, not with the model.", _on_mask(f)
            )
            for name, question, f in (
                ("pointing", "Whether the highest value lies on the object.", pointing),
                ("mass", "Share of the positive values on the object.", relevance_mass),
                ("rank_accuracy", "Share of the highest values on the object.", rank_accuracy),
            )
        ),
    )
}
"""Name -> check. Agreement is between two maps: `rank_correlation` of `dependence`."""


def check_attribution(checked: Checked, *, slow: bool = True) -> dict[str, float]:
    """Return the figure of every check that has one, by its name.

    slow: whether those are run too that run the method again.
    """
    found: dict[str, float] = {}
    for name, check in FAITHFULNESS_CHECKS.items():
        if check.slow and not slow:
            continue
        if (figure := check.figure(checked)) is not None:
            found[name] = float(figure)
    return found
