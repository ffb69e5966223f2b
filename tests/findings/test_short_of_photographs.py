"""A prototype that falls short of the photographs of its class foretells no confusion."""

import pytest

from leap_audit.artifacts import ClassAgreement, EmbeddingAudit, Finding
from leap_audit.findings import Evidence, find
from tests.builders.suspicious import CLASSES, answered, prototype
from tests.builders.vectors import vectors

RULES = {"target-not-first", "strong-entanglement"}


def found(
    wrong: int = 0,
    agreement: float = 1.0,
    prob: float = 0.9,
    vectors_of: EmbeddingAudit | None = None,
    count: int = 20,
) -> dict[str, Finding]:
    """The findings on a prototype of class 0 that gives it 42 % and class 1 more.

    wrong: of so many photographs of class 0, those answered with class 1. agreement: of its
    nearest. prob: of the answers to photographs.
    """
    short = prototype(prob=0.42, rank=2, other=0.55)
    if vectors_of is None:
        by_class = tuple(ClassAgreement(name=name, agreement=agreement) for name in CLASSES)
        vectors_of = vectors(by_class=by_class)
    shown = answered(*[1] * wrong, *[0] * (count - wrong), known=(0,) * count, prob=prob)
    evidence = Evidence(CLASSES, [short], shown, embedding=vectors_of)
    return {each.id: each for each in find(evidence)}


def rules(several: dict[str, Finding]) -> set[str]:
    return {each.rule for each in several.values()} & RULES


def test_photographs_that_are_told_apart_say_more() -> None:
    several = found()
    assert rules(several) == set()
    said = several["prototype-not-converged:photographs"]
    assert (said.severity, said.figures["short"]) == ("info", 1)
    assert "‘class-a’ 42 %, 90 %" in said.evidence.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    "case",
    [
        {"wrong": 3},  # photographs are confused as well
        {"agreement": 0.8},  # their neighbours are of other classes
        {"prob": 0.4},  # the prototype reaches what photographs do
        {"prob": 0.45},  # or nearly so
        {"count": 4},  # too few photographs
    ],
)
def test_what_photographs_do_not_contradict_stays(case: dict[str, float]) -> None:
    several = found(**case)
    assert rules(several) == RULES
    assert "prototype-not-converged:photographs" not in several


def test_of_a_classifier_the_prototype_counts() -> None:
    shown = answered(*[0] * 20, known=(0,) * 20, prob=0.9)
    short = prototype(prob=0.42, rank=2, other=0.55)
    several = {each.id: each for each in find(Evidence(CLASSES, [short], shown))}
    assert rules(several) == RULES
