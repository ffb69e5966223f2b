"""The thresholds of what is tried on detections, each at the edge where it starts to matter."""

import numpy as np
import pytest

from leap_audit.config import ExperimentOptions
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.matching import BoxSides, look, matched
from leap_audit.measure.objects.changes import coincidences, try_removals
from leap_audit.measure.objects.context import try_context
from leap_audit.measure.objects.finds import Finds, finds_of, is_there
from leap_audit.measure.objects.surroundings import SidePart, part_pixels
from leap_audit.measure.run import Run
from tests.builders.coloured import picture, pictures

RED, GREEN, FLAGGED = range(3)
BOX = 2 / 12, 2 / 12, 5 / 12, 5 / 12


def found(class_: int, box: BoxSides, confidence: float = 0.9) -> DetectedBox:
    return DetectedBox(0, class_, str(class_), confidence, box)


def shifted(share: float) -> BoxSides:
    """BOX, moved to the right so that it shares so much of its area with itself."""
    by = (1 - share) * (BOX[2] - BOX[0])
    return BOX[0] + by, BOX[1], BOX[2] + by, BOX[3]


def narrowed(share: float) -> BoxSides:
    """A box of half the size of BOX, of which so much lies in it."""
    side = (BOX[2] - BOX[0]) / 2
    right = BOX[2] + (1 - share) * side
    return right - side, BOX[1], right, BOX[1] + side


def pairs(run: Run, class_: int, box: BoxSides) -> int:
    shown = picture(("red", 3, 3))[None]
    return len(coincidences(run, Finds(shown, ((found(RED, BOX), found(class_, box)),))))


def test_two_classes_at_one_place_overlap_by_three_fifths(clean: Run) -> None:
    """Of boxes that share a part s of their areas, the overlap is s / (2 - s)."""
    assert pairs(clean, GREEN, shifted(0.76)) == 1
    assert pairs(clean, GREEN, shifted(0.74)) == 0


def test_four_fifths_of_the_smaller_box_of_a_class_lie_in_the_other(clean: Run) -> None:
    assert pairs(clean, RED, narrowed(0.81)) == 1
    assert pairs(clean, RED, narrowed(0.79)) == 0


@pytest.mark.parametrize(("objects", "tried"), [(2, False), (3, True)])
def test_changes_are_tried_on_three_objects(clean: Run, objects: int, tried: bool) -> None:
    finds = finds_of(clean, [picture(("red", 3, 3))] * objects)
    assert bool(try_removals(clean, finds, [RED], ExperimentOptions(), 0)) == tried


@pytest.mark.parametrize(("part", "lost"), [(0.51, 0), (0.49, 3)])
def test_a_detection_is_lost_below_half_of_its_score(clean: Run, part: float, lost: int) -> None:
    shown = np.stack([picture(("red", 3, 3))] * 3)
    (seen,) = look(clean, np.ascontiguousarray(shown[:1, :, :, ::-1]))
    mirrored = 1 - BOX[2], BOX[1], 1 - BOX[0], BOX[3]
    score = matched(seen, RED, mirrored)
    finds = Finds(shown, ((found(RED, BOX, score / part),),) * 3)
    trials = try_removals(clean, finds, [RED], ExperimentOptions(), 0)
    assert {each.kind: each.changed for each in trials}["mirrored"] == lost


def test_at_most_two_objects_are_shown_that_a_part_does_not_turn(clean: Run) -> None:
    tried = try_context(clean, RED, finds_of(clean, pictures()), ExperimentOptions(), 0)
    assert tried.carried is not None
    assert tried.carried.pasted.pictures > 2
    assert len(tried.carried.unmoved) == 2


def test_a_part_has_four_fifths_of_the_sides_of_the_box() -> None:
    where = part_pixels(SidePart(0.9, 0.0), (0.4, 0.4, 0.6, 0.6), 100, 100)
    assert where == (slice(42, 58), slice(60, 76))


@pytest.mark.parametrize(("share", "same"), [(0.68, True), (0.66, False)])
def test_an_object_is_the_same_where_half_overlaps(share: float, same: bool) -> None:
    assert is_there([found(RED, shifted(share))], RED, BOX) == same
    assert not is_there([found(GREEN, shifted(share))], RED, BOX)
