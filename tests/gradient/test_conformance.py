"""Every rule on ONNX's own conformance cases, against central differences."""

import onnx
import pytest

from leap_audit.gradient.table import RULES
from tests.builders.conformance import EXCLUDED, Case, collected
from tests.builders.oracle import TOLERANCE, check_rule
from tools.operators_page import OUT_OF_DATE, cases_part, committed

COLLECTED = list(collected())
CASES = [case for case in COLLECTED if case.sample is not None]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_rule_agrees_on_the_conformance_case(case: Case) -> None:
    if case.name in EXCLUDED:
        pytest.skip(EXCLUDED[case.name])
    assert case.sample is not None
    assert check_rule(case.op_type, case.sample) < TOLERANCE


def test_every_exclusion_is_a_case() -> None:
    assert not set(EXCLUDED) - {case.name for case in CASES}


def test_every_rule_has_cases_but_these() -> None:
    """Those of Where, Trilu and CastLike are on whole numbers, Mish's come as several nodes."""
    judged = {name for name, rule in RULES.items() if rule.samples}
    without = judged - {case.op_type for case in CASES}
    assert without == {"CastLike", "Mish", "Trilu", "Where"}


def test_the_page_of_operators_has_these_cases() -> None:
    page = committed()
    if page is None:
        pytest.skip(f"docs/operators.md is not of onnx {onnx.__version__}; make operators")
    assert cases_part(COLLECTED, EXCLUDED) in page, OUT_OF_DATE
