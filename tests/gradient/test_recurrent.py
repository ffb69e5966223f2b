"""The gradient of recurrent layers, against PyTorch's own layers and against differences."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient import build_gradient
from leap_audit.run import Session, choose_provider
from tests.builders.recurrent import BATCH, HIDDEN, STEPS, WIDTH, layer

CPU = choose_provider("cpu")
TORCH_GATES = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}
"""Where PyTorch's gates (i, f, g, o and r, z, n) stand among ONNX's (i, o, f, c and z, r, h)."""


def _image() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((BATCH, STEPS, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("output", ["Y", "Y_h", "Y_c"])
@pytest.mark.parametrize("op_type", ["LSTM", "GRU", "RNN"])
def test_gradient_against_torch(op_type: str, output: str, direction: str) -> None:
    torch = pytest.importorskip("torch")
    if output == "Y_c" and op_type != "LSTM":
        pytest.skip(f"{op_type} has no cell")
    options = {"linear_before_reset": 1} if op_type == "GRU" else {}
    model = layer(op_type, outputs=output, direction=direction, first=False, **options)
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    both = direction == "bidirectional"
    theirs = getattr(torch.nn, op_type)(WIDTH, HIDDEN, bidirectional=both)
    for d in range(1 + both):
        suffix = "_l0_reverse" if d else "_l0"
        bias = weights["B"][d].reshape(2, -1)
        parts = {
            "weight_ih": weights["W"][d],
            "weight_hh": weights["R"][d],
            "bias_ih": bias[0],
            "bias_hh": bias[1],
        }
        for name, array in parts.items():
            rows = array.reshape(-1, HIDDEN, *array.shape[1:])[TORCH_GATES[op_type]]
            data = torch.from_numpy(rows.reshape(array.shape).copy())
            getattr(theirs, name + suffix).data = data
    image = torch.from_numpy(_image()).requires_grad_()
    whole, last = theirs(image.transpose(0, 1))
    states = last if isinstance(last, tuple) else (last,)
    whole = whole.reshape(STEPS, BATCH, 1 + both, HIDDEN).transpose(1, 2)
    y = {"Y": whole, "Y_h": states[0], "Y_c": states[-1]}[output]
    cotangent = np.random.default_rng(2).standard_normal(tuple(y.shape)).astype(np.float32)
    y.backward(torch.from_numpy(cotangent))
    session = Session(build_gradient(model, batch=BATCH), CPU, threads=1)
    have, dx = session.run({"image": _image(), "cotangent": cotangent})
    np.testing.assert_allclose(have, y.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx, image.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("op_type", "options"),
    [
        ("LSTM", {"peepholes": True, "direction": "reverse"}),
        ("LSTM", {"lengths": [2, 4], "direction": "bidirectional"}),
        ("LSTM", {"input_forget": 1, "clip": 0.8}),
        ("GRU", {"lengths": [3, 1], "direction": "reverse"}),
        ("GRU", {"activations": ["HardSigmoid", "ScaledTanh"], "activation_beta": [0.5, 0.8]}),
        ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5]}),
        ("RNN", {"lengths": [4, 2], "clip": 0.6}),
    ],
    ids=str,
)
def test_gradient_against_differences(op_type: str, options: dict[str, Any]) -> None:
    if "HardSigmoid" in str(options):
        options = {**options, "activation_alpha": [0.2, 0.9]}
    model = layer(op_type, outputs="Y", **options)
    forward = Session(model, CPU, threads=1)
    session = Session(build_gradient(model, batch=BATCH), CPU, threads=1)
    x, rng = _image(), np.random.default_rng(3)
    cotangent = rng.standard_normal(forward.run({"image": x})[0].shape).astype(np.float32)
    _, dx = session.run({"image": x, "cotangent": cotangent})
    assert np.abs(dx).max() > 1e-3
    for _ in range(4):
        direction = rng.standard_normal(x.shape).astype(np.float32)
        ahead, behind = (
            float((forward.run({"image": x + step * direction})[0] * cotangent).sum(dtype=float))
            for step in (1e-3, -1e-3)
        )
        quotient = (ahead - behind) / 2e-3
        assert quotient == pytest.approx(float((dx * direction).sum()), rel=0.01, abs=0.01)


def test_first_states_that_are_inputs_have_a_gradient() -> None:
    model = layer("LSTM", outputs="Y")
    kept = [t for t in model.graph.initializer if t.name != "initial_h"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    # It is made of the picture, so that its part counts too.
    nodes = [
        onnx.helper.make_node("ReduceSum", ["image"], ["total"], keepdims=0),
        onnx.helper.make_node("Mul", ["total", "ones"], ["initial_h"]),
    ]
    ones = np.full((1, BATCH, HIDDEN), 0.1, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(ones, "ones"))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    forward = Session(model, CPU, threads=1)
    x = _image()
    cotangent = np.ones((STEPS, 1, BATCH, HIDDEN), np.float32)
    session = Session(build_gradient(model, batch=BATCH), CPU, threads=1)
    _, dx = session.run({"image": x, "cotangent": cotangent})
    ahead, behind = (float(forward.run({"image": x + s})[0].sum()) for s in (1e-3, -1e-3))
    assert (ahead - behind) / 2e-3 == pytest.approx(float(dx.sum()), rel=0.01)


def test_computed_weights_are_refused_by_name() -> None:
    model = layer("RNN", outputs="Y_h")
    model.graph.node[1].input[2] = "R_computed"
    doubled = onnx.helper.make_node("Mul", ["mean", "R"], ["R_computed"])
    model.graph.node.insert(1, doubled)
    mean = onnx.helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0)
    model.graph.node.insert(1, mean)
    with pytest.raises(GradientUnavailable, match=r"RNN \(1 node, e.g. 'layer'\)"):
        build_gradient(model, batch=BATCH)
