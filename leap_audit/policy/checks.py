"""The table of the checks that a policy can name: each a question with a figure.

A check measures nothing: it reads one figure from the audit, and says when there is none. The
thresholds are the policy's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from leap_audit.policy import (
    detections,
    embedding,
    experiments,
    isolations,
    prototypes,
    whole,
)
from leap_audit.policy.scope import Assessment, Scope
from leap_audit.text.numbers import percent

__all__ = ["CHECKS", "CheckKind", "FigureUnit"]

FigureUnit = Literal["share", "cosine", "ratio", "number"]
"""share: 0 to 1; cosine: -1 to 1; ratio: 0 and more; number: of things, 0 and more."""
_RANGES: dict[FigureUnit, tuple[float, float]] = {
    "share": (0, 1),
    "cosine": (-1, 1),
    "ratio": (0, float("inf")),
    "number": (0, float("inf")),
}


@dataclass(frozen=True)
class CheckKind:
    """A question that one figure answers."""

    id: str
    question: str
    unit: FigureUnit
    better: Literal["higher", "lower"]
    meaning: str
    """What the figure is."""
    unassessed: str
    """When there is no figure."""
    answer: Callable[[Scope], Assessment]
    per_class: bool = True
    """Whether it can be restricted to some classes."""
    pairs: bool = False
    """Whether pairs of classes can be allowed."""
    lasting: bool = False
    """Whether no further measurement could take a failure back."""

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value the figure can have."""
        return _RANGES[self.unit]

    def shown(self, value: float) -> str:
        """Return a value of this check as a person reads it."""
        if self.unit in ("share", "ratio"):
            return percent(value)
        return f"{value:.2f}".replace("-", "−") if self.unit == "cosine" else f"{value:g}"


CHECKS: dict[str, CheckKind] = {
    kind.id: kind
    for kind in (
        CheckKind(
            "classes-audited",
            "Were enough of the classes audited?",
            "share",
            "higher",
            "classes with a prototype, of all classes of the model or of those named",
            "never",
            prototypes.audited,
        ),
        CheckKind(
            "classes-reached",
            "Is each audited class the model's first answer on its best prototype?",
            "share",
            "higher",
            "audited classes whose best prototype the model answers with the class, of all audited",
            "no prototype was made",
            prototypes.reached,
        ),
        CheckKind(
            "prototypes-converged",
            "Had the prototypes settled when the search ended?",
            "share",
            "higher",
            "prototypes whose logit no longer rose, of all shown",
            "no prototype was made",
            prototypes.converged,
        ),
        CheckKind(
            "prototypes-stable",
            "Do prototypes of a class from several seeds look alike to the model?",
            "cosine",
            "higher",
            "the mean cosine between the features of a class's prototypes from several seeds, of "
            "the class where it is lowest",
            "only one seed was run",
            prototypes.stable,
        ),
        CheckKind(
            "entanglement-stable",
            "Do several seeds name the same most entangled classes?",
            "share",
            "higher",
            "the three most entangled classes that any two seeds have in common, on average over "
            "the audited classes",
            "only one seed was run",
            prototypes.agreeing,
        ),
        CheckKind(
            "entanglement-max",
            "Is every class the model reaches well apart from every other?",
            "ratio",
            "lower",
            "the greatest entanglement of a prototype with another class, as a share of the one "
            "with its own; prototypes that miss their class are left out, and pairs in `allow`",
            "no prototype reaches its class",
            prototypes.entangled,
            pairs=True,
            lasting=True,
        ),
        CheckKind(
            "isolations-enough",
            "Do the isolated regions carry their class?",
            "share",
            "higher",
            "isolations where a region of at most 60 % of the picture is enough; of those whose "
            "class has at least 10 % on the picture, and less once all of it is erased",
            "there are fewer than three such isolations",
            isolations.enough,
        ),
        CheckKind(
            "isolations-kept",
            "How much of the class's probability does its region keep?",
            "share",
            "higher",
            "probability with only the region kept, relative to the whole picture and at most 1, "
            "on average over the same isolations; of an encoder the share that is kept of what the "
            "picture adds to the cosine",
            "there are fewer than three such isolations",
            isolations.kept,
        ),
        CheckKind(
            "isolations-erased",
            "How much of the class's probability is left when its region is erased?",
            "share",
            "lower",
            "how much of a class's probability is left with its region erased, at most 1; the "
            "mean over the isolations whose region is enough",
            "there are fewer than three such isolations, or the model is an encoder",
            isolations.erased,
        ),
        CheckKind(
            "classes-in-a-corner",
            "Is no class decided in one corner of the picture?",
            "number",
            "lower",
            "classes of which the finding `one-corner` was raised",
            "no class was isolated on three pictures on which the model says it",
            isolations.in_a_corner,
        ),
        CheckKind(
            "classes-at-the-border",
            "Is no class decided at the edge of the picture?",
            "number",
            "lower",
            "classes of which the finding `border` was raised",
            "no class was isolated on three pictures on which the model says it",
            isolations.at_the_border,
        ),
        CheckKind(
            "shortcuts-confirmed",
            "Is no class given because of a mark alone?",
            "number",
            "lower",
            "classes for which an experiment confirmed a shortcut",
            "no mark was tried on pictures of other classes",
            experiments.confirmed_classes,
        ),
        CheckKind(
            "largest-flip",
            "How far can a mark of one class turn the answers to other pictures?",
            "share",
            "lower",
            "other pictures that a mark turns into its class, beyond those that its control turns, "
            "of the class where it is largest",
            "no mark was tried on pictures of other classes",
            experiments.largest,
        ),
        CheckKind(
            "background-share",
            "Do answers follow the subject rather than the background?",
            "share",
            "lower",
            "how many subjects take on the class of the picture whose background they get, less "
            "how many take it on before a third background; the class where this is largest",
            "no background was exchanged: it takes photographs of several classes",
            experiments.background,
        ),
        CheckKind(
            "objects-lost",
            "Does a detector find its objects on a changed picture too?",
            "share",
            "lower",
            "objects that are no longer found on a changed picture, such as a darker or a blurred "
            "one; of the change that loses most",
            "no class had three objects",
            detections.lost_objects,
        ),
        CheckKind(
            "objects-with-two-names",
            "Does a detector give each object one name?",
            "ratio",
            "lower",
            "places with boxes of two classes, also on the mirrored picture, as a share of the "
            "objects found",
            "no object was found on the photographs",
            detections.confused_places,
        ),
        CheckKind(
            "objects-found-twice",
            "Does a detector find each object once?",
            "ratio",
            "lower",
            "pairs of boxes of a class, one in the other, that covering their common part loses "
            "together, as a share of the objects found",
            "no object was found on the photographs",
            detections.twice_found_objects,
        ),
        CheckKind(
            "classes-found",
            "Does a detector find each audited class somewhere?",
            "share",
            "higher",
            "audited classes found on a photograph or on a prototype, of all audited",
            "the model is no detector, or no prototype was made",
            detections.found_classes,
        ),
        CheckKind(
            "findings-high",
            "How many grave suspicions were raised?",
            "number",
            "lower",
            "findings of severity high",
            "nothing was measured",
            whole.high,
        ),
        CheckKind(
            "findings-medium",
            "How many suspicions of medium severity were raised?",
            "number",
            "lower",
            "findings of severity medium",
            "nothing was measured",
            whole.medium,
        ),
        CheckKind(
            "findings-low",
            "How many slight suspicions were raised?",
            "number",
            "lower",
            "findings of severity low",
            "nothing was measured",
            whole.low,
        ),
        CheckKind(
            "photographs",
            "Was the model shown enough photographs?",
            "number",
            "higher",
            "photographs",
            "never",
            whole.photograph_count,
            per_class=False,
        ),
        CheckKind(
            "accuracy",
            "Is the model right on the photographs of known classes?",
            "share",
            "higher",
            "photographs answered first with the class they are known to show, of all whose class "
            "is known, with its 95 % interval; the class fails where the whole interval does",
            "no photograph's class is known, the threshold lies within the interval, or the "
            "model gives a map or several classes at once",
            whole.right_answers,
        ),
        CheckKind(
            "preprocessing-assumed",
            "Was it declared how a picture becomes the model's input?",
            "number",
            "lower",
            "fields that nobody declared and that the model leaves open, of range, mean, std, "
            "resize and channel_order",
            "never",
            whole.assumed,
            per_class=False,
            lasting=True,
        ),
        CheckKind(
            "preprocessing-doubted",
            "Is the model right about as often with any other preprocessing?",
            "share",
            "lower",
            "photographs of known classes that another preprocessing gains, of all of them; 0 "
            "where the finding `preprocessing-doubted` is not raised",
            "no photograph's class is known",
            whole.doubted,
            per_class=False,
        ),
        CheckKind(
            "labels-doubted",
            "Do the photographs show what their labels say?",
            "share",
            "lower",
            "photographs that look mislabelled, of all whose label was judged",
            "fewer than 40 photographs of two known classes, or a model that gives no one class",
            embedding.labels_in_doubt,
            per_class=False,
        ),
        CheckKind(
            "embedding-cosine",
            "Does an encoder give different vectors to different pictures?",
            "cosine",
            "lower",
            "mean cosine of the vectors of two different photographs",
            "the model is no encoder, or there were fewer than 8 photographs",
            embedding.mean_cosine,
            per_class=False,
        ),
        CheckKind(
            "embedding-rank",
            "Do the vectors of an encoder fill their space?",
            "share",
            "higher",
            "effective rank of the vectors, of the highest that so many photographs and dimensions "
            "could have",
            "the model is no encoder, or there were fewer than 8 photographs",
            embedding.rank_share,
            per_class=False,
        ),
        CheckKind(
            "embedding-found-again",
            "Is a picture found again after a mild change?",
            "share",
            "higher",
            "photographs whose changed copy is nearer to them than to every other, after the mild "
            "change where this is least",
            "the model is no encoder, or there were fewer than 8 photographs",
            embedding.found_again,
            per_class=False,
        ),
        CheckKind(
            "embedding-duplicates",
            "Does no picture lie in two folders?",
            "number",
            "lower",
            "pairs of near-duplicates in two folders or under two classes",
            "the model is no encoder, or there were fewer than 8 photographs",
            embedding.duplicates_across,
            per_class=False,
        ),
    )
}
"""Check id -> what it asks."""
