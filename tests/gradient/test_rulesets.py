"""Rule sets: what they do at Relu, by hand, by NumPy and by PyTorch's hooks."""

import json
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from leap_audit.cli import flags
from leap_audit.errors import GradientUnavailable, UsageError
from leap_audit.gradient import (
    RULES,
    Emitter,
    Place,
    RuleOptions,
    RuleSet,
    build_gradient,
    check_gradient,
)
from leap_audit.gradient.rulesets import METADATA, OPTIONS_METADATA, RULE_SETS
from leap_audit.gradient.table import Node, Rule
from leap_audit.run import Session, choose_provider
from tests.builders.networks import WEIGHTS, relu_net, torch_relu_net

AT_RELUS = ("guided", "deconvnet")
RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((2, 3, 7, 7)).astype(np.float32)
COTANGENT = RNG.standard_normal((2, 6)).astype(np.float32)


def _answer(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    (name,) = (v.name for v in model.graph.output if v.name.endswith("_grad"))
    return Session(model, choose_provider("cpu"), 1).run(inputs, [name])[0]


def test_at_a_relu_by_hand() -> None:
    """y = relu(x): the four signs of x and of the cotangent."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    given = {
        "x": np.array([[2, 2, -2, -2]], np.float32),
        "cotangent": np.array([[3, -3, 3, -3]], np.float32),
    }
    expected = {None: [3, -3, 0, 0], "guided": [3, 0, 0, 0], "deconvnet": [3, 0, 3, 0]}
    for rules, row in expected.items():
        found = _answer(build_gradient(model, rules=rules), **given)
        np.testing.assert_array_equal(found, [row])


def test_only_relu_is_changed() -> None:
    """y = -relu(x): the sign comes before the rule, and is kept after it."""
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Neg", ["b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "negative",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    given = {
        "x": np.array([[-1, -1]], np.float32),
        "cotangent": np.array([[2, -2]], np.float32),
    }
    for rules in AT_RELUS:
        found = _answer(build_gradient(model, rules=rules), **given)
        np.testing.assert_array_equal(found, [[0, -2]])


def _conv(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2:]
    return sum(
        np.einsum("nchw,oc->nohw", padded[:, :, u : u + height, v : v + width], w[:, :, u, v])
        for u in range(3)
        for v in range(3)
    )


def _conv_back(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
    count, _, height, width = dy.shape
    padded = np.zeros((count, w.shape[1], height + 2, width + 2))
    for u in range(3):
        for v in range(3):
            padded[:, :, u : u + height, v : v + width] += np.einsum(
                "nohw,oc->nchw", dy, w[:, :, u, v]
            )
    return padded[:, :, 1:-1, 1:-1]


AT_RELU: dict[str | None, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    None: lambda x, dy: dy * (x > 0),
    "guided": lambda x, dy: dy * (x > 0) * (dy > 0),
    "deconvnet": lambda _, dy: dy * (dy > 0),
}


def _by_numpy(dy: np.ndarray, at: list[str | None]) -> dict[str, np.ndarray]:
    """Return the answer for "image" and "r1". at: the rules of the first and the second Relu."""
    w1, w2, fc = (w.astype(np.float64) for w in WEIGHTS.values())
    first = _conv(IMAGE.astype(np.float64), w1)
    second = _conv(np.maximum(first, 0), w2)
    back = np.broadcast_to((dy @ fc.T)[:, :, None, None], second.shape) / 49
    inner = _conv_back(AT_RELU[at[1]](second, back), w2)
    return {"r1": inner, "image": _conv_back(AT_RELU[at[0]](first, inner), w1)}


@pytest.mark.parametrize("rules", [None, *AT_RELUS])
def test_a_network_by_numpy(rules: str | None) -> None:
    expected = _by_numpy(COTANGENT, [rules, rules])["image"]
    found = _answer(
        build_gradient(relu_net(), batch=2, rules=rules), image=IMAGE, cotangent=COTANGENT
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rules", AT_RELUS)
def test_a_network_by_hooks_of_torch(rules: str) -> None:
    torch = pytest.importorskip("torch")
    network = torch_relu_net(torch)

    def positive(_: Any, dx: Any, dy: Any) -> Any:
        return (torch.clamp((dx if rules == "guided" else dy)[0], min=0),)

    for layer in (1, 3):
        network[layer].register_full_backward_hook(positive)
    image = torch.from_numpy(IMAGE).requires_grad_()
    network(image).backward(torch.from_numpy(COTANGENT))
    found = _answer(
        build_gradient(relu_net(), batch=2, rules=rules), image=IMAGE, cotangent=COTANGENT
    )
    np.testing.assert_allclose(found, image.grad.numpy(), rtol=1e-4, atol=1e-6)


def _at_place(name: str, wanted: Callable[[Place], bool]) -> RuleSet:
    """Return the rule set `name` at those Relus alone whose place is wanted."""
    choose = RULE_SETS[name].choose
    return RuleSet(
        f"{name} somewhere", lambda node, place: choose(node, place) if wanted(place) else None
    )


@pytest.mark.parametrize("rules", AT_RELUS)
@pytest.mark.parametrize("position", [0, 1])
def test_a_rule_at_one_relu_alone(rules: str, position: int) -> None:
    some = _at_place(rules, lambda place: place.same == position)
    at = [rules if i == position else None for i in range(2)]
    expected = _by_numpy(COTANGENT, at)["image"]
    actual = _answer(
        build_gradient(relu_net(), batch=2, rules=some), image=IMAGE, cotangent=COTANGENT
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
    plain = _by_numpy(COTANGENT, [None, None])["image"]
    assert not np.allclose(actual, plain, rtol=1e-2)


@pytest.mark.parametrize("rules", AT_RELUS)
def test_with_respect_to_a_tensor_inside(rules: str) -> None:
    model = build_gradient(relu_net(), batch=2, rules=rules, wrt="r1")
    expected = _by_numpy(COTANGENT, [None, rules])["r1"]
    actual = _answer(model, image=IMAGE, cotangent=COTANGENT)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_the_places_of_a_network() -> None:
    places: dict[tuple[str, int], Place] = {}

    def choose(node: Node, place: Place) -> None:
        places[node.op_type, place.same] = place

    with pytest.raises(GradientUnavailable, match="'looking' changes no operator"):
        build_gradient(relu_net(), rules=RuleSet("looking", choose))
    order = sorted(places, key=lambda key: places[key].index)
    assert order == [
        ("Conv", 0),
        ("Relu", 0),
        ("Conv", 1),
        ("Relu", 1),
        ("GlobalAveragePool", 0),
        ("Flatten", 0),
        ("MatMul", 0),
    ]
    assert {place.nodes for place in places.values()} == {7}
    assert {place.layers for place in places.values()} == {3}
    assert places["Relu", 1].same_nodes == 2
    layers = {key: place.layer for key, place in places.items() if place.layer is not None}
    assert layers == {("Conv", 0): 0, ("Conv", 1): 1, ("MatMul", 0): 2}
    assert [key for key in places if places[key].first_layer] == [("Conv", 0)]
    assert [key for key in places if places[key].last_layer] == [("MatMul", 0)]


class Gain(RuleOptions):
    """How much more of the cotangent passes a Relu."""

    gain: float = 2.0


def test_options_of_a_rule_set_stand_in_the_metadata() -> None:
    options = Gain(gain=3.0)

    def more(op: Emitter, node: Node, dy: ir.Value) -> ir.Value:
        return op.Mul(dy, options.gain)

    rule = Rule("Relu", more, (), broadcasting=False)
    rules = RuleSet(
        "more", lambda node, _: rule if node.op_type == "Relu" else None, options=options
    )
    model = build_gradient(_doubly_negated(), rules=rules)
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    assert metadata[METADATA] == "more"
    assert json.loads(metadata[OPTIONS_METADATA]) == {"gain": 3.0}
    x, dy = np.array([[1, -1]], np.float32), np.array([[5, 7]], np.float32)
    np.testing.assert_array_equal(_answer(model, x=x, cotangent=dy), 3 * dy)


def _doubly_negated() -> onnx.ModelProto:
    """y = relu(-(-x))"""
    return onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1,2] x) => (float[1,2] y) '
        "{ a = Neg(x) b = Neg(a) y = Relu(b) }"
    )


def test_passes_come_before_the_rules_are_chosen() -> None:
    """A rule for a Relu right behind the input has an effect only once the signs are gone."""

    def without_signs(model: ir.Model) -> None:
        for node in list(model.graph):
            before = node.inputs[0].producer()
            if node.op_type == "Neg" and before is not None and before.op_type == "Neg":
                ir.convenience.replace_all_uses_with(node.outputs[0], before.inputs[0])
                model.graph.remove([node], safe=True)

    guided = RULE_SETS["guided"].choose

    def at_the_input(node: Node, place: Place) -> Rule | None:
        return guided(node, place) if place.index == 0 else None

    rules = RuleSet("at the input", at_the_input)
    with pytest.raises(GradientUnavailable, match="changes no operator"):
        build_gradient(_doubly_negated(), rules=rules)
    rules = RuleSet("at the input", at_the_input, passes=(without_signs,))
    x, dy = np.array([[1, -1]], np.float32), np.array([[-5, 7]], np.float32)
    model = build_gradient(_doubly_negated(), rules=rules)
    np.testing.assert_array_equal(_answer(model, x=x, cotangent=dy), [[0, 0]])
    x = -x
    np.testing.assert_array_equal(_answer(model, x=x, cotangent=dy), [[0, 7]])


def test_a_rule_set_may_know_an_operator_that_the_table_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(RULES, "Relu")
    with pytest.raises(GradientUnavailable, match="no gradient rule for: Relu"):
        build_gradient(_doubly_negated())
    model = build_gradient(_doubly_negated(), rules="deconvnet")
    x, dy = np.array([[1, -1]], np.float32), np.array([[-5, 7]], np.float32)
    np.testing.assert_array_equal(_answer(model, x=x, cotangent=dy), [[0, 7]])


def test_the_graph_says_which_rules_made_it() -> None:
    for rules in (None, *RULE_SETS):
        model = build_gradient(relu_net(), batch=2, rules=rules)
        said = {prop.key: prop.value for prop in model.metadata_props}
        assert said.get(METADATA) == rules


@pytest.mark.parametrize("rules", AT_RELUS)
def test_a_model_without_relu_is_refused(rules: str) -> None:
    with pytest.raises(GradientUnavailable, match=f"'{rules}' changes no operator on the way"):
        build_gradient(relu_net("Sigmoid"), rules=rules)


def test_a_relu_off_the_way_does_not_count() -> None:
    with pytest.raises(GradientUnavailable, match="on the way to 'scores'"):
        build_gradient(relu_net(), rules="guided", wrt="r2")


def test_deeplift_by_name_adds_up_over_pairs() -> None:
    dy = np.repeat(COTANGENT[:1], 2, 0)
    model = build_gradient(relu_net(), batch=2, rules="deeplift")
    multipliers = _answer(model, image=IMAGE, cotangent=dy)
    scores = Session(relu_net(), choose_provider("cpu"), 1).run({"image": IMAGE}, ["scores"])[0]
    difference = float((dy[0] * (scores[0] - scores[1])).sum())
    np.testing.assert_array_equal(multipliers[0], multipliers[1])
    assert float((multipliers[0] * (IMAGE[0] - IMAGE[1])).sum()) == pytest.approx(difference, 1e-4)
    with pytest.raises(GradientUnavailable, match=r"hold pairs.*--batch 2"):
        build_gradient(relu_net(), rules="deeplift")


def test_an_unknown_rule_set_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'guided'"):
        build_gradient(relu_net(), rules="guide")


def test_difference_quotients_do_not_check_it() -> None:
    with pytest.raises(UsageError, match="'guided' gives is not the gradient"):
        check_gradient(build_gradient(relu_net(), rules="guided"))


def test_the_command_line_knows_every_rule_set() -> None:
    literal, _ = typing.get_args(typing.get_args(flags.GradientRules)[0])
    assert typing.get_args(literal) == tuple(RULE_SETS)
