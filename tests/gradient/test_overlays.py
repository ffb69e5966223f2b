"""Rule sets: what they do at Relu, by hand, by NumPy and by PyTorch's hooks."""

import typing
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from leap_audit.cli import flags
from leap_audit.errors import GradientUnavailable, UsageError
from leap_audit.gradient import build_gradient, check_gradient
from leap_audit.gradient.rulesets import METADATA, OVERLAYS
from leap_audit.run import Session, choose_provider
from tests.builders.networks import WEIGHTS, relu_net, torch_relu_net

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
    for rules in OVERLAYS:
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


@pytest.mark.parametrize("rules", [None, *OVERLAYS])
def test_a_network_by_numpy(rules: str | None) -> None:
    w1, w2, fc = (w.astype(np.float64) for w in WEIGHTS.values())
    first = _conv(IMAGE.astype(np.float64), w1)
    second = _conv(np.maximum(first, 0), w2)
    dy = COTANGENT @ fc.T
    dy = np.broadcast_to(dy[:, :, None, None], second.shape) / 49
    dy = _conv_back(AT_RELU[rules](second, dy), w2)
    expected = _conv_back(AT_RELU[rules](first, dy), w1)
    found = _answer(
        build_gradient(relu_net(), batch=2, rules=rules), image=IMAGE, cotangent=COTANGENT
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rules", OVERLAYS)
def test_a_network_by_hooks_of_torch(rules: str) -> None:
    torch = pytest.importorskip("torch")
    network = torch_relu_net(torch)

    def positive(_, dx, dy):
        return (torch.clamp((dx if rules == "guided" else dy)[0], min=0),)

    for layer in (1, 3):
        network[layer].register_full_backward_hook(positive)
    image = torch.from_numpy(IMAGE).requires_grad_()
    network(image).backward(torch.from_numpy(COTANGENT))
    found = _answer(
        build_gradient(relu_net(), batch=2, rules=rules), image=IMAGE, cotangent=COTANGENT
    )
    np.testing.assert_allclose(found, image.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_the_graph_says_which_rules_made_it() -> None:
    for rules in (None, *OVERLAYS):
        model = build_gradient(relu_net(), rules=rules)
        said = {prop.key: prop.value for prop in model.metadata_props}
        assert said.get(METADATA) == rules


@pytest.mark.parametrize("rules", OVERLAYS)
def test_a_model_without_relu_is_refused(rules: str) -> None:
    with pytest.raises(GradientUnavailable, match=f"'{rules}' changes Relu alone"):
        build_gradient(relu_net("Sigmoid"), rules=rules)


def test_a_relu_off_the_way_does_not_count() -> None:
    with pytest.raises(GradientUnavailable, match="on the way to 'scores'"):
        build_gradient(relu_net(), rules="guided", wrt="r2")


def test_an_unknown_rule_set_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'guided'"):
        build_gradient(relu_net(), rules="guide")


def test_difference_quotients_do_not_check_it() -> None:
    with pytest.raises(UsageError, match="'guided' gives is not the gradient"):
        check_gradient(build_gradient(relu_net(), rules="guided"))


def test_the_command_line_knows_every_rule_set() -> None:
    literal, _ = typing.get_args(typing.get_args(flags.GradientRules)[0])
    assert typing.get_args(literal) == tuple(OVERLAYS)
