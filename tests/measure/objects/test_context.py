"""Surroundings of objects: found and confirmed where they name the object, and only there."""

from collections.abc import Iterator

import numpy as np
import pytest

from leap_audit.config import ExperimentOptions
from leap_audit.measure.experiments.study import Settled, settle
from leap_audit.measure.matching import Look, class_at, look, matched
from leap_audit.measure.objects import changes, context
from leap_audit.measure.objects.changes import removal_passes, try_removals
from leap_audit.measure.objects.context import context_passes, try_context
from leap_audit.measure.objects.finds import finds_of
from leap_audit.measure.objects.surroundings import PARTS, SidePart, filled, part_pixels, pasted
from leap_audit.measure.run import Run
from tests.builders.coloured import SIDE, picture, pictures

RED, GREEN, FLAGGED = range(3)


def settled(run: Run) -> tuple[list[Settled], dict[tuple[int, str, str], tuple[int, int, int]]]:
    finds = finds_of(run, pictures())
    tried = [try_context(run, k, finds, ExperimentOptions(), 0) for k in range(3)]
    found, trials = settle(tried, [])
    return found, {
        (t.class_, t.experiment, t.kind): (t.changed, t.control, t.pictures) for t in trials
    }


def test_the_detector_sees_what_it_was_built_for(planted: Run) -> None:
    finds = finds_of(planted, pictures())
    assert [sorted(o.class_ for o in each) for each in finds.objects[:4]] == [
        [RED, GREEN],
        [GREEN, FLAGGED],
        [RED, GREEN],
        [RED, FLAGGED],
    ]


def test_a_mark_that_names_the_object_is_confirmed_and_nothing_else_is(planted: Run) -> None:
    found, trials = settled(planted)
    assert [each.confirmed for each in found] == [False, False, True]
    changed, control, of = trials[FLAGGED, "paste", "context"]
    assert of >= 6
    assert changed == of
    assert control == 0
    assert trials[FLAGGED, "cover", "context"] == (4, 0, 4)
    lost, kept, moved = trials[FLAGGED, "paste", "object without its surroundings"]
    assert (lost, kept) == (moved, 0)


def test_where_no_mark_counts_nothing_is_confirmed(clean: Run) -> None:
    found, trials = settled(clean)
    assert [each.confirmed for each in found] == [False, False, False]
    assert all(changed - control < of / 2 for changed, control, of in trials.values())


def test_too_few_objects_of_other_classes_are_not_tried(planted: Run) -> None:
    finds = finds_of(planted, pictures(2))
    assert try_context(planted, FLAGGED, finds, ExperimentOptions(), 0).trials == ()


def test_a_detection_is_matched_by_place_and_class(planted: Run) -> None:
    (seen,) = look(planted, np.stack([picture(("red", 3, 3))]))
    box = 2 / 12, 2 / 12, 5 / 12, 5 / 12
    assert class_at(seen, box)[0] == RED
    assert matched(seen, RED, box) > 0.9
    assert matched(seen, GREEN, box) < 0.1
    assert matched(seen, RED, (0.6, 0.6, 1, 1)) < 0.1


@pytest.mark.parametrize("part", PARTS)
def test_parts_do_not_touch_the_object(part: SidePart) -> None:
    box = 0.4, 0.4, 0.6, 0.6
    where = part_pixels(part, box, 100, 100)
    assert where is not None
    rows, columns = where
    assert rows.stop <= 40 or rows.start >= 60 or columns.stop <= 40 or columns.start >= 60


def test_a_part_beside_another_object_begins_where_it_did() -> None:
    part = SidePart(-0.9, 0.0)
    down, right = part.beside((0.5, 0.25, 0.7, 0.75), (10, 8), (100, 100))
    assert (down, right) == pytest.approx((50, 46))


def test_a_part_is_filled_with_what_is_around_it_and_the_object_kept() -> None:
    shown = picture(("red", 3, 3), marks=((3, 1),))
    keep = slice(16, 40), slice(16, 40)
    covered = filled(shown, (slice(20, 36), slice(4, 20)), keep)
    assert np.array_equal(covered[:, 16:40, 16:40], shown[:, 16:40, 16:40])
    assert np.abs(covered[:, 24:32, 8:16] - 0.4).max() < 0.05


def test_a_patch_that_is_mostly_off_the_picture_is_not_pasted() -> None:
    shown, patch = picture(), np.ones((3, 10, 10), np.float32)
    assert pasted(shown, patch, (50.0, -1.0)) is None
    inside = pasted(shown, patch, (50.0, SIDE - 1.0))
    assert inside is not None
    assert (inside[:, 45:55, SIDE - 6 :] == 1).all()
    assert (shown < 1).all()


class Shown:
    """Counts the pictures that are shown to a detector."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures = 0
        for module in (context, changes):
            monkeypatch.setattr(module, "look", self.look)

    def look(self, run: Run, several: np.ndarray) -> Iterator[Look]:
        self.pictures += len(several)
        return look(run, several)


def test_the_plan_counts_what_is_shown_to_the_detector(
    planted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most what it says, and half of it where many parts are off the picture."""
    finds, shown = finds_of(planted, pictures()), Shown(monkeypatch)
    options = ExperimentOptions(hosts=10, carriers=3)
    every = [each.class_ for several in finds.objects for each in several]
    try_context(planted, FLAGGED, finds, options, 0)
    own = every.count(FLAGGED)
    most = context_passes(own, len(every) - own, options)
    assert most / 2 < shown.pictures <= most
    assert context_passes(own, 5, options) == 0
    assert context_passes(0, 20, options) == 0
    before = shown.pictures
    try_removals(planted, finds, (RED, GREEN, FLAGGED), options, 0)
    assert shown.pictures - before == removal_passes(len(finds.pictures))
