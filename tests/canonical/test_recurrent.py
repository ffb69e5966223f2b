"""Recurrent layers unrolled: the numbers of ONNX Runtime's own layer, in plain nodes."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from leap_audit.canonical.form import canonicalise, to_proto
from leap_audit.run import Session, choose_provider
from tests.builders.recurrent import BATCH, STEPS, WIDTH, layer

CPU = choose_provider("cpu")
DIRECTIONS = ("forward", "reverse", "bidirectional")
ACTIVATIONS = [
    "Relu",
    "Tanh",
    "Sigmoid",
    "HardSigmoid",
    "Affine",
    "LeakyRelu",
    "ScaledTanh",
    "ThresholdedRelu",
    "Elu",
    "Softsign",
    "Softplus",
]


def _unrolled(model: onnx.ModelProto) -> onnx.ModelProto:
    proto = to_proto(canonicalise(model, batch=BATCH))
    assert not {node.op_type for node in proto.graph.node} & {"LSTM", "GRU", "RNN"}
    return proto


def _assert_same(model: onnx.ModelProto) -> None:
    image = np.random.default_rng(1).standard_normal((BATCH, STEPS, WIDTH)).astype(np.float32)
    wanted = Session(model, CPU, threads=1).run({"image": image})
    found = Session(_unrolled(model), CPU, threads=1).run({"image": image})
    for want, have in zip(wanted, found, strict=True):
        assert np.abs(want).max() > 1e-3
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op_type", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"biases": False, "first": False},
        {"lengths": [2, 4]},
        {"lengths": [4, 1], "first": False},
        {"lengths": [4, 4]},
        {"clip": 0.5},
    ],
    ids=str,
)
def test_unrolled_is_the_layer(op_type: str, direction: str, options: dict[str, Any]) -> None:
    _assert_same(layer(op_type, direction=direction, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"peepholes": True, "first": False, "direction": "bidirectional"},
        {"peepholes": True, "clip": 0.3},
        {"input_forget": 1},
        {"peepholes": True, "input_forget": 1, "direction": "reverse"},
        {"outputs": "Y"},
        {"outputs": "Y_h"},
        {"outputs": "Y_c"},
        {"outputs": "Y_h Y_c", "direction": "bidirectional", "lengths": [3, 4]},
    ],
    ids=str,
)
def test_lstm_alone(options: dict[str, Any]) -> None:
    _assert_same(layer("LSTM", **options))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("options", [{}, {"biases": False}, {"clip": 0.4}, {"lengths": [1, 3]}])
def test_gru_with_the_reset_after_the_product(direction: str, options: dict[str, Any]) -> None:
    _assert_same(layer("GRU", direction=direction, linear_before_reset=1, **options))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("numbers", [True, False])
def test_activations(name: str, numbers: bool) -> None:
    given = {"activation_alpha": [0.6, 0.4], "activation_beta": [0.3, 0.7]} if numbers else {}
    if numbers or name not in ("Affine", "ScaledTanh"):  # by default they give nothing but zeros
        one = {key: value[:1] for key, value in given.items()}
        _assert_same(layer("RNN", activations=[name], **one))
    _assert_same(layer("GRU", activations=["Sigmoid", name], **given))
    _assert_same(layer("LSTM", activations=["Sigmoid", name, "Tanh"], **given))


def test_alphas_and_betas_are_taken_in_turn_by_those_that_have_one() -> None:
    names = ["HardSigmoid", "Affine", "Sigmoid", "LeakyRelu"]
    given = {"activation_alpha": [0.1, 0.2, 0.3], "activation_beta": [0.4, 0.5]}
    _assert_same(layer("GRU", direction="bidirectional", activations=names, **given))


@pytest.mark.parametrize("op_type", ["LSTM", "GRU", "RNN"])
def test_layout_1_is_layout_0_with_the_batch_first(op_type: str) -> None:
    # ONNX Runtime's CPU has no kernel for it.
    image = np.random.default_rng(1).standard_normal((BATCH, STEPS, WIDTH)).astype(np.float32)
    model = layer(op_type, layout=1, first=False)
    found = Session(_unrolled(model), CPU, threads=1).run({"image": image})
    wanted = Session(layer(op_type, first=False), CPU, threads=1).run({"image": image})
    for have, want, perm in zip(found, wanted, [(2, 0, 1, 3), *[(1, 0, 2)] * 2], strict=False):
        np.testing.assert_allclose(have, want.transpose(perm), rtol=1e-4, atol=1e-5)
    states = ReferenceEvaluator(model).run(None, {"image": image})[1]
    np.testing.assert_allclose(found[1].ravel(), states.ravel(), rtol=1e-4, atol=1e-5)


def test_the_check_of_the_canonical_form_covers_it() -> None:
    canonicalise(layer("LSTM", direction="bidirectional"), batch=BATCH, provider=CPU)


def test_a_layer_that_the_input_does_not_reach_stays() -> None:
    model = layer("LSTM", outputs="Y_h")
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["image"], ["float_image"], to=1))
    model.graph.node[1].input[0] = "float_image"
    proto = to_proto(canonicalise(model, batch=BATCH, provider=CPU))
    assert "LSTM" in {node.op_type for node in proto.graph.node}


def test_computed_weights_leave_the_layer_as_it_is() -> None:
    model = layer("RNN", outputs="Y_h")
    doubled = onnx.helper.make_node("Mul", ["image_mean", "R"], ["R_computed"])
    mean = onnx.helper.make_node("ReduceMean", ["image"], ["image_mean"], keepdims=0)
    model.graph.node[1].input[2] = "R_computed"
    model.graph.node.insert(1, doubled)
    model.graph.node.insert(1, mean)
    proto = to_proto(canonicalise(model, batch=BATCH, provider=CPU))
    assert "RNN" in {node.op_type for node in proto.graph.node}
