"""Every threshold of the rules, at the edge where it starts to matter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import (
    Entanglement,
    Finding,
    Isolation,
    ModelIdentity,
    Opinion,
    OtherReading,
    Prediction,
    Prototype,
    Readings,
    Sample,
    Stability,
)
from leap_audit.findings import find, questions
from leap_audit.findings.evidence import Evidence, read_ranking
from tests.builders import records
from tests.builders.vectors import vectors

CLASSES = tuple(f"class-{letter}" for letter in "abcdefgh")
SIDE = 40
RANKED = 80
"""Pixels of a mask that stand first: the twentieth of the picture that the rules look at."""
CORNER = [(y, x) for y in range(10) for x in range(10)]
BESIDE_THE_CORNER = [(y, x) for y in range(11, 20) for x in range(11, 20)]
FRAME = [(y, x) for y in range(5) for x in range(SIDE)]
BESIDE_THE_FRAME = [(y, x) for y in range(5, 8) for x in range(5, 35)]
MIDDLE = [(y, x) for y in range(15, 25) for x in range(15, 25)]


def findings(
    folder: Path,
    prototypes: Sequence[Prototype] = (),
    samples: Sequence[Sample] = (),
    readings: Readings | None = None,
    model: ModelIdentity | None = None,
) -> dict[str, Finding]:
    """Return rule -> its finding, of an audit with these parts."""
    owners: list[Prototype | Sample] = [*prototypes, *samples]
    parts = [i for each in owners for i in each.isolations if i.mask]
    rankings = {each.mask: read_ranking(folder, each) for each in parts}
    found = find(Evidence(CLASSES, prototypes, samples, rankings, readings, model))
    return {each.rule: each for each in found}


def mask(folder: Path, inside: list[tuple[int, int]], share: float, rest: Any, **more: Any) -> str:
    """Write a ranking: a share of the pixels ranked first lies inside, the others in `rest`.

    second: where as many again come next.
    """
    levels = np.zeros((SIDE, SIDE), np.uint8)
    number = round(share * RANKED)
    for y, x in more.get("second", [])[:RANKED]:
        levels[y, x] = 200
    for y, x in inside[:number] + rest[: RANKED - number]:
        levels[y, x] = 255
    name = f"{len(list(folder.iterdir()))}.png"
    Image.fromarray(levels).save(folder / name)
    return name


def isolation(mask: str = "", **changes: Any) -> Isolation:
    usual = {"image": "x.png", "mask": mask, "prob": 0.9, "prob_keep": 0.85, "prob_delete": 0.02}
    return records.isolation(**{"name": CLASSES[0], **usual, **changes})


def prototype(*others: float, **changes: Any) -> Prototype:
    """Return a prototype of class 0, whose own entanglement is 0.5."""
    overlaps = tuple(
        Entanglement(class_=index, name=CLASSES[index], entanglement=value, logit=1, prob=0.01)
        for index, value in enumerate((0.5, *others))
    )
    return records.prototype(**{"name": CLASSES[0], "entanglements": overlaps, **changes})


def isolated(parts: Sequence[Isolation]) -> list[Sample]:
    return [
        Sample(file=f"{n}.png", sha256="", image="x.png", predicted=(), isolations=(each,))
        for n, each in enumerate(parts)
    ]


def answered(answers: Sequence[int], known: Sequence[int], probs: Sequence[float]) -> list[Sample]:
    return [
        Sample(
            file=f"{n}.png",
            sha256="",
            image="x.png",
            predicted=(Prediction(class_=answer, name=CLASSES[answer], prob=prob),),
            known=shown,
        )
        for n, (answer, shown, prob) in enumerate(zip(answers, known, probs, strict=True))
    ]


@pytest.mark.parametrize(
    ("rule", "inside", "share", "rest", "raised"),
    [
        ("one-corner", CORNER, 0.5, MIDDLE, True),
        ("one-corner", CORNER, 0.4875, MIDDLE, False),
        ("one-corner", CORNER, 0.4, BESIDE_THE_CORNER, False),
        ("border", FRAME, 0.9, MIDDLE, True),
        ("border", FRAME, 0.8875, MIDDLE, False),
        ("border", FRAME, 0.5, BESIDE_THE_FRAME, False),
    ],
)
def test_how_much_lies_in_a_corner_or_at_the_edge(
    rule: str, inside: Any, share: float, rest: Any, raised: bool, tmp_path: Path
) -> None:
    parts = [isolation(mask(tmp_path, inside, share, rest)) for _ in range(3)]
    assert (rule in findings(tmp_path, samples=isolated(parts))) == raised


@pytest.mark.parametrize(
    ("hits", "of", "raised"),
    [(2, 2, False), (3, 3, True), (2, 3, True), (1, 3, False), (2, 4, False), (3, 4, True)],
)
@pytest.mark.parametrize(("rule", "inside"), [("one-corner", CORNER), ("border", FRAME)])
def test_two_thirds_of_at_least_three_pictures(
    rule: str, inside: Any, hits: int, of: int, raised: bool, tmp_path: Path
) -> None:
    shares = [1.0] * hits + [0.0] * (of - hits)
    parts = [isolation(mask(tmp_path, inside, share, MIDDLE)) for share in shares]
    assert (rule in findings(tmp_path, samples=isolated(parts))) == raised


def test_a_twentieth_of_the_picture_is_looked_at(tmp_path: Path) -> None:
    parts = [
        isolation(mask(tmp_path, CORNER, 0.75, MIDDLE, second=BESIDE_THE_FRAME)) for _ in range(3)
    ]
    assert "one-corner" in findings(tmp_path, samples=isolated(parts))


@pytest.mark.parametrize(("other", "raised"), [(0.4, True), (0.39, False), (0.38, False)])
def test_entangled_from_four_fifths_of_its_own(other: float, raised: bool, tmp_path: Path) -> None:
    assert ("strong-entanglement" in findings(tmp_path, [prototype(other)])) == raised


def test_of_several_seeds_the_strongest_entanglement_counts(tmp_path: Path) -> None:
    found = findings(tmp_path, [prototype(0.45), prototype(0.41, replicate=1)])
    assert found["strong-entanglement"].figures["share of own"] == pytest.approx(0.9)


@pytest.mark.parametrize(("similarity", "raised"), [(0.49, True), (0.5, False)])
def test_unlike_below_half(similarity: float, raised: bool, tmp_path: Path) -> None:
    settled = Stability(images=("y.png",), logits=(9, 8), similarity=similarity, agreement=0.7)
    found = findings(tmp_path, [prototype(0.1, stability=settled)])
    assert ("prototype-unstable" in found) == raised
    pushed_apart = settled.model_copy(update={"faces": ((0,), (1,))})
    assert not findings(tmp_path, [prototype(0.1, stability=pushed_apart)])


@pytest.mark.parametrize(
    ("ranks", "rule"),
    [
        ((6,), "class-not-reached"),
        ((5,), "target-not-first"),
        ((1,), None),
        ((7, 1), "target-not-first"),
        ((7, 6), "class-not-reached"),
    ],
)
def test_reached_up_to_the_fifth_place_by_the_best_seed(
    ranks: tuple[int, ...], rule: str | None, tmp_path: Path
) -> None:
    made = [prototype(0.1, rank=rank, replicate=n) for n, rank in enumerate(ranks)]
    assert set(findings(tmp_path, made)) == ({rule} if rule else set())


@pytest.mark.parametrize(("deleted", "raised"), [(0.45, True), (0.44, False)])
def test_erasing_changes_little_from_half_on(deleted: float, raised: bool, tmp_path: Path) -> None:
    made = prototype(0.1, isolations=(isolation(prob_delete=deleted),))
    assert ("erasing-changes-little" in findings(tmp_path, [made])) == raised


def test_what_is_left_of_a_picture_is_no_finding_of_an_encoder() -> None:
    made = [prototype(0.1, isolations=(isolation(prob_delete=0.9),))]
    rule = "erasing-changes-little"
    (asked,) = [each for each in questions(Evidence(CLASSES, made), ()) if each.rule == rule]
    assert asked.basis == "1 isolation"
    evidence = Evidence(CLASSES, made, embedding=vectors())
    assert rule not in {each.rule for each in find(evidence)}
    (asked,) = [each for each in questions(evidence, ()) if each.rule == rule]
    assert "a cosine" in asked.reason


def test_an_encoder_is_not_said_to_lack_labels() -> None:
    evidence = Evidence(CLASSES, samples=isolated([isolation()]), embedding=vectors())
    rule = "preprocessing-doubted"
    (asked,) = [each for each in questions(evidence, ()) if each.rule == rule]
    assert asked.reason == "no other preprocessing is tried on an encoder"


def opined(*several: dict[str, Any], **changes: Any) -> Sample:
    """A photograph whose class 0 was isolated, with other methods that have these figures."""
    (sample,) = isolated([isolation(**changes)])
    found = tuple(
        Opinion(method=f"method_{n}", class_=0, name=CLASSES[0], map="m.png", **figures)
        for n, figures in enumerate(several)
    )
    return sample.model_copy(update={"opinions": found})


@pytest.mark.parametrize(
    ("agreements", "changes", "raised"),
    [
        ((0.199, 0.1), {}, True),
        ((0.2, 0.1), {}, False),
        ((0.1, 0.2), {}, False),
        ((0.0,), {"prob_delete": 0.6}, True),
        ((0.0,), {"enough": False}, False),
        ((0.0,), {"prob": 0.09, "prob_keep": 0.01}, False),
        ((0.0,), {"class_": 1}, False),
    ],
)
def test_methods_disagree_below_a_fifth(
    agreements: tuple[float, ...], changes: dict[str, Any], raised: bool, tmp_path: Path
) -> None:
    sample = opined(*({"agreement": each} for each in agreements), **changes)
    found = findings(tmp_path, samples=[sample])
    assert ("methods-disagree" in found) == raised


@pytest.mark.parametrize(
    ("rule", "figure"),
    [("map-not-of-class", "other_class"), ("map-not-of-weights", "other_weights")],
)
@pytest.mark.parametrize(
    ("values", "raised"),
    [((0.9, 0.9, 0.9), True), ((0.9, 0.9, 0.89), False), ((1.0, 1.0), False)],
)
def test_maps_are_the_same_from_nine_tenths_on(
    rule: str, figure: str, values: tuple[float, ...], raised: bool, tmp_path: Path
) -> None:
    trace = {"prob": 0.01, "prob_keep": 0.01}
    several = [opined({figure: each}, {figure: 0.1}, **trace) for each in values]
    found = findings(tmp_path, samples=several)
    assert (rule in found) == raised
    if raised:
        assert found[rule].detail == "method_0"


@pytest.mark.parametrize(("prob", "raised"), [(0.1, True), (0.09, False)])
def test_stated_from_a_tenth_on(prob: float, raised: bool, tmp_path: Path) -> None:
    part = isolation(prob=prob, prob_keep=0.01, enough=False)
    assert ("isolation-not-enough" in findings(tmp_path, [prototype(0.1, isolations=(part,))])) == (
        raised
    )


@pytest.mark.parametrize(("moved", "raised"), [(0.00099, True), (0.0011, False)])
def test_scores_that_move_less_than_a_thousandth(
    moved: float, raised: bool, tmp_path: Path
) -> None:
    made = prototype(0.1, curve=(0.0, moved))
    assert ("scores-do-not-move" in findings(tmp_path, [made])) == raised


@pytest.mark.parametrize(
    ("full", "of", "unsure", "raised"),
    [
        (5, 5, 0.0, True),
        (4, 4, 0.0, False),
        (9, 10, 0.5, True),
        (8, 10, 0.5, False),
        (0, 5, 2e-6, False),
        (0, 5, 1e-6, True),
    ],
)
def test_saturated_within_a_millionth_on_nine_of_ten(
    full: int, of: int, unsure: float, raised: bool, tmp_path: Path
) -> None:
    probs = [1.0] * full + [1 - unsure] * (of - full)
    shown = [n % 2 for n in range(of)]
    found = findings(tmp_path, samples=answered(shown, shown, probs))
    assert ("answers-saturated" in found) == raised


@pytest.mark.parametrize(
    ("known", "raised"),
    [((0, 1, 0, 1, 0), True), ((0, 1, 0, 1), False), ((3, 3, 3, 3, 3), False)],
)
def test_one_answer_to_five_photographs_of_several_classes(
    known: tuple[int, ...], raised: bool, tmp_path: Path
) -> None:
    shown = answered([3] * len(known), known, [0.8] * len(known))
    assert ("one-answer" in findings(tmp_path, samples=shown)) == raised


@pytest.mark.parametrize(
    ("pictures", "sure"),
    [(5, "medium"), (7, "medium"), (8, "high"), (9, "high")],
)
def test_more_pictures_make_surer(pictures: int, sure: str, tmp_path: Path) -> None:
    shown = answered([3] * pictures, [n % 2 for n in range(pictures)], [0.8] * pictures)
    assert findings(tmp_path, samples=shown)["one-answer"].sure.startswith(f"Confidence: {sure}")


def test_four_pictures_do_not_rule_out_chance(tmp_path: Path) -> None:
    parts = [isolation(mask(tmp_path, CORNER, 1, MIDDLE)) for _ in range(4)]
    found = findings(tmp_path, samples=isolated(parts))["one-corner"]
    assert found.sure == "Confidence: low (4 of 4); with so few pictures it may be chance."
    assert len(found.pictures) == 4


def test_at_most_four_pictures_are_evidence(tmp_path: Path) -> None:
    parts = [isolation(mask(tmp_path, CORNER, 1, MIDDLE)) for _ in range(5)]
    assert len(findings(tmp_path, samples=isolated(parts))["one-corner"].pictures) == 4


@pytest.mark.parametrize(
    ("photographs", "gain", "p", "raised"),
    [
        (40, 6, 0.001, True),
        (40, 5, 0.001, False),
        (10, 3, 0.001, True),
        (10, 2, 0.001, False),
        (40, 6, 0.0099, True),
        (40, 6, 0.01, False),
    ],
)
def test_a_preprocessing_is_doubted_by_15_percent_and_three_photographs(
    photographs: int, gain: int, p: float, raised: bool, tmp_path: Path
) -> None:
    others = (OtherReading(text="another", right=4 + gain, p=p),)
    readings = Readings(photographs=photographs, right=4, others=others)
    assert ("preprocessing-doubted" in findings(tmp_path, readings=readings)) == raised


@pytest.mark.parametrize(("answer", "hits"), [(3, 1), (4, 0)])
def test_a_mistake_is_foretold_by_the_three_most_entangled(
    answer: int, hits: int, tmp_path: Path
) -> None:
    made = prototype(0.3, 0.2, 0.15, 0.1)
    found = findings(tmp_path, [made], answered([answer], [0], [0.8]))["photographs-mistaken"]
    assert (f"pointed to {hits} of 1 mistake." in found.evidence) == bool(hits)
