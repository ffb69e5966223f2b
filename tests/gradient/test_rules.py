"""Every rule of the table against central differences, on its own samples, and on ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from leap_audit.gradient import Emitter
from leap_audit.gradient.table import RULES, Node, Rule, RuleSample
from leap_audit.run import Session, choose_provider
from tests.builders.oracle import TOLERANCE, case_of, check_rule
from tests.builders.planted import PLANTED

CASES = [
    pytest.param(op_type, case, id=f"{op_type}-{i}")
    for op_type, rule in sorted(RULES.items())
    for i, case in enumerate(rule.samples)
]
ONE_EACH = [
    pytest.param(op_type, rule.samples[0], id=op_type)
    for op_type, rule in sorted(RULES.items())
    if rule.samples
]


@pytest.mark.parametrize(("op_type", "case"), CASES)
def test_rule_agrees_with_central_differences(op_type: str, case: RuleSample) -> None:
    assert check_rule(op_type, case) < TOLERANCE


@pytest.mark.parametrize(("op_type", "case"), CASES)
def test_onnx_runtime_computes_what_the_reference_computes(op_type: str, case: RuleSample) -> None:
    # In float32, the type that ONNX Runtime has a kernel for.
    graphs = case_of(op_type, case, dtype=ir.DataType.FLOAT)
    found = Session(graphs.gradient, choose_provider("cpu"), threads=1).run(graphs.inputs)
    expected = ReferenceEvaluator(graphs.gradient).run(None, graphs.inputs)
    for have, want in zip(found, expected, strict=True):
        scale = float(np.abs(want).max(initial=1e-3))
        np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * scale)


def test_rules_without_samples_are_those_that_the_oracle_cannot_judge() -> None:
    # Erf is float32 in onnx.reference, Celu in ONNX; Cast and Dropout are the identity at float64;
    # onnx.reference has no GlobalLpPool and no MaxRoiPool. test_on_runtime.py judges those that
    # are not. What rounds has steps, no slopes: test_quantised.py.
    assert {name for name, rule in RULES.items() if not rule.samples} == {
        "Erf",
        "Cast",
        "Dropout",
        "Celu",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "GlobalLpPool",
        "MaxRoiPool",
        "QuantizeLinear",
    }


def _off_by_a_thousandth(op: Emitter, node: Node, *dys: ir.Value) -> Any:
    answer = RULES[node.op_type].function(op, node, *dys)
    parts = [answer] if not isinstance(answer, (tuple, list)) else list(answer)
    return [None if part is None else op.Mul(part, 1.001) for part in parts]


@pytest.mark.parametrize(("op_type", "case"), ONE_EACH)
def test_the_oracle_rejects_a_gradient_off_by_a_thousandth(op_type: str, case: RuleSample) -> None:
    wrong = Rule(op_type, _off_by_a_thousandth, (), RULES[op_type].broadcasting)
    assert check_rule(op_type, case, wrong) > TOLERANCE


@pytest.mark.parametrize(
    ("op_type", "function", "case"),
    [pytest.param(*p, id=f"{p[0]}{p[1].__name__}-{i}") for i, p in enumerate(PLANTED)],
)
def test_the_oracle_rejects_a_wrong_rule(
    op_type: str, function: Callable[..., object], case: RuleSample
) -> None:
    assert check_rule(op_type, case) < TOLERANCE
    wrong = Rule(op_type, function, (), RULES[op_type].broadcasting)
    try:
        found = check_rule(op_type, case, wrong)
    except AssertionError:  # the walk saw a gradient of another shape
        return
    assert found > TOLERANCE
