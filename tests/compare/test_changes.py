"""What counts as a change: each threshold at its edge."""

from typing import Any

import pytest

from leap_audit.artifacts import Isolation, Prediction, Sample
from leap_audit.compare.changes import Compared, changes_of
from leap_audit.compare.classes import match
from leap_audit.compare.record import Accuracy, Change, IsolationPair, PhotographPair

CLASSES = ("cat", "dog")


def changes(**pairs: Any) -> tuple[Change, ...]:
    empty: dict[str, Any] = dict.fromkeys(("findings", "prototypes", "photographs"), ())
    given = {"classes": match(CLASSES, CLASSES), "accuracy": None, **empty, **pairs}
    return changes_of(Compared(**given))


def photograph(answer: int, *parts: IsolationPair) -> PhotographPair:
    old, new = (
        Sample(
            file="p.png",
            sha256="",
            image="p.png",
            predicted=(Prediction(class_=k, name=CLASSES[k], prob=0.9),),
        )
        for k in (0, answer)
    )
    return PhotographPair(
        sha256="", old=old, new=new, changed=answer != 0, known=None, isolations=parts
    )


def part(overlap: float) -> IsolationPair:
    each = Isolation(
        class_=0,
        name="cat",
        image="i.png",
        mask="m.png",
        area=0.1,
        prob=0.9,
        prob_keep=0.9,
        prob_delete=0.1,
        enough=True,
    )
    return IsolationPair(
        same_class=True, old=each, new=each, spearman=0.5, overlap=overlap, chance=0.1
    )


@pytest.mark.parametrize(("p", "raised"), [(0.0499, True), (0.05, False)])
def test_accuracy_changes_below_five_percent(p: float, raised: bool) -> None:
    of = Accuracy(photographs=9, right_old=9, right_new=3, gained=0, lost=6, p=p, by_class=())
    assert bool(changes(accuracy=of)) == raised


@pytest.mark.parametrize(("changed", "severity"), [(2, "low"), (3, "medium")])
def test_three_other_answers_are_of_medium_severity(changed: int, severity: str) -> None:
    (answers,) = changes(photographs=[photograph(1)] * changed + [photograph(0)])
    assert (answers.id, answers.severity) == ("answers", severity)
    assert len(answers.pictures) == min(changed, 3)


def test_four_other_answers_show_three_pictures() -> None:
    (answers,) = changes(photographs=[photograph(1)] * 4)
    assert len(answers.pictures) == 3


@pytest.mark.parametrize(
    ("moved", "same", "severity"), [(2, 0, ""), (3, 3, "medium"), (3, 4, "low")]
)
def test_three_moved_regions_are_a_change(moved: int, same: int, severity: str) -> None:
    pairs = [photograph(0, part(0.1))] * moved + [photograph(0, part(0.101))] * same
    assert [each.severity for each in changes(photographs=pairs)] == [severity] * bool(severity)
