"""The walk: sums, broadcasting, pruning, and what it says when it cannot."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient import RULES, Emitter, RuleSet, backpropagate
from leap_audit.gradient.table import Node, Rule
from tests.builders.emitted import numbers, start


def _ones(op: Emitter, y: ir.Value) -> ir.Value:
    return op.constant(np.ones(tuple(y.shape)))


def test_uses_are_summed() -> None:
    op, (x,) = start(x=[2])
    y = op.Add(op.Mul(x, x), op.Mul(x, 3.0))
    found = backpropagate(op, {y: _ones(op, y)}, [x])
    (dx,) = numbers(op, found, {"x": [1, 5]})
    np.testing.assert_allclose(dx, [5, 13])


def test_broadcasting_is_undone() -> None:
    op, (x, row, column, one) = start(x=[2, 3], row=[3], column=[2, 1], one=[])
    y = op.Add(op.Add(op.Add(x, row), column), one)
    found = backpropagate(op, {y: _ones(op, y)}, [x, row, column, one])
    given = {"x": np.zeros((2, 3)), "row": np.zeros(3), "column": np.zeros((2, 1)), "one": 0.0}
    dx, drow, dcolumn, done = numbers(op, found, given)
    np.testing.assert_array_equal(dx, np.ones((2, 3)))
    np.testing.assert_array_equal(drow, [2, 2, 2])
    np.testing.assert_array_equal(dcolumn, [[3], [3]])
    assert done.shape == ()
    assert done == 6


def test_several_outputs_and_inner_points() -> None:
    op, (x,) = start(x=[1])
    h = op.Mul(x, 2.0)
    y, z = op.Mul(h, 3.0), op.Mul(h, 5.0)
    dh, dx = backpropagate(op, {y: op.constant([1.0]), z: op.constant([10.0])}, [h, x])
    assert [float(v[0]) for v in numbers(op, [dh, dx], {"x": [1]})] == [53, 106]


def test_only_the_path_is_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "Sinh")
    op, (x, other) = start(x=[2], other=[2])
    # Neither has a rule; neither is between x and y.
    y = op.Mul(x, op.Sinh(other))
    op.Sinh(x)
    before = len(op.graph)
    backpropagate(op, {y: _ones(op, y)}, [x])
    assert [node.op_type for node in list(op.graph)[before:]] == ["Mul"]


def test_stop_makes_a_constant_of_a_value() -> None:
    op, (x,) = start(x=[1])
    h = op.Mul(x, x)
    y = op.Mul(h, x)
    found = backpropagate(op, {y: _ones(op, y)}, [x], stop=[h])
    (dx,) = numbers(op, found, {"x": [3]})
    assert dx == [9]


def test_masks_and_indices_carry_no_gradient() -> None:
    op, (x,) = start(x=[3])
    positive = op.Not(op.Less(x, 0.0))  # operators without a rule, on booleans
    y = op.Where(positive, x, op.Mul(x, 0.5))
    found = backpropagate(op, {y: _ones(op, y)}, [x])
    (dx,) = numbers(op, found, {"x": [-1, 2, 3]})
    np.testing.assert_allclose(dx, [0.5, 1, 1])


def test_missing_operators_are_named_all_at_once_with_their_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(RULES, "Sinh")
    monkeypatch.delitem(RULES, "Cosh")
    op, (x,) = start(x=[2])
    y = op.Sinh(op.Cosh(op.Sinh(x)))
    with pytest.raises(GradientUnavailable) as caught:
        backpropagate(op, {y: _ones(op, y)}, [x])
    sentence = str(caught.value)
    assert "Sinh (2 nodes, e.g. 'test_Sinh')" in sentence
    assert "Cosh (1 node, e.g. 'test_Cosh')" in sentence


def test_what_a_subgraph_takes_from_outside_is_on_the_path() -> None:
    op, (x,) = start(x=[2])
    out = ir.Value(name="then", shape=ir.Shape([2]), type=x.type)
    then = ir.Graph([], [out], nodes=[ir.Node("", "Neg", [x], outputs=[out])], name="then")
    other = ir.Value(name="else", shape=ir.Shape([2]), type=x.type)
    els = ir.Graph([], [other], nodes=[ir.Node("", "Abs", [x], outputs=[other])], name="else")
    y = ir.Value(name="y", shape=ir.Shape([2]), type=x.type)
    condition = op.constant(np.array(True), ir.DataType.BOOL)
    branches = [ir.AttrGraph("then_branch", then), ir.AttrGraph("else_branch", els)]
    op.graph.append(ir.Node("", "If", [condition], branches, outputs=[y], name="choice"))
    with pytest.raises(GradientUnavailable, match=r"If \(1 node, e.g. 'choice'\)"):
        backpropagate(op, {y: _ones(op, y)}, [x])


def test_an_input_that_no_output_depends_on_has_gradient_zero() -> None:
    op, (x, other) = start(x=[2], other=[2])
    y = op.Neg(x)
    found = backpropagate(op, {y: _ones(op, y)}, [x, other])
    dx, none = numbers(op, found, {"x": [1, 1], "other": [1, 1]})
    assert dx.tolist() == [-1, -1]
    assert none.tolist() == [0, 0]
    with pytest.raises(GradientUnavailable, match="other"):
        backpropagate(op, {y: _ones(op, y)}, [other])


def test_rules_can_be_replaced() -> None:
    def guided(op: Emitter, node: Node, dy: ir.Value) -> Any:
        return op.Relu(RULES["Relu"].function(op, node, dy))

    op, (x,) = start(x=[2])
    y = op.Relu(x)
    rule = Rule("Relu", guided, (), False)
    rules = RuleSet("mine", lambda node, _: rule if node.op_type == "Relu" else None)
    found = backpropagate(op, {y: op.constant([1.0, -1.0])}, [x], rules=rules)
    (dx,) = numbers(op, found, {"x": [1, 1]})
    np.testing.assert_array_equal(dx, [1, 0])


def test_a_rule_that_gives_another_shape_is_a_defect() -> None:
    def wrong(op: Emitter, node: Node, dy: ir.Value) -> Any:
        return op.Reshape(dy, [4])

    op, (x,) = start(x=[2, 2])
    y = op.Exp(x)
    rules = RuleSet("wrong", lambda _, __: Rule("Exp", wrong, (), False))
    with pytest.raises(AssertionError, match="rule of Exp"):
        backpropagate(op, {y: _ones(op, y)}, [x], rules=rules)


def test_a_second_emitter_finds_free_names() -> None:
    op, (x,) = start(x=[2])
    y = op.Exp(x)
    again = Emitter(op.graph, "test")
    z = again.Exp(x)
    assert y.name != z.name
    assert again.constant(2.0) is again.constant(2.0)
    assert again.constant(2.0) is not again.constant([2.0])
    assert again.constant(0.0).const_value.numpy() == 0


def test_numbers_take_the_type_of_the_tensor_they_stand_beside() -> None:
    op, (x,) = start(x=[2])
    half = op.Cast(x, to=onnx.TensorProto.FLOAT16)
    chosen = op.Where(op.Greater(half, 0.0), half, 0.0)
    assert chosen.dtype == ir.DataType.FLOAT16


def test_an_unknown_operator_is_an_attribute_error() -> None:
    op, _ = start(x=[2])
    with pytest.raises(AttributeError, match="NoSuchOperator"):
        op.NoSuchOperator()
