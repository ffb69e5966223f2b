"""Thresholds of a policy, and of what its checks need, at the edge where they start to matter."""

from pathlib import Path

import pytest

from leap_audit.artifacts import Audit, Check, Prototype
from leap_audit.policy import CHECKS, judge, read_policy
from leap_audit.policy.scope import Assessed, NotAssessed, Scope
from tests.builders.judged import audit, seen
from tests.builders.records import isolation, prototype, readings, sample, stability


def value(name: str, of: Audit, allowed: frozenset[frozenset[int]] = frozenset()) -> float | None:
    """Return what a check measures; None where it cannot."""
    found = CHECKS[name].answer(Scope(of, allowed=allowed))
    assert isinstance(found, Assessed | NotAssessed)
    return found.value if isinstance(found, Assessed) else None


def status(folder: Path, of: Audit, name: str, said: str) -> str:
    """Return what a policy of one check says of an audit."""
    (folder / "p.toml").write_text(f"name = 'x'\n[checks.{name}]\n{said}\n", encoding="utf-8")
    check: Check
    (check,) = judge(of, read_policy(folder / "p.toml")).checks
    return check.status


def reached(good: int, of: int) -> Audit:
    """Return an audit of four classes, of which some are reached by their prototype."""
    made = tuple(prototype(k, rank=1 if k < good else 3) for k in range(of))
    return audit(prototypes=made)


@pytest.mark.parametrize(
    ("good", "said", "expected"),
    [
        (2, "fail_below = 0.5", "PASS"),
        (1, "fail_below = 0.5", "FAIL"),
        (2, "warn_below = 0.5", "PASS"),
        (1, "warn_below = 0.5", "WARN"),
        (1, "fail_below = 0.25\nwarn_below = 0.5", "WARN"),
        (2, "fail_below = 0.25\nwarn_below = 0.5", "PASS"),
    ],
)
def test_a_share_at_its_threshold_passes(
    good: int, said: str, expected: str, tmp_path: Path
) -> None:
    assert status(tmp_path, reached(good, 4), "classes-reached", said) == expected


@pytest.mark.parametrize(
    ("other", "said", "expected"),
    [
        (0.25, "fail_above = 0.5", "PASS"),
        (0.26, "fail_above = 0.5", "FAIL"),
        (0.25, "warn_above = 0.5", "PASS"),
        (0.26, "warn_above = 0.5", "WARN"),
        (0.24, "warn_above = 0.5", "PASS"),
    ],
)
def test_what_should_be_low_passes_at_its_threshold(
    other: float, said: str, expected: str, tmp_path: Path
) -> None:
    made = audit(prototypes=(prototype(0, other=other),))
    assert status(tmp_path, made, "entanglement-max", said) == expected


@pytest.mark.parametrize(("right", "expected"), [(20, "FAIL"), (30, "NOT ASSESSED"), (40, "PASS")])
def test_an_interval_that_holds_the_threshold_tells_nothing(
    right: int, expected: str, tmp_path: Path
) -> None:
    """Of 40 photographs: half are surely fewer than 80 %, three quarters may be as many."""
    shown = tuple(sample(1, 1 if n < right else 0) for n in range(40))
    assert status(tmp_path, audit(samples=shown), "accuracy", "fail_below = 0.8") == expected


@pytest.mark.parametrize("name", ["isolations-enough", "isolations-kept", "isolations-erased"])
def test_three_isolations_are_needed(name: str) -> None:
    assert value(name, audit(samples=seen(*[isolation()] * 2))) is None
    assert value(name, audit(samples=seen(*[isolation()] * 3))) is not None


def test_what_is_kept_counts_at_most_once() -> None:
    """A region that raises the probability does not make up for one that loses it."""
    found = [isolation(prob=0.5, prob_keep=keep) for keep in (1.0, 0.25, 0.25)]
    kept = value("isolations-kept", audit(samples=seen(*found)))
    assert kept == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_only_regions_that_are_enough_are_erased() -> None:
    good = [isolation(prob_delete=0.2)] * 3
    bad = isolation(enough=False, prob_keep=0.1, prob_delete=0.8)
    assert value("isolations-erased", audit(samples=seen(*good, bad))) == pytest.approx(0.25)


def test_the_most_entangled_pair_that_is_not_allowed_counts() -> None:
    made = audit(prototypes=(prototype(0, other=0.1), prototype(1, other=0.4)))
    assert value("entanglement-max", made) == pytest.approx(0.8)
    allowed = frozenset({frozenset({1, 2})})
    assert value("entanglement-max", made, allowed) == pytest.approx(0.2)


def seeds(*ranks: int) -> tuple[Prototype, ...]:
    return tuple(prototype(0, rank=rank, replicate=n) for n, rank in enumerate(ranks))


@pytest.mark.parametrize(("ranks", "share"), [((1,), 1), ((2,), 0), ((3, 1), 1), ((2, 3), 0)])
def test_a_class_is_reached_by_its_best_seed(ranks: tuple[int, ...], share: float) -> None:
    assert value("classes-reached", audit(prototypes=seeds(*ranks))) == share


def test_the_least_stable_class_counts() -> None:
    made = (prototype(0, stability=stability(0.9)), prototype(1, stability=stability(0.3)))
    assert value("prototypes-stable", audit(prototypes=made)) == pytest.approx(0.3)


def test_prototypes_that_were_pushed_apart_say_nothing_of_chance() -> None:
    apart = stability(0.1).model_copy(update={"faces": ((0,), (1,))})
    record = audit(prototypes=(prototype(0, stability=apart),))
    for name in ("prototypes-stable", "entanglement-stable"):
        found = CHECKS[name].answer(Scope(record, allowed=frozenset()))
        assert isinstance(found, NotAssessed)
        assert "pushed apart" in found.reason


def test_one_number_tells_no_prototypes_apart() -> None:
    record = audit(prototypes=(prototype(0, stability=stability(None)),))
    found = CHECKS["prototypes-stable"].answer(Scope(record, allowed=frozenset()))
    assert isinstance(found, NotAssessed)
    assert "one number" in found.reason
    some = (prototype(0, stability=stability(None)), prototype(1, stability=stability(0.4)))
    assert value("prototypes-stable", audit(prototypes=some)) == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["entanglement-stable", "objects-with-two-names"])
def test_one_class_is_confused_with_no_other(name: str) -> None:
    record = audit(prototypes=(prototype(0, stability=stability(0.9)),))
    model = record.model.model_copy(update={"task": "detection"})
    alone = record.model_copy(update={"model": model, "classes": record.classes[:1]})
    found = CHECKS[name].answer(Scope(alone, allowed=frozenset()))
    assert found == NotAssessed("the model has one class")


def test_a_doubt_is_a_share_of_the_photographs() -> None:
    doubtful = audit(readings=readings(right=4, other=14, p=0.001))
    assert value("preprocessing-doubted", doubtful) == pytest.approx(10 / 20)
