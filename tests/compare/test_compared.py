"""What is paired, and what is said of it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import Entanglement, EvidencePicture, Prediction, Prototype, Stability
from leap_audit.compare import FAIL_ON, Side, fails, render_comparison
from leap_audit.compare.judged import pair_checks
from leap_audit.errors import AuditRefused, PictureRefused
from tests.builders.records import suspected
from tests.builders.sides import check, compared, finding, make_side, rewritten
from tests.builders.vectors import changed, vectors


@pytest.fixture
def old(tmp_path: Path) -> Side:
    return make_side(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Side:
    return make_side(tmp_path / "new")


def test_two_equal_audits_differ_in_nothing(tmp_path: Path, old: Side, new: Side) -> None:
    found, out = compared(tmp_path, old, new)
    assert (found.changes, found.worse, found.settings) == ((), (), ())
    assert {pair.state for pair in found.findings} <= {"still"}
    assert [pair.changed for pair in found.photographs] == [False]
    assert {each.overlap for pair in found.photographs for each in pair.isolations} == {1.0}
    assert {round(each.spearman or 0, 9) for each in found.photographs[0].isolations} == {1.0}
    assert "same file" in found.warnings[0]
    assert not any(fails(found, level) for level in FAIL_ON)
    for pair in found.prototypes:
        assert pair.old is not None
        assert (out / pair.old.image).is_file()
    assert len(list((out / "images").iterdir())) == 2  # equal pictures are one file


def test_findings_are_matched_by_rule_and_names(tmp_path: Path, old: Side, new: Side) -> None:
    old = rewritten(
        old,
        findings=(finding("border:0"), finding("border:1", "high"), finding("not-settled")),
    )
    moved = ("dog", "cat", "owl")
    new = make_side(
        tmp_path / "moved",
        {"findings": (finding("border:1", "high"), finding("not-settled", "low"))},
        classes=moved,
    )
    found, _ = compared(tmp_path, old, new)
    states = {(pair.old or pair.new).id: pair.state for pair in found.findings if pair.old}
    # cat was class 0 and is class 1; what was said of dog, class 1 then, is gone.
    assert states == {"border:0": "still", "border:1": "gone", "not-settled": "still"}
    said = {each.id: (each.direction, each.severity) for each in found.changes}
    assert said["finding:border:1"] == ("worse", "high")
    assert said["finding:border:0"] == ("better", "high")
    assert said["finding:not-settled"] == ("better", "low")


def test_what_was_not_looked_at_is_not_gone(tmp_path: Path, old: Side) -> None:
    old = rewritten(old, findings=(finding("border:1"),))
    new = make_side(tmp_path / "new", {"findings": ()}, prototypes=1, isolations=1)
    found, _ = compared(tmp_path, old, new)
    assert [(pair.state, pair.note) for pair in found.findings] == [
        ("unknown", "The new audit did not look at this: it may still be there.")
    ]
    assert found.changes == ()


def test_a_changed_answer_a_moved_region_and_the_accuracy(
    tmp_path: Path, old: Side, new: Side
) -> None:
    samples = [old.audit.samples[0].model_copy(update={"sha256": f"{n:064x}"}) for n in range(8)]
    old = rewritten(old, samples=tuple(s.model_copy(update={"known": 0}) for s in samples))
    ranking = np.linspace(255, 0, 28 * 28).reshape(28, 28).astype(np.uint8)
    Image.fromarray(ranking).save(new.folder / "images" / "other.png")
    said = (Prediction(class_=1, name="dog", prob=0.8),)
    elsewhere = tuple(
        each.model_copy(update={"mask": "images/other.png"}) for each in samples[0].isolations
    )
    alone = samples[0].model_copy(update={"sha256": "f" * 64})
    shown = [s.model_copy(update={"known": 0, "isolations": elsewhere}) for s in samples]
    new = rewritten(
        new,
        samples=(
            *shown[:2],
            *(each.model_copy(update={"predicted": said}) for each in shown[2:]),
            alone,
        ),
    )
    found, _ = compared(tmp_path, old, new)
    assert (found.only_old, found.only_new) == (0, 1)
    assert [pair.changed for pair in found.photographs] == [True] * 6 + [False] * 2
    part = found.photographs[-1].isolations[0]
    assert part.same_class
    assert part.overlap == 0
    assert part.spearman == pytest.approx(-1)
    accuracy = found.accuracy
    assert accuracy is not None
    assert (accuracy.right_old, accuracy.right_new, accuracy.lost) == (8, 2, 6)
    assert accuracy.p == pytest.approx(2 / 64)
    assert [each.id for each in found.changes] == ["accuracy", "answers", "regions"]
    assert "‘cat’ → ‘dog’ (6)" in found.changes[1].evidence


def entangled(prototype: Prototype, low: float | None, high: float | None) -> Prototype:
    seeds = (
        None if low is None else Stability(images=(), logits=(1, 2, 3), similarity=1, agreement=1)
    )
    return prototype.model_copy(
        update={
            "stability": seeds,
            "entanglements": (
                Entanglement(
                    class_=1, name="dog", entanglement=0.3, logit=1, prob=0.1, low=low, high=high
                ),
            ),
        }
    )


@pytest.mark.parametrize(
    ("then", "now", "state", "gap"),
    [
        ((0.1, 0.2), (0.3, 0.4), "changed", 0.1),
        ((0.3, 0.4), (0.1, 0.2), "changed", -0.1),
        ((0.1, 0.3), (0.2, 0.4), "within", 0),
        ((None, None), (0.2, 0.4), "one seed", 0),
    ],
)
def test_an_entanglement_changed_where_ranges_do_not_meet(
    tmp_path: Path, old: Side, new: Side, then: Any, now: Any, state: str, gap: float
) -> None:
    old = rewritten(old, prototypes=(entangled(old.audit.prototypes[0], *then),))
    new = rewritten(new, prototypes=(entangled(new.audit.prototypes[0], *now),))
    found, _ = compared(tmp_path, old, new)
    ((pair,),) = [each.entanglements for each in found.prototypes]
    assert (pair.state, pair.gap) == (state, pytest.approx(gap))
    assert [each.id for each in found.changes] == (["entanglement"] if gap else [])
    assert found.entanglements_by_chance == pytest.approx(0 if state == "one seed" else 0.1)


def test_settings_that_differ_are_said_with_what_they_affect(
    tmp_path: Path, old: Side, new: Side
) -> None:
    config = {"seed": 1, "threads": 8, "prototype": {"steps": 96, "scale": None}}
    environment = new.audit.environment.model_copy(update={"versions": {"onnx": "2.0"}})
    new = rewritten(new, config=config, environment=environment)
    found, _ = compared(tmp_path, old, new)
    rows = {each.what: (each.old, each.new) for each in found.settings}
    assert rows == {"seed": ("0", "1"), "prototype.steps": ("192", "96"), "onnx": ("1.23.2", "2.0")}
    assert all(each.affects for each in found.settings)


@pytest.mark.parametrize(
    ("then", "now", "direction"),
    [
        ("PASS", "FAIL", "worse"),
        ("PASS", "NOT ASSESSED", "worse"),
        ("WARN", "PASS", "better"),
        ("FAIL", "NOT ASSESSED", "different"),
        ("WARN", "WARN", "same"),
    ],
)
def test_checks_then_and_now(then: str, now: str, direction: str) -> None:
    (pair,) = pair_checks([check(then)], [check(now)])
    assert pair.direction == direction


def test_a_check_that_only_one_asked() -> None:
    pairs = pair_checks([check("PASS", "a")], [check("FAIL", "b"), check("PASS", "c")])
    assert [(p.id, p.direction) for p in pairs] == [
        ("b", "worse"),
        ("c", "different"),
        ("a", "different"),
    ]


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"verdict": "FAIL"}, FAIL_ON[1:]),
        ({"findings": (finding("border:0", "medium"),)}, ("medium", "low", "info")),
        ({"findings": (finding("border:1", "high"),)}, ("high", "medium", "low", "info")),
        ({}, ()),
    ],
)
def test_what_a_comparison_fails_on(
    tmp_path: Path, changes: dict[str, Any], failing: tuple[str, ...]
) -> None:
    old = make_side(tmp_path / "old", {"findings": (finding("border:1", "low"),)})
    new = make_side(tmp_path / "new", {"findings": old.audit.findings, **changes})
    found, _ = compared(tmp_path, old, new)
    assert tuple(level for level in FAIL_ON if fails(found, level)) == failing


def test_an_incomplete_audit_makes_an_incomplete_comparison(
    tmp_path: Path, old: Side, new: Side
) -> None:
    old = rewritten(old, findings=(finding("border:0"),))
    new = rewritten(new, status="incomplete", findings=())
    found, _ = compared(tmp_path, old, new)
    assert found.status == "incomplete"
    assert "new audit was interrupted" in found.warnings[0]
    assert [pair.state for pair in found.findings] == ["unknown"]


@pytest.mark.parametrize("name", ["../old/audit.json", "/etc/passwd", "images/none.png"])
def test_pictures_are_taken_from_the_audits_folder_alone(
    tmp_path: Path, old: Side, new: Side, name: str
) -> None:
    (one, *_) = new.audit.prototypes
    new = rewritten(new, prototypes=(one.model_copy(update={"image": name}),))
    with pytest.raises(PictureRefused):
        compared(tmp_path, old, new)


def test_a_hostile_area_or_class_number_is_no_crash(tmp_path: Path, old: Side, new: Side) -> None:
    (sample,) = new.audit.samples
    for update, says in (
        ({"known": 10**9}, "class 1000000000 of"),
        ({"isolations": (sample.isolations[0].model_copy(update={"area": 1e300}),)}, "1e+300"),
    ):
        with pytest.raises(AuditRefused, match=re.escape(says)):
            rewritten(new, samples=(sample.model_copy(update=update),))
    odd = tuple(
        each.model_copy(update={"area": area})
        for each, area in zip(sample.isolations, (-1.0, 1e29), strict=True)
    )
    new = rewritten(
        new,
        samples=(sample.model_copy(update={"isolations": odd}),),
        findings=(finding("::"), finding("a:" + "9" * 400)),
    )
    found, _ = compared(tmp_path, old, new)
    overlaps = [each.overlap for each in found.photographs[0].isolations]
    assert all(overlap is None or 0 <= overlap <= 1 for overlap in overlaps)


def test_suspicion_stands_side_by_side(tmp_path: Path) -> None:
    shown = EvidencePicture(image="images/small.png", caption="pasted", role="pasted")
    old = make_side(tmp_path / "old", {"suspicion": (suspected(0, 0.3), suspected(2, 0.9))})
    new = make_side(
        tmp_path / "new",
        {
            "suspicion": (
                suspected(0, 0.2),
                suspected(1, 0.8, confirmed=True, pictures=(shown,)),
                suspected(2, 0.1),
            )
        },
        classes=("dog", "cat", "fox"),
    )
    found, out = compared(tmp_path, old, new)
    rows = [
        (each.name, *(row and row.score for row in (each.old, each.new)))
        for each in found.suspicion
    ]
    # cat was class 0 and is class 1; owl is gone; a confirmed one comes before a higher score.
    assert rows == [
        ("cat", 0.3, 0.8),
        ("owl", 0.9, None),
        ("dog", None, 0.2),
        ("fox", None, 0.1),
    ]
    (copy,) = found.suspicion[0].new.pictures
    assert copy.role == "pasted"
    assert (out / copy.image).is_file()
    html = render_comparison(found, out)
    assert "0.80, region, <strong>confirmed</strong>" in html
    assert "not audited" in html


def test_the_roles_of_pictures_are_kept(tmp_path: Path) -> None:
    shown = EvidencePicture(image="images/small.png", caption="covered", role="covered")
    old = make_side(tmp_path / "old")
    new = make_side(tmp_path / "new", {"findings": (finding("shortcut:0", pictures=(shown,)),)})
    found, _ = compared(tmp_path, old, new)
    assert found.findings[0].new.pictures[0].role == "covered"


def test_the_vectors_of_two_encoders_stand_side_by_side(tmp_path: Path) -> None:
    better = vectors(mean_cosine=0.3, changes=(changed(found=30), changed("mirrored", 4)))
    old = make_side(tmp_path / "old", {"embedding": vectors()})
    new = make_side(tmp_path / "new", {"embedding": better})
    comparison, _ = compared(tmp_path, old, new)
    rows = {each.what: (each.old, each.new) for each in comparison.vectors}
    assert rows["Mean cosine of two photographs"] == ("0.400", "0.300")
    assert rows["Effective rank"] == ("20.0 of 39", "20.0 of 39")
    assert rows["Found again, JPEG of quality 50"] == ("100\u00a0%", "75\u00a0%")
    assert rows["Found again, darker by 0.2"] == ("95\u00a0%", "not tried")
    assert rows["Nearest photographs of the same class"] == ("90\u00a0%", "90\u00a0%")
    (tmp_path / "other").mkdir()
    none, _ = compared(tmp_path / "other", make_side(tmp_path / "none"), new)
    assert none.vectors == ()
