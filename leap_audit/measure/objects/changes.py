"""Changes of the whole picture that lose detections, and detections that are too many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import Trial
from leap_audit.config import ExperimentOptions
from leap_audit.ingest.outputs.boxes import iou
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.changes import CHANGES
from leap_audit.measure.experiments.material import evenly
from leap_audit.measure.experiments.trials import trial_of
from leap_audit.measure.matching import BoxSides, look, matched
from leap_audit.measure.objects.context import LOST
from leap_audit.measure.objects.finds import Finds
from leap_audit.measure.objects.surroundings import box_pixels
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["USUAL", "Coincidence", "coincidences", "removal_passes", "try_removals"]

MIRRORED = "mirrored"
USUAL = frozenset(
    {
        "darker by 0.2",
        "brighter by 0.2",
        "contrast halved",
        "without colour",
        "blurred, 2 % of the side",
        "noise of 0.05",
        "JPEG of quality 50",
        "pixels of 2 × 2",
        MIRRORED,
    }
)
"""The changes of `CHANGES` that a picture in use may have undergone, and keep its objects."""
OBJECTS = 3
"""Objects of a class below which changes are not judged by it."""
PLACE = 0.6
"""Overlap from which on two classes are at one place."""
INSIDE = 0.8
"""Share of the smaller box that lies in the other from which on both may be of one object."""


def try_removals(
    run: Run, finds: Finds, classes: Sequence[int], options: ExperimentOptions, seed: int
) -> tuple[Trial, ...]:
    """Return a trial of each usual change and class: on how many objects the detection is lost.

    Lost: its matched score falls below LOST of what it was. Control: a change of half a level of
    256, at random, which no detection should notice.
    """
    chosen = {k: _spread(finds.of(k, len(finds.pictures) * 100), options.hosts) for k in classes}
    chosen = {k: several for k, several in chosen.items() if len(several) >= OBJECTS}
    if not chosen:
        return ()
    places = sorted({place for several in chosen.values() for place, _ in several})
    pictures = finds.pictures[places]
    unseen = generator(seed, "unseen change").uniform(-0.5, 0.5, pictures.shape) / 255
    control = _lost(run, np.clip(pictures + unseen, 0, 1), places, chosen, mirrored=False)
    trials = []
    for i, change in enumerate(CHANGES):
        if change.name not in USUAL or (change.coloured and pictures.shape[1] != 3):
            continue
        shown = np.clip(change.applied(pictures, generator(seed, "change", i)), 0, 1)
        lost = _lost(run, shown, places, chosen, mirrored=change.name == MIRRORED)
        trials += [
            trial_of(class_, "removal", change.name, lost[class_], control[class_])
            for class_ in chosen
        ]
    return tuple(trials)


def removal_passes(pictures: int) -> int:
    """Return how many pictures `try_removals` shows to the detector at most."""
    return (len(USUAL) + 1) * pictures


def _spread(several: list[tuple[int, DetectedBox]], most: int) -> list[tuple[int, DetectedBox]]:
    return [several[int(i)] for i in evenly(np.arange(len(several)), most)]


def _lost(
    run: Run,
    pictures: Array,
    places: Sequence[int],
    chosen: dict[int, list[tuple[int, DetectedBox]]],
    *,
    mirrored: bool,
) -> dict[int, Array]:
    """Whether each object of each class is lost on changed pictures."""
    seen = dict(zip(places, look(run, pictures.astype(np.float32)), strict=True))
    return {
        class_: np.array(
            [
                matched(seen[place], class_, _mirrored(each.box) if mirrored else each.box)
                < LOST * each.confidence
                for place, each in several
            ]
        )
        for class_, several in chosen.items()
    }


def _mirrored(box: BoxSides) -> BoxSides:
    left, top, right, bottom = box
    return 1 - right, top, 1 - left, bottom


@dataclass(frozen=True)
class Coincidence:
    """Two detections of a picture that seem to be of one object."""

    place: int
    """Of the picture."""
    first: int
    """Of the objects found in it, the more confident one."""
    second: int
    held: bool
    """Whether both are still found on the mirrored picture."""
    covered: bool
    """Whether covering what they share loses both."""


def coincidences(run: Run, finds: Finds) -> tuple[Coincidence, ...]:
    """Return the pairs of detections at one place: of two classes, or of one class twice.

    Two classes are at one place where their boxes overlap by PLACE; two boxes of a class may be of
    one object where INSIDE of the smaller lies in the other. Both are tried: the picture is
    mirrored, and what the boxes share is covered by the mean of the picture.
    """
    pairs = [
        (place, i, k)
        for place, several in enumerate(finds.objects)
        for i, one in enumerate(several)
        for k, other in enumerate(several[i + 1 :], i + 1)
        if _coincide(one, other)
    ]
    if not pairs:
        return ()
    mirrored = np.stack([finds.pictures[place][:, :, ::-1] for place, _, _ in pairs])
    covered = np.stack([_covered(finds, *pair) for pair in pairs])
    found = []
    for pair, turned, hidden in zip(pairs, look(run, mirrored), look(run, covered), strict=True):
        place, first, second = pair
        objects = [finds.objects[place][i] for i in (first, second)]
        held = all(
            matched(turned, each.class_, _mirrored(each.box)) >= LOST * each.confidence
            for each in objects
        )
        lost = all(
            matched(hidden, each.class_, each.box) < LOST * each.confidence for each in objects
        )
        found.append(Coincidence(place, first, second, held, lost))
    return tuple(found)


def _coincide(one: DetectedBox, other: DetectedBox) -> bool:
    if one.class_ != other.class_:
        return iou(one.box, other.box) >= PLACE
    area = min(_area(one.box), _area(other.box))
    return area > 0 and _area(_shared(one.box, other.box)) >= INSIDE * area


def _shared(one: BoxSides, other: BoxSides) -> BoxSides:
    left, top = max(one[0], other[0]), max(one[1], other[1])
    return left, top, max(left, min(one[2], other[2])), max(top, min(one[3], other[3]))


def _area(box: BoxSides) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _covered(finds: Finds, place: int, first: int, second: int) -> Array:
    picture = finds.pictures[place]
    both = [finds.objects[place][i].box for i in (first, second)]
    rows, columns = box_pixels(_shared(both[0], both[1]), *picture.shape[1:])
    changed: Array = picture.copy()
    changed[:, rows, columns] = picture.mean((1, 2))[:, None, None]
    return changed
