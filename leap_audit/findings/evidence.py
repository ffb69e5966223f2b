"""The evidence that rules look at, and the questions that rules and checks ask of it."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leap_audit.artifacts import (
    ClassSuspicion,
    DoubtedSample,
    EmbeddingAudit,
    Entanglement,
    Isolation,
    ModelIdentity,
    OtherReading,
    Prototype,
    Readings,
    Sample,
    Trial,
    are_centroids,
    is_encoder,
)
from leap_audit.text.names import ClassLabels, shortened

__all__ = [
    "REACHED_RANK",
    "Evidence",
    "LabelledAnswer",
    "Ranking",
    "StatedClass",
    "by_target",
    "core",
    "doubt",
    "labelled_answers",
    "overlapping",
    "prob_on_photographs",
    "read_ranking",
    "read_rankings",
    "shares_of_own",
    "stated_classes",
]

Ranking = NDArray[np.uint8]
"""All pixels of a picture, (height, width), 255 where the class needs the pixel first."""
REACHED_RANK = 5
"""A prototype that puts its class behind this place has not reached it."""
CHANCE = 0.01
"""Another preprocessing is better only if such a gain by chance is less probable than this."""
GAIN_SHARE = 0.15
GAIN_LEAST = 3
"""Photographs that another preprocessing must gain, and the share of all that they must be."""


SHORT = 0.9
"""Share of the probability on photographs below which a prototype falls short of them."""
PHOTOGRAPHS, TOLD_APART = 5, 0.9
"""Photographs of a class, and the share of them that must be told apart from others, before they
count more than its prototype."""


@dataclass(frozen=True)
class StatedClass:
    """An isolation of a class that the model states about a picture, and that picture."""

    picture: str
    """In words."""
    isolation: Isolation
    photograph: bool


@dataclass(frozen=True)
class LabelledAnswer:
    """The model's first answer to a photograph whose class is known."""

    sample: Sample
    shows: int
    answer: int
    prob: float
    """Of the answer, 0..1."""

    @property
    def right(self) -> bool:
        """Whether the answer is the class that the photograph shows."""
        return self.answer == self.shows


@dataclass(frozen=True)
class Evidence:
    """The measurements that a rule may look at."""

    classes: Sequence[str]
    prototypes: Sequence[Prototype] = ()
    samples: Sequence[Sample] = ()
    rankings: Mapping[str, Ranking] = field(default_factory=dict)
    """`Isolation.mask` -> the ranking itself, of every isolation."""
    readings: Readings | None = None
    """Of the photographs whose class is known."""
    model: ModelIdentity | None = None
    suspicion: Sequence[ClassSuspicion] = ()
    """A row for each audited class; empty where no experiment was made."""
    trials: Sequence[Trial] = ()
    embedding: EmbeddingAudit | None = None
    """Of an encoder alone."""
    doubted: Sequence[DoubtedSample] = ()
    """Photographs that look mislabelled."""
    judged: int = 0
    """Photographs whose labels were judged."""
    labels: ClassLabels = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", ClassLabels(self.classes))

    @property
    def detector(self) -> bool:
        """Return whether the model finds objects."""
        return self.model is not None and self.model.task == "detection"

    @property
    def encoder(self) -> bool:
        """Return whether the model is an encoder, and directions stand for classes."""
        return is_encoder(self.model, self.embedding)

    @property
    def centroids(self) -> bool:
        """Return whether classes are centroids of the labelled photographs."""
        return are_centroids(self.embedding)

    @property
    def noun(self) -> str:
        """Return what the model gives, in a word."""
        return "detection" if self.detector else "answer"

    @property
    def figure(self) -> str:
        """Return how much the model gives it, in a word."""
        return "score" if self.detector else "probability"

    def by_target(self) -> dict[tuple[int, ...], list[Prototype]]:
        """Return the prototypes of each target, in the order of the audit."""
        return by_target(self.prototypes)

    def stated_classes(self) -> Iterator[StatedClass]:
        """Yield the isolations of classes that the model states about their picture."""
        return stated_classes(self.prototypes, self.samples, self.labels)

    def every_isolation(self) -> Iterator[tuple[str, Isolation, bool]]:
        """Yield (its picture in words, the isolation, whether of a photograph) of each."""
        return _every_isolation(self.prototypes, self.samples, self.labels)


def by_target(prototypes: Iterable[Prototype]) -> dict[tuple[int, ...], list[Prototype]]:
    """Return the prototypes of each target, in their order."""
    groups: dict[tuple[int, ...], list[Prototype]] = {}
    for prototype in prototypes:
        groups.setdefault(prototype.target, []).append(prototype)
    return groups


def stated_classes(
    prototypes: Iterable[Prototype], samples: Iterable[Sample], labels: ClassLabels
) -> Iterator[StatedClass]:
    """Yield the isolations of classes that the model states about their picture.

    Not of those that it states as surely about the erased picture, such as a background.
    """
    for where, isolation, photograph in _every_isolation(prototypes, samples, labels):
        if _stated(isolation):
            yield StatedClass(where, isolation, photograph)


def _every_isolation(
    prototypes: Iterable[Prototype], samples: Iterable[Sample], labels: ClassLabels
) -> Iterator[tuple[str, Isolation, bool]]:
    for prototype in prototypes:
        where = f"the prototype of ‘{labels.of(prototype.target)}’"
        yield from ((where, isolation, False) for isolation in prototype.isolations)
    for sample in samples:
        where = f"photograph {shortened(sample.file)}"
        yield from ((where, isolation, True) for isolation in sample.isolations)


def _stated(isolation: Isolation) -> bool:
    return isolation.outcome not in ("trace", "nothing to isolate")


def labelled_answers(samples: Iterable[Sample]) -> list[LabelledAnswer]:
    """Return the answers to the photographs whose class is known, in their order.

    Of a detector the most confident object of that class, if it finds any, else of another; a
    photograph on which it finds nothing has no answer.
    """
    found = []
    for each in samples:
        if each.known is None or not each.predicted:
            continue
        if each.predicted[0].share is not None and not each.map and not each.detections:
            continue
        first = each.predicted[0].class_, each.predicted[0].prob
        objects = sorted(each.detections, key=lambda d: (d.class_ != each.known, -d.prob))
        answer, prob = next(((d.class_, d.prob) for d in objects), first)
        found.append(LabelledAnswer(each, each.known, answer, prob))
    return found


def shares_of_own(prototype: Prototype) -> dict[int, float] | None:
    """Return each other class's entanglement as a share of the target's own, in listed order.

    None for a prototype that missed its class: a picture that the model does not take for the
    class says nothing about the class.
    """
    own = [e.entanglement for e in prototype.entanglements if e.class_ in prototype.target]
    if prototype.rank > REACHED_RANK or max(own, default=0.0) <= 0:
        return None
    return {
        e.class_: e.entanglement / max(own)
        for e in prototype.entanglements
        if e.class_ not in prototype.target
    }


def prob_on_photographs(evidence: Evidence, prototype: Prototype) -> float | None:
    """Return how probable the class of a prototype is on photographs that it falls short of.

    The median, of an encoder that tells the photographs of the class apart: TOLD_APART of
    them are answered with it, and of their nearest. None where that is not so, or where the
    prototype is as probable. A cosine is bounded, and directions are made of photographs: a
    search that ends below them has not reached the class, and its picture foretells no confusion.
    """
    vectors = evidence.embedding
    if vectors is None or len(prototype.target) != 1:
        return None
    (class_,) = prototype.target
    shown = [each for each in labelled_answers(evidence.samples) if each.shows == class_]
    right = [each.prob for each in shown if each.right]
    name = evidence.classes[class_]
    agreement = {each.name: each.agreement for each in vectors.by_class}.get(name, 0.0)
    if len(shown) < PHOTOGRAPHS or min(len(right) / len(shown), agreement) < TOLD_APART:
        return None
    usual = statistics.median(right)
    return usual if prototype.prob < SHORT * usual else None


def overlapping(prototype: Prototype) -> list[Entanglement]:
    """Return the classes other than the target's, those it shares most with first.

    By the class overlap, or in listed order where that was not measured.
    """
    others = [e for e in prototype.entanglements if e.class_ not in prototype.target]
    return sorted(others, key=lambda e: 0.0 if e.overlap is None else -e.overlap)


def doubt(readings: Readings) -> OtherReading | None:
    """Return a preprocessing with which the model is clearly right more often, None without one."""
    gain = max(GAIN_LEAST, GAIN_SHARE * readings.photographs)
    better = [o for o in readings.others if o.p < CHANCE and o.right - readings.right >= gain]
    return max(better, key=lambda each: each.right, default=None)


def read_ranking(folder: Path, isolation: Isolation) -> Ranking:
    """Return the ranking of an isolation from its mask in the folder of an audit."""
    with Image.open(folder / isolation.mask, formats=["PNG"]) as picture:
        return np.asarray(picture.convert("L"), np.uint8)


def read_rankings(folder: Path, several: Iterable[Prototype | Sample]) -> dict[str, Ranking]:
    """Return the rankings of all isolations of prototypes and samples from an audit's folder."""
    return {i.mask: read_ranking(folder, i) for each in several for i in each.isolations}


def core(ranking: Ranking, area: float) -> NDArray[np.float64]:
    """Return the pixels that rank first as weights that sum to 1, (height, width).

    area: the fraction of the picture that they make, 0..1; at least one pixel. Pixels that tie at
    the edge of the region share what is left of it.
    """
    count = max(1, round(area * ranking.size))
    edge = np.sort(ranking, axis=None)[-count]
    above = ranking > edge
    tied = ranking == edge
    weights = above + tied * ((count - above.sum()) / tied.sum())
    return np.asarray(weights / count, dtype=np.float64)
