"""What follows from thresholds: for one check, and for the whole."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leap_audit.artifacts import Audit, Check, Verdict
from leap_audit.policy import CHECKS, judge, overall, read_policy
from leap_audit.policy.scope import Assessed
from tests.builders.judged import CASES, NOTHING, audit
from tests.builders.records import prototype, sample

ALL = tuple(CHECKS)


def judged(folder: Path, of: Audit, name: str, **said: Any) -> Check:
    """Return the one check of a policy that says this of it."""
    lines = [f"{key} = {str(value).lower()}" for key, value in said.items()]
    text = "\n".join(["name = 'x'", f"[checks.{name}]", *lines])
    (folder / "p.toml").write_text(text, encoding="utf-8")
    (check,) = judge(of, read_policy(folder / "p.toml")).checks
    return check


def check(status: Verdict, required: bool = False) -> Check:
    return Check(id="x", question="?", status=status, measured="", threshold="", required=required)


@pytest.mark.parametrize(
    ("statuses", "complete", "verdict"),
    [
        (["PASS", "PASS"], True, "PASS"),
        (["PASS", "WARN"], True, "WARN"),
        (["PASS", "WARN", "FAIL"], True, "FAIL"),
        (["PASS", "NOT ASSESSED"], True, "PASS"),
        (["NOT ASSESSED"], True, "NOT ASSESSED"),
        ([], True, "NOT ASSESSED"),
        (["PASS", "PASS"], False, "NOT ASSESSED"),
        (["WARN"], False, "NOT ASSESSED"),
        (["PASS", "FAIL"], False, "FAIL"),
    ],
)
def test_the_verdict_of_the_whole(
    statuses: list[Verdict], complete: bool, verdict: Verdict
) -> None:
    assert overall([check(status) for status in statuses], complete=complete) == verdict


def test_what_was_required_and_not_assessed_gives_no_verdict() -> None:
    missing = check("NOT ASSESSED", required=True)
    assert overall([check("PASS"), check("WARN"), missing], complete=True) == "NOT ASSESSED"
    assert overall([check("FAIL"), missing], complete=True) == "FAIL"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("level", ["fail", "warn"])
def test_a_threshold_between_the_good_and_the_bad_parts_them(
    name: str, level: str, tmp_path: Path
) -> None:
    kind = CHECKS[name]
    (good, value), (bad, other), _ = CASES[name]
    if name == "accuracy":  # of four photographs an interval is wide
        good, bad = (audit(samples=(sample(1, k),) * 80) for k in (1, 0))
    side = "below" if kind.better == "higher" else "above"
    said = {f"{level}_{side}": (value + other) / 2}
    assert judged(tmp_path, good, name, **said).status == "PASS"
    found = judged(tmp_path, bad, name, **said)
    assert found.status == level.upper()
    assert found.question == kind.question
    assert found.measured.endswith(".")
    assert found.threshold.endswith(".")
    if name != "accuracy":
        assert found.value == pytest.approx(other)


@pytest.mark.parametrize("name", ALL)
def test_a_value_on_the_threshold_passes(name: str, tmp_path: Path) -> None:
    kind = CHECKS[name]
    good, value = CASES[name][0]
    side = "below" if kind.better == "higher" else "above"
    level = "warn" if name == "accuracy" else "fail"
    found = judged(tmp_path, good, name, **{f"{level}_{side}": value})
    assert found.status == ("WARN" if name == "accuracy" else "PASS")


@pytest.mark.parametrize(
    ("right", "of", "status"),
    [(40, 40, "PASS"), (20, 20, "NOT ASSESSED"), (17, 20, "NOT ASSESSED"), (12, 20, "FAIL")],
)
def test_a_share_of_few_photographs_is_no_answer(
    right: int, of: int, status: str, tmp_path: Path
) -> None:
    """20 of 20 may come from a model that is right 84 % of the time."""
    samples = (sample(1, 1),) * right + (sample(1, 0),) * (of - right)
    found = judged(tmp_path, audit(samples=samples), "accuracy", fail_below=0.9)
    assert found.status == status
    assert "interval" in found.measured
    assert (found.value is None) == (status == "NOT ASSESSED")


@pytest.mark.parametrize(
    ("better", "interval", "status"),
    [
        ("higher", (0.5, 0.7), "PASS"),
        ("higher", (0.3, 0.7), "NOT ASSESSED"),
        ("higher", (0.1, 0.3), "FAIL"),
        ("lower", (0.1, 0.3), "PASS"),
        ("lower", (0.3, 0.7), "NOT ASSESSED"),
        ("lower", (0.5, 0.7), "FAIL"),
    ],
)
def test_an_interval_is_judged_by_its_end_nearest_the_threshold(
    better: Any,
    interval: tuple[float, float],
    status: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    low, high = interval
    answer = Assessed((low + high) / 2, "x", low, high)
    kind = replace(CHECKS["accuracy"], better=better, answer=lambda _: answer)
    monkeypatch.setitem(CHECKS, "accuracy", kind)
    side = "below" if better == "higher" else "above"
    assert judged(tmp_path, NOTHING, "accuracy", **{f"fail_{side}": 0.4}).status == status


@pytest.mark.parametrize("name", ALL)
def test_an_incomplete_audit_passes_nothing(name: str, tmp_path: Path) -> None:
    kind = CHECKS[name]
    side = "below" if kind.better == "higher" else "above"
    (good, value), (bad, other), _ = CASES[name]
    said = {f"fail_{side}": (value + other) / 2}
    for of, finished in ((good, "NOT ASSESSED"), (bad, "FAIL" if kind.lasting else None)):
        found = judged(tmp_path, of.model_copy(update={"status": "incomplete"}), name, **said)
        assert found.status == (finished or "NOT ASSESSED")
        if found.status == "NOT ASSESSED":
            assert "the audit is incomplete" in found.measured.lower()
            assert found.value is None


def test_what_is_not_a_number_passes_nothing(tmp_path: Path) -> None:
    broken = audit(prototypes=(prototype(1, other=float("nan")),))
    found = judged(tmp_path, broken, "entanglement-max", fail_above=5)
    assert (found.status, found.value) == ("NOT ASSESSED", None)


def test_the_audit_says_what_it_was_judged_by() -> None:
    policy = read_policy("default")
    found = judge(NOTHING, policy)
    assert found.policy == policy.identity
    assert [each.id for each in found.checks] == [each.id for each in policy.checks]
    assert found.verdict == "NOT ASSESSED"  # classes-reached is required
    assert found.model_copy(update={"policy": None, "checks": (), "verdict": NOTHING.verdict}) == (
        NOTHING
    )
