"""Changes of the whole picture, and detections at one place."""

import numpy as np
import pytest

from leap_audit.config import ExperimentOptions
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.experiments.changes import CHANGES
from leap_audit.measure.objects.changes import USUAL, coincidences, try_removals
from leap_audit.measure.objects.finds import Finds, finds_of
from leap_audit.measure.run import Run
from tests.builders.coloured import picture, pictures

RED, GREEN, FLAGGED = range(3)
BOX = 2 / 12, 2 / 12, 5 / 12, 5 / 12


def test_the_usual_changes_are_among_those_that_are_made() -> None:
    assert {each.name for each in CHANGES} >= USUAL


def test_a_detector_of_colours_loses_its_objects_without_colour_and_no_others(clean: Run) -> None:
    trials = try_removals(clean, finds_of(clean, pictures()), [RED, GREEN], ExperimentOptions(), 0)
    lost = {(t.class_, t.kind): t.changed for t in trials}
    assert {each.kind for each in trials} == USUAL
    assert lost[RED, "without colour"] == lost[GREEN, "without colour"] == 8
    assert lost[RED, "mirrored"] == 0, "the box is mirrored with the picture"
    assert lost[RED, "noise of 0.05"] == 0
    assert all(each.control == 0 for each in trials)


def test_of_fewer_than_three_objects_nothing_is_said(clean: Run) -> None:
    finds = finds_of(clean, [picture(("red", 3, 3)), picture(("red", 5, 6))])
    assert try_removals(clean, finds, [RED, GREEN], ExperimentOptions(), 0) == ()


def finds(shown: np.ndarray, *boxes: tuple[int, tuple[float, float, float, float]]) -> Finds:
    objects = tuple(DetectedBox(0, k, str(k), 0.9, box) for k, box in boxes)
    return Finds(shown[None], (objects,))


def test_two_boxes_of_one_object_are_lost_together(clean: Run) -> None:
    inner = 2.2 / 12, 2.2 / 12, 4.8 / 12, 4.8 / 12
    (found,) = coincidences(clean, finds(picture(("red", 3, 3)), (RED, BOX), (RED, inner)))
    assert (found.place, found.first, found.second) == (0, 0, 1)
    assert found.covered
    assert found.held


def test_two_classes_at_one_place_are_tried_on_the_mirrored_picture(clean: Run) -> None:
    shown = picture(("red", 3, 3))
    (found,) = coincidences(clean, finds(shown, (RED, BOX), (GREEN, BOX)))
    assert not found.held, "the detector does not find green there"


@pytest.mark.parametrize("class_", [RED, GREEN])
def test_objects_apart_are_no_pair(clean: Run, class_: int) -> None:
    apart = 6 / 12, 6 / 12, 9 / 12, 9 / 12
    shown = picture(("red", 3, 3), ("red", 7, 7))
    assert coincidences(clean, finds(shown, (RED, BOX), (class_, apart))) == ()
