"""Every rule of the table against central differences, on its own samples."""

import numpy as np
import pytest

from leap_audit.gradient.table import RULES, Rule, RuleSample, sample
from tests.gradient.oracle import check_rule

TOLERANCE = 1e-6
CASES = [
    pytest.param(op_type, case, id=f"{op_type}-{i}")
    for op_type, rule in sorted(RULES.items())
    for i, case in enumerate(rule.samples)
]


@pytest.mark.parametrize(("op_type", "case"), CASES)
def test_rule_agrees_with_central_differences(op_type: str, case: RuleSample) -> None:
    assert check_rule(op_type, case) < TOLERANCE


def test_rules_without_samples_are_those_that_the_oracle_cannot_judge() -> None:
    # Erf is float32 in onnx.reference; Cast and Dropout are the identity at float64.
    assert {name for name, rule in RULES.items() if not rule.samples} == {"Erf", "Cast", "Dropout"}


def _off_by_a_thousandth(op, node, *dys):
    answer = RULES[node.op_type].function(op, node, *dys)
    parts = [answer] if not isinstance(answer, (tuple, list)) else list(answer)
    return [None if part is None else op.Mul(part, 1.001) for part in parts]


@pytest.mark.parametrize(("op_type", "case"), CASES)
def test_the_oracle_rejects_a_gradient_off_by_a_thousandth(op_type: str, case: RuleSample) -> None:
    wrong = Rule(op_type, _off_by_a_thousandth, (), RULES[op_type].broadcasting)
    assert check_rule(op_type, case, wrong) > TOLERANCE


def test_the_oracle_rejects_a_convolution_that_forgets_its_dilation() -> None:
    def forgetful(op, node, dy):
        undilated = {k: v for k, v in node.attributes.items() if k != "dilations"}
        undilated["pads"] = [1, 1, 1, 1]
        return RULES["Conv"].function(op, type(node)(**{**vars(node), "attributes": undilated}), dy)

    case = sample((1, 2, 8, 9), (3, 2, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2])
    wrong = Rule("Conv", forgetful, (), False)
    assert check_rule("Conv", case, wrong) > TOLERANCE


def test_erf_against_its_derivative() -> None:
    import onnx_ir as ir

    from leap_audit.gradient import Emitter, backpropagate
    from leap_audit.ingest.canonical import to_proto
    from leap_audit.run import Session, choose_provider

    x = np.linspace(-2, 2, 9, dtype=np.float32)
    value = ir.Value(name="x", shape=ir.Shape([9]), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([value], [], nodes=[], opset_imports={"": 21})
    op = Emitter(graph, "erf")
    y = op.Erf(value)
    (dx,) = backpropagate(op, {y: op.constant(np.ones(9))}, [value])
    graph.outputs.append(dx)
    (found,) = Session(to_proto(ir.Model(graph, ir_version=10)), choose_provider("cpu")).run(
        {"x": x}
    )
    np.testing.assert_allclose(found, 2 / np.sqrt(np.pi) * np.exp(-(x**2)), rtol=1e-5)
