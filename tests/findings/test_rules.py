"""Every rule is shown an audit that should raise it and one that should not."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import (
    Entanglement,
    Isolation,
    OtherReading,
    Prediction,
    Prototype,
    Readings,
    Sample,
    Stability,
)
from leap_audit.findings import RULES, Rule, find
from leap_audit.findings.evidence import core
from leap_audit.text.numbers import wilson
from tests.builders.audits import a_model

CLASSES = tuple(f"class-{letter}" for letter in "abcdefgh")
Case = tuple[Any, ...]


def isolation(mask: str = "centre.png", *, delete: float = 0.02, enough: bool = True) -> Isolation:
    return Isolation(
        class_=0,
        name=CLASSES[0],
        image="x.png",
        mask=mask,
        area=0.1,
        prob=0.9,
        prob_keep=0.85,
        prob_delete=delete,
        enough=enough,
    )


def prototype(
    *,
    rank: int = 1,
    converged: bool = True,
    other: float = 0.1,
    found: Isolation | None = None,
    similarity: float = 0.9,
) -> Prototype:
    return Prototype(
        target=(0,),
        name=CLASSES[0],
        replicate=0,
        image="x.png",
        logit=9.0,
        prob=0.9,
        rank=rank,
        steps=4,
        converged=converged,
        entanglements=tuple(
            Entanglement(class_=index, name=CLASSES[index], entanglement=value, logit=1, prob=0.01)
            for index, value in enumerate([0.5, other])
        ),
        isolations=(found or isolation(),),
        stability=Stability(
            images=("y.png",), logits=(9.0, 8.5), similarity=similarity, agreement=0.7
        ),
    )


def samples(mask: str) -> list[Sample]:
    return [
        Sample(file=f"{n}.png", sha256="", image="x.png", predicted=(), isolations=(each,))
        for n, each in enumerate([isolation(mask)] * 3)
    ]


def read(right: int, other: int, p: float) -> Readings:
    """How often the model is right on 20 photographs, and with another preprocessing."""
    return Readings(
        photographs=20, right=right, others=(OtherReading(text="another", right=other, p=p),)
    )


def answered(*answers: int, known: tuple[int, ...], prob: float = 0.8) -> list[Sample]:
    """Photographs with one answer each, of known classes."""
    return [
        Sample(
            file=f"{n}.png",
            sha256="",
            image="x.png",
            predicted=(Prediction(class_=answer, name=CLASSES[answer], prob=prob),),
            known=shown,
        )
        for n, (answer, shown) in enumerate(zip(answers, known, strict=True))
    ]


CONSTANT = a_model().model_copy(
    update={"constant": True, "meaning": "On 10 pictures its numbers lie in 1..1: the same."}
)
LOUD: dict[str, Callable[[], Case]] = {
    "scores-do-not-move": lambda: (
        [prototype().model_copy(update={"curve": (1.0, 1.0005, 1.0002)})],
        [],
    ),
    "constant-answer": lambda: ([], [], None, CONSTANT),
    "one-answer": lambda: ([], answered(3, 3, 3, 3, 3, known=(0, 1, 2, 3, 3))),
    "class-not-reached": lambda: ([prototype(rank=7)], []),
    "preprocessing-doubted": lambda: ([], [], read(right=4, other=18, p=1e-4)),
    "one-corner": lambda: ([], samples("corner.png")),
    "border": lambda: ([], samples("frame.png")),
    "photographs-mistaken": lambda: ([prototype()], answered(0, 1, 2, known=(0, 0, 2))),
    "target-not-first": lambda: ([prototype(rank=2)], []),
    "strong-entanglement": lambda: ([prototype(other=0.45)], []),
    "prototype-unstable": lambda: ([prototype(similarity=0.1)], []),
    "answers-saturated": lambda: (
        [],
        answered(0, 1, 0, 1, 2, known=(0, 1, 0, 1, 2), prob=1 - 1e-9),
    ),
    "isolation-not-enough": lambda: ([prototype(found=isolation(enough=False))], []),
    "erasing-changes-little": lambda: ([prototype(found=isolation(delete=0.8))], []),
    "prototype-not-converged": lambda: ([prototype(converged=False)], []),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows, columns = np.mgrid[:40, :40] / 39
    edge = np.minimum.reduce([rows, columns, 1 - rows, 1 - columns])
    for name, score in {
        "centre": -np.hypot(rows - 0.5, columns - 0.5),
        "corner": -np.hypot(rows - 0.95, columns - 0.95),
        "frame": -edge,
    }.items():
        ranking = score.ravel().argsort().argsort().reshape(score.shape)
        picture = (ranking * 255 // ranking.max()).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    return tmp_path


def test_every_rule_has_a_case_here() -> None:
    assert {rule.id for rule in RULES} == set(LOUD)
    assert all(rule.question.endswith("?") for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_raised_by_its_case(rule: Rule, folder: Path) -> None:
    prototypes, pictures, *readings = LOUD[rule.id]()
    found = find(prototypes, pictures, CLASSES, folder, *readings)
    (mine,) = [each for each in found if each.id.split(":")[0] == rule.id]
    assert mine.severity == rule.severity
    assert any(character.isdigit() for character in mine.evidence)
    assert mine.title
    assert mine.limits
    assert mine.sure
    assert mine.confirm
    assert all(math.isfinite(value) for value in mine.figures.values())
    assert mine.figures


def test_a_sound_audit_raises_nothing(folder: Path) -> None:
    assert find([prototype()] * 3, samples("centre.png"), CLASSES, folder) == ()
    assert find([], [], CLASSES, folder) == ()


@pytest.mark.parametrize(
    ("right", "other", "p"), [(17, 20, 1e-4), (4, 18, 0.02), (18, 18, 1.0), (18, 4, 1.0)]
)
def test_a_preprocessing_is_not_doubted_lightly(
    right: int, other: int, p: float, folder: Path
) -> None:
    gain = find([], [], CLASSES, folder, read(right, other, p))
    assert bool(gain) == (other - right >= 3 and p < 0.01)


def test_the_corner_is_named(folder: Path) -> None:
    found = find([], samples("corner.png"), CLASSES, folder)
    assert any("lower right" in each.title for each in found)


def test_the_gravest_comes_first_then_the_id(folder: Path) -> None:
    cases = [case() for case in LOUD.values()]
    prototypes = [each for case in cases for each in case[0]]
    every = find(prototypes, samples("corner.png"), CLASSES, folder)
    order = [("high", "medium", "low").index(each.severity) for each in every]
    assert order == sorted(order)
    assert every == find(prototypes, samples("corner.png"), CLASSES, folder)


def test_what_the_model_did_not_say_is_not_held_against_it(folder: Path) -> None:
    trace = isolation(enough=False).model_copy(update={"prob": 0.001})
    assert find([prototype(found=trace)], [], CLASSES, folder) == ()


def test_a_class_that_is_said_of_the_erased_picture_too_has_no_region_to_miss(
    folder: Path,
) -> None:
    everywhere = isolation(enough=False).model_copy(update={"prob": 0.73, "prob_keep": 0.99})
    assert find([prototype(found=everywhere)], [], CLASSES, folder) == ()


def test_names_in_findings_are_made_visible(folder: Path) -> None:
    (found,) = find([prototype(rank=7)], [], ("a\u202eb\n",), folder)
    assert "a[U+202E]b[U+000A]" in found.title


def test_the_core_sums_to_one_even_where_the_ranking_ties(tmp_path: Path) -> None:
    Image.new("L", (10, 10), 7).save(tmp_path / "flat.png")
    weights = core(tmp_path, isolation("flat.png"), 0.05)
    assert weights.sum() == pytest.approx(1.0)
    assert weights.max() == pytest.approx(0.01)


def test_a_prototype_that_missed_its_class_entangles_nothing(folder: Path) -> None:
    found = find([prototype(rank=600, other=8.0)], [], CLASSES, folder)
    assert "strong-entanglement" not in {each.id.split(":")[0] for each in found}


def test_the_evidence_is_shown_the_photographs_first(folder: Path) -> None:
    held = [prototype(found=isolation("corner.png"))] * 3
    found = find(held, samples("corner.png"), CLASSES, folder)
    (corner,) = [each for each in found if each.id.startswith("one-corner")]
    assert corner.classes == (0,)
    assert [each.caption for each in corner.pictures[:3]] == [
        f"‘class-a’ on photograph {n}.png" for n in range(3)
    ]
    assert len(corner.pictures) == 4


def test_withheld_photographs_are_no_evidence(folder: Path) -> None:
    kept_out = [s.model_copy(update={"image": ""}) for s in LOUD["photographs-mistaken"]()[1]]
    (found,) = find([], kept_out, CLASSES, folder)
    assert found.pictures == ()


def test_a_mistake_is_held_against_the_entanglements(folder: Path) -> None:
    (found,) = find(*LOUD["photographs-mistaken"](), CLASSES, folder)
    assert "among its 3 most entangled classes in 1." in found.evidence
    assert "1 of 3 photographs" in found.evidence


def test_the_interval_is_wilson_s() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)  # Brown, Cai, DasGupta 2001
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(10, 10)[1] == pytest.approx(1.0)
