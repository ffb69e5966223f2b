"""Objects of two detectors: paired by class and place, and what is said of the others."""

from pathlib import Path

import pytest

from leap_audit.artifacts import Detection, Sample
from leap_audit.compare import render_comparison
from leap_audit.compare.objects import pair_objects
from tests.builders.records import CLASSES, sample
from tests.builders.sides import compared, make_side, rewritten

LEFT, RIGHT = (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0)
SAME = {k: k for k in range(len(CLASSES))}


def found(class_: int, box: tuple[float, float, float, float], prob: float = 0.9) -> Detection:
    return Detection(class_=class_, name=CLASSES[class_], prob=prob, box=box)


def shown(*objects: Detection) -> Sample:
    return sample(None, 0).model_copy(update={"detections": objects})


def test_an_object_is_the_same_by_its_class_and_its_place() -> None:
    old = shown(found(0, LEFT), found(1, RIGHT))
    new = shown(found(0, (0.05, 0.0, 0.4, 1.0), 0.5), found(0, RIGHT))
    pair = pair_objects(old, new, SAME)
    assert pair.kept == 1
    assert [each.class_ for each in pair.lost] == [1]
    assert [each.box for each in pair.gained] == [RIGHT]


@pytest.mark.parametrize(("width", "kept"), [(0.21, 1), (0.19, 0)])
def test_half_of_the_union_is_the_same_place(width: float, kept: int) -> None:
    new = shown(found(0, (0.0, 0.0, width, 1.0)))
    assert pair_objects(shown(found(0, LEFT)), new, SAME).kept == kept


def test_each_object_is_paired_once() -> None:
    pair = pair_objects(shown(found(0, LEFT)), shown(found(0, LEFT), found(0, LEFT)), SAME)
    assert (pair.kept, len(pair.gained)) == (1, 1)


def test_classes_are_matched_by_name() -> None:
    pair = pair_objects(shown(found(0, LEFT)), shown(found(1, LEFT)), {0: 1})
    assert (pair.kept, pair.lost, pair.gained) == (1, (), ())


def test_the_comparison_says_what_was_lost_and_gained(tmp_path: Path) -> None:
    old, new = make_side(tmp_path / "old"), make_side(tmp_path / "new")
    detector = old.audit.model.model_copy(update={"task": "detection"})
    sides = []
    for side, objects in ((old, (found(0, LEFT), found(1, RIGHT))), (new, (found(0, LEFT),))):
        samples = tuple(
            each.model_copy(update={"detections": objects}) for each in side.audit.samples
        )
        audit = side.audit.model_copy(update={"model": detector, "samples": samples})
        audit.write(side.folder)
        sides.append(type(side).read(side.folder))
    comparison, out = compared(tmp_path, *sides)
    (change,) = [each for each in comparison.changes if each.id == "objects"]
    assert change.title == "The new detector loses 1 object and finds 0 that the old one did not"
    assert "both find 1 object" in change.evidence
    assert "answers" not in {each.id for each in comparison.changes}
    assert comparison.photographs[0].changed
    page = render_comparison(comparison, out)
    assert "1 lost, 0 gained" in page
    assert "Found by one alone" in page


def test_other_objects_counted_are_a_setting_that_differs(tmp_path: Path) -> None:
    sides = []
    for least in (0.25, 0.65):
        side = make_side(tmp_path / f"{least}")
        counted = {"threshold": least, "overlap": 0.45}
        sides.append(rewritten(side, model=side.audit.model.model_copy(update=counted)))
    old, new = sides
    (row,) = compared(tmp_path, old, new)[0].settings
    assert row.what == "objects counted"
    assert ("25" in row.old, "65" in row.new) == (True, True)
    assert "objects" in row.affects
