"""From a ranking of pixels to the smallest region that is enough, with its check."""

from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import Cosines
from leap_audit.artifacts.measured import ADDS
from leap_audit.config import IsolationOptions
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.directions import DirectionReading
from leap_audit.ingest.pictures.bands import in_colour
from leap_audit.measure.isolation.optimise import blurred
from leap_audit.measure.matching import look, matched
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

__all__ = [
    "Region",
    "brightest",
    "class_probabilities",
    "is_of_cosines",
    "ranked",
    "read_region",
    "shown",
    "strength",
]

AREAS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
LEAST = 0.01
"""A picture that adds less than this to the class's probability carries nothing to isolate."""
GREY, HAZE = 0.3, np.array([0.58, 0.62, 0.67], np.float32).reshape(3, 1, 1)
"""What is outside a region fades to: some of its own grey in a light bluish haze, so that neither
black nor white strokes inside can be taken for what is outside."""


@dataclass(frozen=True)
class Region:
    """The smallest region of a ranking that is enough, and what the model says with and without."""

    ranking: Array
    """(height, width) uint8: 255 is kept first."""
    area: float
    prob: float
    prob_keep: float
    prob_delete: float
    enough: bool
    cosines: Cosines | None = None
    """Of an encoder, by which the region was read then."""

    @property
    def inside(self) -> Array:
        """(height, width) bool: the region."""
        return brightest(self.ranking, self.area)


def read_region(run: Run, subject: Subject, scores: Array, options: IsolationOptions) -> Region:
    """Return the smallest region that keeps enough of what the picture adds to the class.

    What it adds is the probability on the picture less that on the picture fully erased, of a map
    of answers averaged as the subject says the places count; of an encoder the cosine with the
    direction of the class. Where no region up to 60 % keeps as much, or the picture adds next to
    nothing, the one that keeps most, marked not enough. What is erased is replaced by the blur
    under which the fully erased picture has least.
    """
    picture = np.asarray(subject.picture, np.float32)
    fills = blurred(picture[None])[:, 0]
    ranking = ranked(scores)
    first = _answers(run, np.concatenate([picture[None], fills]), subject)
    blank = 1 + int(np.argmin(first[-1][1:]))
    fill = fills[blank - 1]
    masks = [brightest(ranking, area) for area in AREAS]
    kept = _answers(run, np.stack([np.where(mask, picture, fill) for mask in masks]), subject)
    whole, erased = float(first[-1][0]), float(first[-1][blank])
    encoder = len(first) > 1
    added, least = whole - erased, ADDS if encoder else LEAST
    enough = options.enough_cosine if encoder else options.enough
    sufficient = np.flatnonzero((kept[-1] >= erased + enough * added) & (added >= least))
    place = int(sufficient[0]) if len(sufficient) else int(np.argmax(kept[-1]))
    deleted = _answers(run, np.where(masks[place], fill, picture)[None], subject)
    keep, delete = float(kept[-1][place]), float(deleted[-1][0])
    cosines = Cosines(whole=whole, keep=keep, delete=delete, erased=erased) if encoder else None
    return Region(
        ranking=ranking,
        area=AREAS[place],
        prob=float(first[0][0]),
        prob_keep=float(kept[0][place]),
        prob_delete=float(deleted[0][0]),
        enough=bool(len(sufficient)),
        cosines=cosines,
    )


def shown(picture: Array, inside: Array) -> Array:
    """Return the picture, (channels, height, width), in colour, (3, ...), faded outside."""
    colour = in_colour(picture)
    faded = GREY * colour.mean(0, keepdims=True) + HAZE
    return np.where(inside, colour, faded)


def ranked(scores: Array) -> Array:
    """Return scores, (height, width), as evenly used grey levels, uint8, the highest 255."""
    order = np.empty(scores.size, int)
    order[np.argsort(scores, axis=None, kind="stable")] = np.arange(scores.size)
    levels = np.round(order * 255 / max(scores.size - 1, 1))
    return np.asarray(levels.reshape(scores.shape).astype(np.uint8))


def brightest(ranking: Array, area: float) -> Array:
    """Return the brightest fraction `area` of a ranking, as a mask, (height, width) bool."""
    return np.asarray(ranking > 255 * (1 - area))


def class_probabilities(run: Run, pictures: Array, subject: Subject) -> Array:
    """Return (n,): the probability of the subject's class on each picture, as the places count.

    Of a detection its matched score, 0..1 (see `measure.matching`).
    """
    return _answers(run, pictures, subject)[0]


def strength(run: Run, pictures: Array, subject: Subject) -> Array:
    """Return (n,): the same, of an encoder the cosine with the direction of the class, -1..1."""
    return _answers(run, pictures, subject)[-1]


def is_of_cosines(model: Model) -> bool:
    """Whether the scores of a model are cosines with directions, times a factor."""
    return isinstance(model.reading, DirectionReading)


def _answers(run: Run, pictures: Array, subject: Subject) -> tuple[Array, ...]:
    """The probabilities of the subject's class; behind them the cosines, where there are any."""
    if subject.box is not None:
        several = look(run, pictures)
        return (np.array([matched(each, subject.class_, subject.box) for each in several]),)
    answer, class_, reading = run.model.answer, subject.class_, run.model.reading
    both = [
        (answer.probabilities(scores)[class_] @ subject.where, scores[class_, 0])
        for scores in run.scores(pictures)
    ]
    probs = np.array([prob for prob, _ in both])
    if not isinstance(reading, DirectionReading):
        return (probs,)
    return probs, np.array([score for _, score in both]) / reading.directions.scale
