"""Every check is shown an audit that passes it, one that does not, and one that it cannot judge."""

from collections.abc import Callable
from typing import Any

import pytest

from leap_audit.artifacts import Audit, Cosines
from leap_audit.policy import CHECKS
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope
from leap_audit.statistics import wilson
from tests.builders.judged import CASES, CORNER, TWO, assumed, audit, seen
from tests.builders.records import isolation, prototype, sample
from tests.builders.vectors import vectors


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
        assert counts or "owl" in found.reason


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


def test_what_is_left_without_its_region_is_not_asked_of_an_encoder() -> None:
    parts = [isolation(cosines=Cosines(whole=0.3, keep=0.2, delete=0.3, erased=0.1))] * 3
    vectors_of = audit(samples=seen(*parts), embedding=vectors())
    kept = answer_of("isolations-kept", vectors_of)
    assert isinstance(kept, Assessed)
    assert kept.value == pytest.approx(0.5)
    assert isinstance(answer_of("isolations-erased", vectors_of), NotAssessed)


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
