"""Every check is shown an audit that passes it, one that does not, and one that it cannot judge."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leap_audit.artifacts import (
    Audit,
    Entanglement,
    Finding,
    Isolation,
    OtherReading,
    Prediction,
    Prototype,
    Readings,
    Sample,
    Stability,
)
from leap_audit.policy import CHECKS
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope
from leap_audit.text.numbers import wilson
from tests.audits import make_audit

CLASSES = ("cat", "dog", "owl", "fox")


def isolation(class_: int = 0, **changes: Any) -> Isolation:
    given: dict[str, Any] = {
        "class_": class_,
        "name": CLASSES[class_],
        "image": "",
        "mask": "m.png",
        "area": 0.1,
        "prob": 0.8,
        "prob_keep": 0.8,
        "prob_delete": 0.0,
        "enough": True,
    }
    return Isolation(**given | changes)


def prototype(class_: int = 0, other: float = 0.1, **changes: Any) -> Prototype:
    shared = {class_: 0.5, (class_ + 1) % len(CLASSES): other}
    given: dict[str, Any] = {
        "target": (class_,),
        "name": CLASSES[class_],
        "replicate": 0,
        "image": "x.png",
        "logit": 9.0,
        "prob": 0.9,
        "rank": 1,
        "steps": 4,
        "converged": True,
        "entanglements": tuple(
            Entanglement(class_=k, name=CLASSES[k], entanglement=value, logit=1, prob=0.1)
            for k, value in shared.items()
        ),
    }
    return Prototype(**given | changes)


def stability(similarity: float, agreement: float = 1.0) -> Stability:
    return Stability(images=("y.png",), logits=(9, 9), similarity=similarity, agreement=agreement)


def sample(known: int | None, answer: int, *parts: Isolation) -> Sample:
    predicted = (Prediction(class_=answer, name=CLASSES[answer], prob=0.9),)
    return Sample(
        file="p.png", sha256="", image="", predicted=predicted, known=known, isolations=parts
    )


def finding(name: str, severity: Any, *classes: int) -> Finding:
    return Finding(id=name, severity=severity, title="T", evidence="", limits="", classes=classes)


def audit(**changes: Any) -> Audit:
    """Return an audit that measured nothing yet, with these changes."""
    empty = {"prototypes": (), "samples": (), "findings": (), "classes": CLASSES}
    made = make_audit(Path(), prototypes=0, samples=0, classes=CLASSES)
    return made.model_copy(update=empty | changes)


def assumed(**fields: str) -> Audit:
    made = audit()
    asked = made.model.preprocessing.model_copy(update={"assumed": fields})
    return made.model_copy(update={"model": made.model.model_copy(update={"preprocessing": asked})})


def readings(right: int, other: int, p: float) -> Readings:
    return Readings(photographs=20, right=right, others=(OtherReading(text="o", right=other, p=p),))


def covered(audited: int) -> Audit:
    made = audit()
    coverage = made.coverage.model_copy(update={"classes_audited": audited, "classes_in_all": 4})
    return made.model_copy(update={"coverage": coverage})


def seen(*parts: Isolation) -> tuple[Sample, ...]:
    return tuple(sample(None, 0, part) for part in parts)


NOTHING = audit()
TWO = (prototype(0), prototype(1))
CORNER = finding("one-corner:0:upper-left", "high", 0)
BORDER = finding("border:0", "medium", 0)
THREE = seen(isolation(), isolation(), isolation())

# Check -> (audit, value) of a good one and of a bad one, and an audit that it cannot judge.
CASES: dict[str, tuple[tuple[Audit, float], tuple[Audit, float], Audit | None]] = {
    "classes-audited": ((covered(4), 1.0), (covered(1), 0.25), None),
    "classes-reached": (
        (audit(prototypes=TWO), 1.0),
        (audit(prototypes=(TWO[0], prototype(1, rank=2))), 0.5),
        NOTHING,
    ),
    "prototypes-converged": (
        (audit(prototypes=TWO), 1.0),
        (audit(prototypes=(TWO[0], prototype(1, converged=False))), 0.5),
        NOTHING,
    ),
    "prototypes-stable": (
        (audit(prototypes=(prototype(stability=stability(0.9)),)), 0.9),
        (
            audit(
                prototypes=(
                    prototype(stability=stability(0.9)),
                    prototype(1, stability=stability(-0.2)),
                )
            ),
            -0.2,
        ),
        audit(prototypes=TWO),
    ),
    "entanglement-stable": (
        (audit(prototypes=(prototype(stability=stability(0.9)),)), 1.0),
        (
            audit(
                prototypes=(
                    prototype(stability=stability(0.9, 1.0)),
                    prototype(1, stability=stability(0.9, 0.5)),
                )
            ),
            0.75,
        ),
        audit(prototypes=TWO),
    ),
    "entanglement-max": (
        (audit(prototypes=TWO), 0.2),
        (audit(prototypes=(TWO[0], prototype(1, other=0.6))), 1.2),
        audit(prototypes=(prototype(rank=600),)),
    ),
    "isolations-enough": (
        (audit(samples=THREE), 1.0),
        (audit(samples=(*THREE, *seen(isolation(enough=False, prob_keep=0.2)))), 0.75),
        audit(samples=seen(*[isolation(prob=0.01)] * 5)),
    ),
    "isolations-kept": (
        (audit(samples=seen(*[isolation(prob_keep=0.99)] * 3)), 1.0),
        (audit(samples=seen(*[isolation(prob_keep=0.2)] * 3)), 0.25),
        audit(samples=THREE[:2]),
    ),
    "isolations-erased": (
        (audit(samples=THREE), 0.0),
        (audit(samples=seen(*[isolation(prob_delete=0.4)] * 3)), 0.5),
        audit(samples=seen(*[isolation(enough=False)] * 5)),
    ),
    "classes-in-a-corner": (
        (audit(samples=THREE), 0),
        (audit(samples=THREE, findings=(CORNER,)), 1),
        audit(samples=THREE[:2], findings=(CORNER,)),
    ),
    "classes-at-the-border": (
        (audit(samples=THREE, findings=(CORNER,)), 0),
        (audit(samples=THREE, findings=(BORDER,)), 1),
        audit(samples=THREE[:2]),
    ),
    "findings-high": (
        (audit(samples=THREE, findings=(BORDER,)), 0),
        (audit(samples=THREE, findings=(CORNER,)), 1),
        NOTHING,
    ),
    "findings-medium": (
        (audit(samples=THREE, findings=(CORNER,)), 0),
        (audit(samples=THREE, findings=(BORDER,)), 1),
        NOTHING,
    ),
    "findings-low": (
        (audit(samples=THREE, findings=(CORNER,)), 0),
        (audit(samples=THREE, findings=(finding("x", "low"),)), 1),
        NOTHING,
    ),
    "photographs": ((audit(samples=THREE), 3), (NOTHING, 0), None),
    "accuracy": (
        (audit(samples=(sample(1, 1),) * 4), 1.0),
        (audit(samples=(sample(1, 1), sample(1, 0), sample(None, 2))), 0.5),
        audit(samples=(sample(None, 1),)),
    ),
    "preprocessing-assumed": (
        (assumed(layout="it shows"), 0),
        (assumed(mean="nobody said", resize="usual", channel_order="usual"), 3),
        None,
    ),
    "preprocessing-doubted": (
        (audit(readings=readings(10, 18, 0.5)), 0.0),
        (audit(readings=readings(10, 18, 0.001)), 0.4),
        NOTHING,
    ),
}


def answer_of(name: str, of: Audit, **more: Any) -> Assessment:
    return CHECKS[name].answer(Scope(of, **more))


def test_every_check_has_a_case_here() -> None:
    assert list(CASES) == list(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_tells_the_good_from_the_bad(name: str) -> None:
    kind = CHECKS[name]
    values = []
    for of, value in CASES[name][:2]:
        found = answer_of(name, of)
        assert isinstance(found, Assessed)
        assert found.value == pytest.approx(value)
        assert kind.range[0] <= found.value <= kind.range[1]
        assert found.text
        assert not found.text.endswith(".")
        values.append(found.value)
    assert (values[0] > values[1]) == (kind.better == "higher")


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_when_there_is_nothing_to_judge(name: str) -> None:
    of, kind = CASES[name][2], CHECKS[name]
    assert (of is None) == (kind.unassessed == "never")
    if of is not None:
        found = answer_of(name, of)
        assert isinstance(found, NotAssessed)
        assert found.reason
        assert not found.reason.endswith(".")


@pytest.mark.parametrize("name", [name for name, kind in CHECKS.items() if kind.per_class])
def test_a_check_of_classes_that_were_not_measured_does_not_pass(name: str) -> None:
    """Of the owl, class 2, nothing was measured in any good case."""
    found = answer_of(name, CASES[name][0][0], classes=frozenset({2}))
    counts = name.startswith("findings-")
    if name == "classes-audited":
        assert isinstance(found, Assessed)
        assert found.value == 0
    else:
        assert isinstance(found, Assessed if counts else NotAssessed)
        assert counts or "owl" in found.reason  # type: ignore[union-attr]


def test_a_check_looks_at_its_classes_alone() -> None:
    both = audit(prototypes=(prototype(0), prototype(1, rank=2, other=0.6)))
    for name, value in {"classes-reached": 1.0, "entanglement-max": 0.2}.items():
        found = answer_of(name, both, classes=frozenset({0}))
        assert isinstance(found, Assessed)
        assert found.value == pytest.approx(value)
    found = answer_of("findings-high", audit(prototypes=TWO, findings=(CORNER,)), classes={1})
    assert isinstance(found, Assessed)
    assert found.value == 0


def test_a_check_counts_only_prototypes_that_reach_their_class() -> None:
    far = answer_of("entanglement-max", audit(prototypes=(TWO[0], prototype(1, 0.6, rank=6))))
    near = answer_of("entanglement-max", audit(prototypes=(TWO[0], prototype(1, 0.6, rank=5))))
    assert isinstance(far, Assessed)
    assert isinstance(near, Assessed)
    assert (far.value, near.value) == pytest.approx((0.2, 1.2))


@pytest.mark.parametrize(("enough", "assessed"), [(2, False), (3, True)])
def test_an_average_needs_three_isolations(enough: int, assessed: bool) -> None:
    parts = [*[isolation()] * enough, *[isolation(enough=False, prob_keep=0.2)] * 4]
    erased = answer_of("isolations-erased", audit(samples=seen(*parts)))
    assert isinstance(erased, Assessed) == assessed


@pytest.mark.parametrize(("prob", "counted"), [(0.099, False), (0.1, True)])
def test_only_classes_that_the_model_states_count(prob: float, counted: bool) -> None:
    parts = [isolation(prob=prob, prob_keep=prob)] * 3
    assert (
        isinstance(answer_of("isolations-kept", audit(samples=seen(*parts))), Assessed) == counted
    )


def test_a_pair_that_is_expected_does_not_count() -> None:
    both = audit(prototypes=(prototype(0), prototype(1, other=0.6)))
    found = answer_of("entanglement-max", both, allowed=frozenset({frozenset({2, 1})}))
    assert isinstance(found, Assessed)
    assert found.value == pytest.approx(0.2)
    assert "‘cat’ and ‘dog’" in found.text


def test_a_grey_picture_has_no_order_to_declare() -> None:
    made = assumed(channel_order="it has 1 channel")
    asked = made.model.preprocessing.model_copy(update={"channel_order": "GRAY"})
    made = made.model_copy(update={"model": made.model.model_copy(update={"preprocessing": asked})})
    found = answer_of("preprocessing-assumed", made)
    assert isinstance(found, Assessed)
    assert found.value == 0


@pytest.mark.parametrize("change", [{"places": (3, 3)}, {"independent": True}])
def test_one_label_does_not_judge_several_answers(change: dict[str, Any]) -> None:
    made = audit(samples=(sample(1, 1),) * 4)
    made = made.model_copy(update={"model": made.model.model_copy(update=change)})
    assert isinstance(answer_of("accuracy", made), NotAssessed)


@pytest.mark.parametrize(
    ("successes", "of", "low", "high"),  # of R's prop.test(correct = FALSE)
    [(8, 10, 0.4901625, 0.9433178), (0, 5, 0.0, 0.4344825), (20, 20, 0.8388748, 1.0)],
)
def test_the_interval_of_wilson(successes: int, of: int, low: float, high: float) -> None:
    assert wilson(successes, of) == pytest.approx((low, high), abs=1e-6)


def test_names_in_figures_are_made_visible() -> None:
    names = ("a\u202eb\n", "b", "c", "d")
    made = audit(classes=names, prototypes=(prototype(rank=3),))
    found = answer_of("classes-reached", made)
    assert isinstance(found, Assessed)
    assert "a[U+202E]b[U+000A]" in found.text


def test_every_check_is_a_question() -> None:
    asked: Callable[[str], bool] = lambda text: text.endswith("?")  # noqa: E731
    assert all(asked(kind.question) for kind in CHECKS.values())
