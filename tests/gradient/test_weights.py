"""Gradients by weights: the names of the file, summed over the batch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from leap_audit.cli import app
from leap_audit.errors import GradientUnavailable
from leap_audit.gradient import build_gradient, check_gradient
from leap_audit.run import Session, choose_provider
from tests.builders.networks import conv_net

BATCH = 3
WEIGHTS = ["w1", "b1", "w2", "fc", "b3"]


def _run(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = Session(model, choose_provider("cpu"), threads=1)
    return dict(zip(session.outputs, session.run(inputs), strict=True))


def _model(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], x: list[int], y: list[int]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *x])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", *y])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _picture() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    image = rng.standard_normal((BATCH, 3, 8, 8)).astype(np.float32)
    return image, rng.standard_normal((BATCH, 5)).astype(np.float32)


def _torch_gradients(image: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
    """Of `conv_net`, written out."""
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    w = {
        t.name: torch.tensor(numpy_helper.to_array(t), requires_grad=True)
        for t in conv_net().graph.initializer
        if t.name in WEIGHTS
    }
    h = f.max_pool2d(torch.relu(f.conv2d(torch.tensor(image), w["w1"], w["b1"], padding=1)), 2)
    s = torch.sigmoid(f.conv2d(h, w["w2"], stride=2, padding=1)).mean((2, 3))
    y = s @ w["fc"] + w["b3"]
    found = torch.autograd.grad((y * torch.tensor(dy)).sum(), list(w.values()))
    return {name: g.numpy() for name, g in zip(w, found, strict=True)}


@pytest.mark.parametrize(
    "given", [{}, {"batch": 1}, {"opset": 11}, {"weights_as_inputs": True}], ids=str
)
def test_every_weight_of_a_network_has_torchs_gradient(given: dict[str, Any]) -> None:
    image, dy = _picture()
    graph = build_gradient(conv_net(**given), batch=BATCH, wrt=WEIGHTS)
    found = _run(graph, image=image, cotangent=dy)
    assert list(found) == ["scores", *(f"{name}_grad" for name in WEIGHTS)]
    for name, want in _torch_gradients(image, dy).items():
        np.testing.assert_allclose(found[f"{name}_grad"], want, rtol=1e-4, atol=1e-5)


def test_weights_and_inputs_together() -> None:
    image, dy = _picture()
    both = build_gradient(conv_net(), batch=BATCH, wrt=["w2", "image", "r1"])
    alone = build_gradient(conv_net(), batch=BATCH)
    found = _run(both, image=image, cotangent=dy)
    want = _run(alone, image=image, cotangent=dy)
    np.testing.assert_allclose(found["image_grad"], want["image_grad"], rtol=1e-4, atol=1e-6)
    assert found["w2_grad"].shape == (4, 6, 3, 3)
    assert found["r1_grad"].shape == found["r1"].shape


def test_the_weights_keep_their_names_and_the_graph_holds_for_others() -> None:
    # A flipped copy of a kernel, or a scale folded into one, would go stale.
    graph = build_gradient(conv_net(), batch=BATCH, wrt=["image", *WEIGHTS])
    stored = {t.name: t for t in graph.graph.initializer}
    assert set(WEIGHTS) <= set(stored)
    other = conv_net()
    for model in (graph, other):
        for tensor in model.graph.initializer:
            if tensor.name in WEIGHTS:
                numbers = numpy_helper.to_array(tensor)[..., ::-1] * np.float32(1.5)
                tensor.CopyFrom(numpy_helper.from_array(numbers.copy(), tensor.name))
    image, dy = _picture()
    found = _run(graph, image=image, cotangent=dy)
    want = _run(
        build_gradient(other, batch=BATCH, wrt=["image", *WEIGHTS]), image=image, cotangent=dy
    )
    for name, numbers in want.items():
        np.testing.assert_allclose(found[name], numbers, rtol=1e-5, atol=1e-6)


def test_the_check_moves_weights() -> None:
    graph = build_gradient(conv_net(), batch=BATCH, wrt=WEIGHTS)
    agreement = check_gradient(graph)
    assert agreement.checked
    assert agreement.agrees
    for node in graph.graph.node:  # the first layer's kernel gradient, at the wrong pixels
        if node.op_type == "Conv" and list(node.attribute[-1].ints) == [1, 1, 1, 1]:
            last = node
    pads = next(a for a in last.attribute if a.name == "pads")
    pads.ints[:] = [0, 1, 2, 1]
    assert not check_gradient(graph).agrees


def test_a_weight_read_twice_gets_the_sum() -> None:
    w = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    x, dy = np.array([[1.0, -1.0]], np.float32), np.array([[2.0, 5.0]], np.float32)
    graph = build_gradient(_model(nodes, {"w": w}, [2], [2]), wrt="w")
    found = _run(graph, x=x, cotangent=dy)["w_grad"]
    np.testing.assert_allclose(found, (x @ w).T @ dy + x.T @ (dy @ w.T), rtol=1e-6)


def test_equal_weights_are_not_merged() -> None:
    w = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("MatMul", ["h", "v"], ["y"]),
    ]
    model = _model(nodes, {"w": w, "v": w}, [2], [2])
    x, dy = np.array([[1.0, -1.0]], np.float32), np.array([[2.0, 5.0]], np.float32)
    for asked in (["w"], ["v"], ["w", "v"]):
        found = _run(build_gradient(model, wrt=asked), x=x, cotangent=dy)
        want = {"w": x.T @ (dy @ w.T), "v": (x @ w).T @ dy}
        for name in asked:
            np.testing.assert_allclose(found[f"{name}_grad"], want[name], rtol=1e-6)


def test_a_weight_that_the_graph_transposes_and_one_in_a_constant() -> None:
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    shift = np.array([0.5, -1.0, 2.0], np.float32)
    nodes = [
        helper.make_node("Constant", [], ["shift"], value=numpy_helper.from_array(shift)),
        helper.make_node("Transpose", ["w"], ["turned"]),
        helper.make_node("MatMul", ["x", "turned"], ["h"]),
        helper.make_node("Mul", ["h", "shift"], ["y"]),
    ]
    x = np.array([[1.0, -1.0], [0.5, 2.0]], np.float32)
    dy = np.array([[2.0, 5.0, -1.0], [1.0, 0.0, 3.0]], np.float32)
    model = _model(nodes, {"w": w}, [2], [3])
    found = _run(build_gradient(model, batch=2, wrt=["w", "shift"]), x=x, cotangent=dy)
    np.testing.assert_allclose(found["w_grad"], (dy * shift).T @ x, rtol=1e-6)
    np.testing.assert_allclose(found["shift_grad"], (dy * (x @ w.T)).sum(0), rtol=1e-6)


def test_batch_normalisation_gather_and_layer_normalisation() -> None:
    """Against difference quotients, of each weight by itself."""
    rng = np.random.default_rng(0)
    weights = {
        "scale": rng.uniform(0.5, 2, 4),
        "shift": rng.standard_normal(4),
        "mean": rng.standard_normal(4),
        "var": rng.uniform(0.5, 2, 4),
        "table": rng.standard_normal((3, 5)),
        "gain": rng.uniform(0.5, 2, (4, 5)),
        "bias": rng.standard_normal((4, 5)),
    }
    arrays = {name: w.astype(np.float32) for name, w in weights.items()}
    rows = np.array([2, 0, 2, 2])
    nodes = [
        helper.make_node("BatchNormalization", ["x", "scale", "shift", "mean", "var"], ["b"]),
        helper.make_node("Gather", ["table", "rows"], ["rows_of_it"]),
        helper.make_node("Add", ["b", "rows_of_it"], ["h"]),
        helper.make_node("LayerNormalization", ["h", "gain", "bias"], ["y"], axis=1),
    ]
    model = _model(nodes, {**arrays, "rows": rows}, [4, 5], [4, 5])
    for name in weights:
        agreement = check_gradient(build_gradient(model, batch=2, wrt=name))
        assert agreement.checked, name
        assert agreement.agrees, name
    with pytest.raises(GradientUnavailable, match="'rows' holds whole numbers"):
        build_gradient(model, wrt="rows")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("w4", "no tensor called 'w4'; did you mean 'w"),
        ("shape", "'shape' holds whole numbers"),
        ("idle", "does not depend on 'idle'"),
    ],
)
def test_what_is_no_weight_is_said(asked: str, sentence: str) -> None:
    model = conv_net()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "idle"))
    with pytest.raises(GradientUnavailable, match=sentence):
        build_gradient(model, wrt=asked)


def test_the_command_takes_weights(tmp_path: Path) -> None:
    model, out = tmp_path / "net.onnx", tmp_path / "net.grad.onnx"
    onnx.save(conv_net(), model)
    asked = ["--wrt", "w1", "--wrt", "b3", "-o", str(out), "--batch", str(BATCH), "--check"]
    result = CliRunner().invoke(app, ["gradient", str(model), *asked])
    assert result.exit_code == 0, result.output
    assert "outputs scores, w1_grad, b3_grad" in result.output
    image, dy = _picture()
    found = _run(onnx.load(out), image=image, cotangent=dy)
    np.testing.assert_allclose(found["b3_grad"], dy.sum(0), rtol=1e-5)
