"""The check of a gradient: it accuses what is wrong, and nothing that it cannot see."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from leap_audit.errors import UsageError
from leap_audit.gradient import Agreement, build_gradient, check_gradient
from tests.builders.networks import conv_net, residual_net, transformer

NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    "convolutions": conv_net,
    "residual": residual_net,
    "transformer": transformer,
}


def _behind(model: onnx.ModelProto, nodes: str, **arrays: np.ndarray) -> onnx.ModelProto:
    """The gradient graph with nodes between its gradient, `right`, and the output, `wrong`."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        for i, name in enumerate(node.output):
            if name == "image_grad":
                node.output[i] = "right"
        for i, name in enumerate(node.input):
            if name == "image_grad":
                node.input[i] = "right"
    text = '<ir_version: 10, opset_import: ["": 21]> g () => () { ' + nodes + " }"
    changed.graph.node.extend(parser.parse_model(text).graph.node)
    changed.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items())
    return changed


def _only(shape: tuple[int, ...], kept: slice, axis: int) -> np.ndarray:
    mask = np.zeros(shape, np.float32)
    mask[tuple(kept if i == axis else slice(None) for i in range(len(shape)))] = 1
    return mask


WRONG: dict[str, Callable[[tuple[int, ...]], tuple[str, dict[str, np.ndarray]]]] = {
    "ten per cent too large": lambda _: (
        "image_grad = Mul(right, factor)",
        {"factor": np.array(1.1, np.float32)},
    ),
    "of the other sign": lambda _: ("image_grad = Neg(right)", {}),
    "shifted": lambda shape: (
        "a, b = Split<axis=-1>(right, sizes) image_grad = Concat<axis=-1>(b, a)",
        {"sizes": np.array([1, shape[-1] - 1])},
    ),
    "a half missing": lambda shape: (
        "image_grad = Mul(right, mask)",
        {"mask": _only(shape, slice(0, shape[-1] // 2), len(shape) - 1)},
    ),
    "all missing": lambda _: (
        "image_grad = Mul(right, factor)",
        {"factor": np.array(0, np.float32)},
    ),
    "no number": lambda _: (
        "image_grad = Mul(right, factor)",
        {"factor": np.array(np.nan, np.float32)},
    ),
    "a part doubled": lambda shape: (
        "image_grad = Mul(right, mask)",
        {"mask": 1 + _only(shape, slice(0, 1), 1)},
    ),
    "a constant added": lambda _: (
        "image_grad = Add(right, factor)",
        {"factor": np.array(0.5, np.float32)},
    ),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_right_gradient_agrees(network: str) -> None:
    found = check_gradient(build_gradient(NETWORKS[network]()), threads=1)
    assert found.agrees
    assert found.checked
    assert found.directions >= 6
    assert "Checked against difference quotients along" in found.sentence


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_gradient_does_not(network: str, wrong: str) -> None:
    gradient = build_gradient(NETWORKS[network]())
    shape = tuple(d.dim_value for d in gradient.graph.input[0].type.tensor_type.shape.dim)
    nodes, arrays = WRONG[wrong](shape)
    assert not check_gradient(_behind(gradient, nodes, **arrays), threads=1).agrees


def _rough(height: float, width: float) -> onnx.ModelProto:
    """A sum of a line and of waves that are so short that single precision hardly shows them."""
    rng = np.random.default_rng(0)
    weights = {
        "line": rng.standard_normal((64, 3)).astype(np.float32),
        "waves": (rng.standard_normal((64, 64)) / width).astype(np.float32),
        "heights": (height * rng.standard_normal((64, 3))).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["image", "line"], ["level"]),
        helper.make_node("MatMul", ["image", "waves"], ["phases"]),
        helper.make_node("Sin", ["phases"], ["sines"]),
        helper.make_node("MatMul", ["sines", "heights"], ["rough"]),
        helper.make_node("Add", ["level", "rough"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "rough",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(a, name) for name, a in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("width", [1e-3, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("height", [1e-4, 1e-2, 1.0])
def test_a_right_gradient_of_rough_outputs_is_not_accused(height: float, width: float) -> None:
    assert check_gradient(build_gradient(_rough(height, width)), threads=1).agrees


def test_what_could_not_be_checked_is_said() -> None:
    found = check_gradient(build_gradient(_rough(1.0, 1e-6)), threads=1)
    assert not found.checked
    assert found.sentence.startswith("The gradient could not be checked: along all ")
    assert "rough in single precision" in found.sentence
    some = Agreement(0.01, 4, 2)
    assert some.sentence.count("difference quotients") == 2
    assert "Along 2 more" in some.sentence


def test_a_rule_set_is_still_refused() -> None:
    with pytest.raises(UsageError, match="is not the gradient"):
        check_gradient(build_gradient(residual_net(), rules="guided"))
