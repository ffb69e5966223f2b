"""Sums written as several additions: one sum for relevance, whose stabiliser counts once."""

import numpy as np
import onnx
import pytest

from leap_audit.gradient.build import prepare
from leap_audit.gradient.lrp import LrpRuleOptions
from leap_audit.gradient.sums import merge_sums
from tests.builders.relevance import relevance

HEAD = '<ir_version: 9, opset_import: ["": 20]> g (float[1,4] x) => '
C = "<float[4] c = {0.5, -1.0, 2.0, 4.0}>"
X = np.array([[0.7, -1.2, 2.0, 0.4]], np.float32)
CHAIN = "a = Abs(x) b = Mul(x, x) s = Add(a, b) t = Add(c, s) y = Add(t, x)"


def graph(body: str, outputs: str = "(float[1,4] y)") -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{HEAD}{outputs} {C} {{ {body} }}")


def operators(proto: onnx.ModelProto, wrt: str | None = None) -> dict[str, list[str]]:
    """Operator -> the names of its outputs, once sums are merged."""
    found: dict[str, list[str]] = {}
    for node in prepare(proto, wrt=wrt, passes=(merge_sums,)).model.graph:
        found.setdefault(node.op_type, []).append(str(node.outputs[0].name))
    return found


def test_a_stabiliser_counts_once_in_a_sum_of_several_terms() -> None:
    """R = (|x| + x² + x) / (y + ε sign y) · y, where the four terms are added one by one."""
    stabiliser = 0.5
    for target in range(4):
        r, kept, score = relevance(graph(CHAIN), X, target, LrpRuleOptions(stabiliser=stabiliser))
        x = float(X[0, target])
        expected = (abs(x) + x * x + x) * score / (score + np.sign(score) * stabiliser)
        assert r[0, target] == pytest.approx(expected, rel=1e-5)
        assert expected + kept == pytest.approx(score, rel=1e-5)


def test_terms_of_a_partial_sum_of_zero_get_their_share() -> None:
    """(x + p) + x² with p the neighbour: where x = 1 and p = -1, y = 1, and they get r and -r."""
    proto = onnx.parser.parse_model(
        f"{HEAD}(float[1,4] y) <int64[4] i = {{1, 0, 3, 2}}> "
        "{ p = Gather<axis = 1>(x, i) s = Add(x, p) q = Mul(x, x) y = Add(s, q) }"
    )
    r, _, score = relevance(proto, np.array([[1, -1, 2, 3]], np.float32), 0)
    assert score == 1
    np.testing.assert_allclose(r, [[2, -1, 0, 0]], rtol=1e-5)


def test_additions_become_one_sum_under_the_name_of_the_last() -> None:
    assert operators(graph(CHAIN)) == {"Abs": ["a"], "Mul": ["b"], "Sum": ["y"]}


@pytest.mark.parametrize(
    ("body", "outputs", "wrt"),
    [
        ("s = Add(x, c) t = Mul(s, s) y = Add(s, t)", "(float[1,4] y)", None),
        ("a = Abs(x) s = Add(x, a) y = Add(s, s)", "(float[1,4] y)", None),
        ("s = Add(x, c) y = Add(s, x)", "(float[1,4] y, float[1,4] s)", None),
        ("s = Add(x, c) y = Add(s, x)", "(float[1,4] y)", "s"),
    ],
    ids=["read twice", "both operands", "an output", "asked for"],
)
def test_a_partial_sum_that_is_needed_stays(body: str, outputs: str, wrt: str | None) -> None:
    assert set(operators(graph(body, outputs), wrt)["Add"]) == {"s", "y"}


def test_whole_numbers_stay_in_additions() -> None:
    body = "i = Cast<to = 7>(x) s = Add(i, i) t = Add(s, i) f = Cast<to = 1>(t) y = Mul(f, x)"
    assert set(operators(graph(body))["Add"]) == {"s", "t"}
