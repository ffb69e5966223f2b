"""What the registry of operators says, against what is differentiated and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.canonical.rewrite import REWRITINGS
from leap_audit.canonical.upgrade import NEWER
from leap_audit.errors import FlatGradient, GradientUnavailable
from leap_audit.gradient import RULES, Emitter, backpropagate, build_gradient
from leap_audit.gradient.operators import (
    OperatorUse,
    State,
    model_operators,
    operator_states,
)
from leap_audit.gradient.path import FLAT, INDEPENDENT
from leap_audit.gradient.table import Node
from leap_audit.run import Session, choose_provider
from tests.builders.emitted import numbers, start
from tests.builders.networks import conv_net
from tools.operators_page import HEAD, OUT_OF_DATE, committed, states_part

STATES = {each.name: each.state for each in operator_states()}


def _model(
    nodes: list[onnx.NodeProto], opset: int = 21, **constants: np.ndarray
) -> onnx.ModelProto:
    """A model of x and y, both of three numbers."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def test_every_registry_is_in_it() -> None:
    assert {name for name, state in STATES.items() if state is State.RULE} == set(RULES) - FLAT
    written = {name for name, state in STATES.items() if state is State.WRITTEN}
    assert {name.removeprefix(f"{NEWER}::") for name in REWRITINGS} - set(RULES) <= written
    assert {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain} <= set(
        STATES
    )


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("Conv", State.RULE),
        ("LSTM", State.WRITTEN),
        ("SequenceAt", State.WRITTEN),
        ("Upsample", State.WRITTEN),
        ("RMSNormalization", State.WRITTEN),
        ("com.microsoft::QuickGelu", State.WRITTEN),
        ("Round", State.FLAT),
        ("ArgMax", State.FLAT),
        ("Shape", State.NONE),
        ("Less", State.NONE),
        ("RandomNormal", State.NONE),
        ("RandomUniformLike", State.NONE),
        ("ConstantOfShape", State.NONE),
        ("StringConcat", State.NONE),
    ],
)
def test_states(name: str, state: State) -> None:
    assert STATES[name] is state


def test_a_rule_that_goes_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "Sinh")
    assert next(s for s in operator_states() if s.name == "Sinh").state is State.MISSING


@pytest.mark.parametrize("name", sorted(INDEPENDENT))
def test_what_reads_a_shape_alone_carries_no_gradient(name: str) -> None:
    op, (x,) = start(x=[2, 2])
    y = op.Add(x, op.__getattr__(name)(x))
    (dx,) = numbers(
        op, backpropagate(op, {y: op.constant(np.ones((2, 2)))}, [x]), {"x": [[1, 2]] * 2}
    )
    np.testing.assert_array_equal(dx, np.ones((2, 2)))


@pytest.mark.parametrize("name", sorted(FLAT - {"MelWeightMatrix", "Bernoulli"}))
def test_what_is_flat_has_gradient_zero(name: str) -> None:
    nodes = [helper.make_node(name, ["x"], ["f"]), helper.make_node("Add", ["f", "x"], ["y"])]
    with pytest.warns(FlatGradient, match=name):
        session = Session(build_gradient(_model(nodes)), choose_provider("cpu"), 1)
    x, dy = np.array([[0.3, -1.2, 2.4]], np.float32), np.ones((1, 3), np.float32)
    (dx,) = session.run({"x": x, "cotangent": dy}, ["x_grad"])
    np.testing.assert_array_equal(dx, dy)


def test_a_successor_stands_for_a_deprecated_operator() -> None:
    """Upsample is tested with Resize."""
    indices, updates = np.array([[0, 2]]), np.ones((1, 2), np.float32)
    node = helper.make_node("Scatter", ["x", "i", "u"], ["y"], axis=1)
    gradient = build_gradient(_model([node], 9, i=indices, u=updates))
    session = Session(gradient, choose_provider("cpu"), 1)
    x, dy = np.zeros((1, 3), np.float32), np.array([[5, 7, 9]], np.float32)
    (dx,) = session.run({"x": x, "cotangent": dy}, ["x_grad"])
    np.testing.assert_array_equal(dx, [[0, 7, 0]])


def test_the_operators_of_a_model() -> None:
    found = model_operators(conv_net())
    assert found.refusal is None
    assert {use.name: (use.state, len(use.nodes)) for use in found.uses} == {
        "Conv": (State.RULE, 2),
        "Gemm": (State.RULE, 1),
        "GlobalAveragePool": (State.RULE, 1),
        "MaxPool": (State.RULE, 1),
        "Relu": (State.RULE, 1),
        "Reshape": (State.RULE, 1),
        "Sigmoid": (State.RULE, 1),
    }


def test_what_is_missing_and_what_is_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "Sinh")
    monkeypatch.delitem(RULES, "Cosh")
    nodes = [
        helper.make_node("Cosh", ["c"], ["k"], name="of a constant"),
        helper.make_node("Sinh", ["x"], ["s"], name="on the way"),
        helper.make_node("HardSwish", ["s"], ["h"]),
        helper.make_node("Less", ["h", "k"], ["mask"]),
        helper.make_node("Where", ["mask", "h", "k"], ["y"]),
    ]
    model = _model(nodes, c=np.ones((1, 3), np.float32))
    found = model_operators(model)
    assert {use.name: (use.state, use.nodes) for use in found.uses} == {
        "Cosh": (State.ASIDE, ("of a constant",)),
        "HardSwish": (State.RULE, ("h",)),
        "Less": (State.NONE, ("mask",)),
        "Sinh": (State.MISSING, ("on the way",)),
        "Where": (State.RULE, ("y",)),
    }
    with pytest.raises(GradientUnavailable) as refused:
        build_gradient(model)
    assert str(refused.value) == found.refusal


def test_what_onnx_runtimes_optimiser_wrote_into_onnxs_domain_is_told_apart() -> None:
    node = helper.make_node("SimplifiedLayerNormalization", ["x", "scale"], ["y"], axis=-1)
    found = model_operators(_model([node], scale=np.ones(3, np.float32)))
    name = "com.microsoft::SimplifiedLayerNormalization"
    assert found.uses == (OperatorUse(name, State.WRITTEN, ("y",)),)
    assert found.refusal is None


def test_a_rule_that_refuses_its_node_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(op: Emitter, node: Node, dy: ir.Value) -> Any:
        raise GradientUnavailable("not this one")

    monkeypatch.setitem(RULES, "Sinh", replace(RULES["Sinh"], function=refuse))
    found = model_operators(_model([helper.make_node("Sinh", ["x"], ["y"])]))
    assert found.uses == (OperatorUse("Sinh", State.RULE, ("y",)),)
    assert found.refusal == "not this one"


def test_the_page_is_up_to_date() -> None:
    page = committed()
    if page is None:
        pytest.skip(f"docs/operators.md is not of onnx {onnx.__version__}; make operators")
    assert page.startswith(HEAD + states_part()), OUT_OF_DATE
