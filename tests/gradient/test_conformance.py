"""Every rule on ONNX's own conformance cases, against central differences."""

import onnx
import pytest

from tests.builders import conformance
from tests.builders.conformance import EXCLUDED, Case, judged
from tests.builders.oracle import TOLERANCE, check_rule
from tools.operators_page import OUT_OF_DATE, cases_part, committed


@pytest.fixture(scope="module")
def collected() -> list[Case]:
    """Return ONNX's cases, of which some take long to make."""
    return list(conformance.collected())


@pytest.fixture(scope="module")
def cases(collected: list[Case]) -> list[Case]:
    """Return those that can be judged."""
    return [case for case in collected if case.sample is not None]


@pytest.mark.parametrize("op_type", sorted(judged()))
def test_rules_agree_on_the_conformance_cases(cases: list[Case], op_type: str) -> None:
    """But on those that the oracle cannot judge: `EXCLUDED` says why."""
    errors = {
        case.name: check_rule(case.op_type, case.sample)
        for case in cases
        if case.op_type == op_type and case.name not in EXCLUDED
    }
    assert {name: error for name, error in errors.items() if not error < TOLERANCE} == {}


def test_every_exclusion_is_a_case(cases: list[Case]) -> None:
    assert not set(EXCLUDED) - {case.name for case in cases}


def test_every_rule_has_cases_but_these(cases: list[Case]) -> None:
    """Those of Where, Trilu and CastLike are on whole numbers, Mish's come as several nodes."""
    without = judged() - {case.op_type for case in cases}
    assert without == {"CastLike", "Mish", "Trilu", "Where"}


def test_the_page_of_operators_has_these_cases(collected: list[Case]) -> None:
    page = committed()
    if page is None:
        pytest.skip(f"docs/operators.md is not of onnx {onnx.__version__}; make operators")
    assert cases_part(collected, EXCLUDED) in page, OUT_OF_DATE
