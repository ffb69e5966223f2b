"""Findings about a search that had not settled are of low severity at most."""

import pytest

from leap_audit.artifacts import Prototype
from leap_audit.findings import SEARCHED, UNSETTLED
from tests.builders.suspicious import LOUD, findings

SINGLE = sorted(SEARCHED)


def found(rule: str, prototypes: list[Prototype]) -> tuple[str, str]:
    (finding,) = [each for each in findings(prototypes, []) if each.rule == rule]
    return finding.severity, finding.limits


@pytest.mark.parametrize("rule", SINGLE)
def test_a_search_that_had_not_settled(rule: str) -> None:
    prototypes = LOUD[rule]()[0]
    severity, limits = found(rule, prototypes)
    assert severity in ("high", "medium")
    assert UNSETTLED not in limits
    unsettled = [each.model_copy(update={"converged": False}) for each in prototypes]
    severity, limits = found(rule, unsettled)
    assert severity == "low"
    assert limits.endswith(UNSETTLED)


@pytest.mark.parametrize("rule", SINGLE)
def test_one_that_had_settled_is_enough(rule: str) -> None:
    (first,) = LOUD[rule]()[0]
    another = first.model_copy(update={"converged": False, "replicate": 1})
    assert found(rule, [first, another])[0] in ("high", "medium")
