"""The edges of the rules about detectors, and the pictures that they show."""

from typing import Any

import numpy as np
import pytest

from leap_audit.artifacts import Finding, Sample
from leap_audit.findings import Evidence, find
from leap_audit.findings.evidence import Ranking
from tests.builders.records import detected, trial
from tests.builders.suspicious import (
    BOX,
    CLASSES,
    DETECTOR,
    RANKINGS,
    SIDE,
    beside_their_boxes,
    findings,
    samples,
)


def of_rule(rule: str, pictures: list[Sample], *rest: Any, **more: Any) -> list[Finding]:
    found = findings([], pictures, None, DETECTOR, *rest, **more)
    return [each for each in found if each.rule == rule]


def ranked_outside(outside: int) -> Ranking:
    """A ranking of whose 80 first pixels so many lie outside the box of the object."""
    ranking = np.zeros((SIDE, SIDE), np.uint8)
    ranking.ravel()[:outside] = 255
    middle = ranking[16:24, 16:24]
    middle.flat[: min(64, 80 - outside)] = 255
    return ranking


@pytest.mark.parametrize(("outside", "raised"), [(40, True), (39, False)])
def test_half_of_the_key_pixels_lie_outside(outside: int, raised: bool) -> None:
    rankings = {"corner.png": ranked_outside(outside)}
    found = of_rule("evidence-outside", beside_their_boxes(), rankings=rankings)
    assert bool(found) == raised


@pytest.mark.parametrize(("hits", "of", "raised"), [(2, 2, False), (4, 6, True), (4, 7, False)])
def test_on_two_thirds_of_three_objects_or_more(hits: int, of: int, raised: bool) -> None:
    out = [each for _ in range(of) for each in beside_their_boxes()[:1]]
    inside = samples("centre.png")[0].isolations[0].model_copy(update={"box": BOX})
    shown = [
        each if n < hits else each.model_copy(update={"isolations": (inside,)})
        for n, each in enumerate(out)
    ]
    assert bool(of_rule("evidence-outside", shown, rankings=RANKINGS)) == raised


def test_as_many_lost_without_a_change_are_no_finding() -> None:
    lost = trial(2, 0.5, "removal").model_copy(update={"changed": 12, "control": 12})
    assert not of_rule("removed-by-change", [], (), (lost,))


@pytest.mark.parametrize(
    ("rule", "classes", "how"),
    [("two-classes", (0, 1), "held"), ("found-twice", (0, 0), "covered")],
)
def test_a_photograph_with_several_pairs_is_shown_once(
    rule: str, classes: tuple[int, int], how: str
) -> None:
    one = detected(*classes, **{how: True}).model_copy(update={"image": "a.png", "file": "a.jpg"})
    twice = one.model_copy(update={"coincident": one.coincident * 2})
    evidence = Evidence(CLASSES, [], [twice], {}, None, DETECTOR)
    (found,) = [each for each in find(evidence) if each.rule == rule]
    assert found.figures["times"] == 2
    assert [each.image for each in found.pictures] == ["a.png"]
