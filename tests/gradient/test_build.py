"""build_gradient: its signature, and its numbers against finite differences and PyTorch."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from leap_audit.errors import GradientUnavailable, ModelRefused
from leap_audit.gradient import RULES, build_gradient
from leap_audit.run import Session, choose_provider
from tests.builders.networks import conv_net


def _load(model: onnx.ModelProto) -> Session:
    return Session(model, choose_provider("cpu"), threads=1)


def _shapes(values: Any) -> dict[str, list[int]]:
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("weights_as_inputs", [False, True])
def test_signature(batch: int | str, weights_as_inputs: bool) -> None:
    model = conv_net(batch, weights_as_inputs=weights_as_inputs)
    before = model.SerializeToString(deterministic=True)
    graph = build_gradient(model, batch=3).graph
    assert _shapes(graph.input) == {"image": [3, 3, 8, 8], "cotangent": [3, 5]}
    assert _shapes(graph.output) == {"scores": [3, 5], "image_grad": [3, 3, 8, 8]}
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}
    assert model.SerializeToString(deterministic=True) == before


def test_a_path_is_a_model_too(tmp_path: Path) -> None:
    onnx.save(conv_net(), tmp_path / "net.onnx")
    graph = build_gradient(str(tmp_path / "net.onnx")).graph
    assert _shapes(graph.input)["image"] == [1, 3, 8, 8]


def test_gradient_against_finite_differences() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    cotangent = rng.standard_normal((2, 5)).astype(np.float32)
    graph = _load(build_gradient(conv_net(1), batch=2))
    scores, dx = graph.run({"image": x, "cotangent": cotangent})
    forward = _load(conv_net())
    np.testing.assert_allclose(scores, forward.run({"image": x})[0], rtol=1e-4, atol=1e-5)
    for _ in range(4):
        direction = rng.standard_normal(x.shape).astype(np.float32)
        ahead, behind = (
            float((forward.run({"image": x + step * direction})[0] * cotangent).sum())
            for step in (1e-3, -1e-3)
        )
        quotient = (ahead - behind) / 2e-3
        assert quotient == pytest.approx(float((dx * direction).sum()), rel=0.02, abs=0.01)


def test_gradient_against_torch() -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model = conv_net()
    weights = {
        t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
        for t in model.graph.initializer
    }
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    cotangent = rng.standard_normal((2, 5)).astype(np.float32)
    image = torch.from_numpy(x).requires_grad_()
    hidden = functional.relu(functional.conv2d(image, weights["w1"], weights["b1"], padding=1))
    hidden = functional.conv2d(functional.max_pool2d(hidden, 2), weights["w2"], None, 2, 1)
    scores = torch.sigmoid(hidden).mean((2, 3)) @ weights["fc"] + weights["b3"]
    scores.backward(torch.from_numpy(cotangent))
    (dx,) = _load(build_gradient(model, batch=2)).run(
        {"image": x, "cotangent": cotangent}, ["image_grad"]
    )
    np.testing.assert_allclose(dx, image.grad.numpy(), rtol=1e-4, atol=1e-6)


def _small(nodes: Any, names: dict[str, list[int]], output: str = "y") -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(op, reads, [writes], name=writes) for op, reads, writes in nodes],
        "small",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in names.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_the_gradient_of_a_sum_is_the_cotangent_twice() -> None:
    model = _small([("Add", ["a", "b"], "y")], {"a": [1, 2], "b": [1, 2]})
    session = _load(build_gradient(model))
    assert session.inputs == ("a", "b", "cotangent")
    assert session.outputs == ("y", "a_grad", "b_grad")
    one, dy = np.ones((1, 2), np.float32), np.array([[2, 3]], np.float32)
    _, da, db = session.run({"a": one, "b": one, "cotangent": dy})
    np.testing.assert_array_equal(da, dy)
    np.testing.assert_array_equal(db, dy)


def test_inner_tensors_may_have_the_names_of_the_signature() -> None:
    model = _small([("Exp", ["x"], "x_grad"), ("Neg", ["x_grad"], "y")], {"x": [1, 2]})
    session = _load(build_gradient(model))
    zero, dy = np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32)
    y, dx = session.run({"x": zero, "cotangent": dy})
    np.testing.assert_array_equal(y, -dy)
    np.testing.assert_array_equal(dx, -dy)


def test_a_models_own_cotangent_is_renamed() -> None:
    model = _small([("Mul", ["x", "cotangent"], "y")], {"x": [1, 2], "cotangent": [1, 2]})
    graph = build_gradient(model)
    session = _load(graph)
    assert session.inputs == ("x", "cotangent_1", "cotangent")
    assert session.outputs == ("y", "x_grad", "cotangent_1_grad")
    said = {prop.key: prop.value for prop in graph.metadata_props}
    assert json.loads(said["leap_audit.renamed"]) == {"cotangent_1": "cotangent"}
    numbers = {"x": [[2, 3]], "cotangent_1": [[5, 7]], "cotangent": [[1, 10]]}
    given = {name: np.array(x, np.float32) for name, x in numbers.items()}
    _, dx, dc = session.run(given)
    np.testing.assert_array_equal(dx, [[5, 70]])
    np.testing.assert_array_equal(dc, [[2, 30]])


def test_what_is_not_renamed_is_not_spoken_of() -> None:
    graph = build_gradient(_small([("Exp", ["x"], "y")], {"x": [1, 2]}))
    assert "leap_audit.renamed" not in {prop.key for prop in graph.metadata_props}


def test_operators_without_a_rule_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "Sinh")
    monkeypatch.delitem(RULES, "Cosh")
    model = _small([("Sinh", ["x"], "a"), ("Cosh", ["a"], "y")], {"x": [1, 2]})
    with pytest.raises(GradientUnavailable, match=r"Cosh .*; Sinh "):
        build_gradient(model)


_ROW = [1, 4]
_CHANNELS = np.array([0.5, -1.0, 2.0, 1.5], np.float32)
_AXIS = np.array([1])
FUNCTIONS: dict[str, tuple[list[int], list[np.ndarray], dict[str, object]]] = {
    "CastLike": (_ROW, [_CHANNELS], {}),
    "Celu": (_ROW, [], {"alpha": 0.5}),
    "Clip": (_ROW, [np.array(-0.5, np.float32)], {}),
    "Elu": (_ROW, [], {}),
    "Gelu": (_ROW, [], {}),
    "GroupNormalization": ([1, 4, 2, 3], [_CHANNELS, _CHANNELS], {"num_groups": 2}),
    "HardSigmoid": (_ROW, [], {}),
    "HardSwish": (_ROW, [], {}),
    "LayerNormalization": (_ROW, [_CHANNELS], {}),
    "LeakyRelu": (_ROW, [], {}),
    "LogSoftmax": (_ROW, [], {}),
    "MeanVarianceNormalization": ([1, 2, 3, 4], [], {}),
    "Mish": (_ROW, [], {}),
    "PRelu": (_ROW, [_CHANNELS], {}),
    "ReduceL1": (_ROW, [_AXIS], {}),
    "ReduceL2": (_ROW, [_AXIS], {}),
    "ReduceLogSum": (_ROW, [_AXIS], {}),
    "ReduceLogSumExp": (_ROW, [_AXIS], {}),
    "ReduceSumSquare": (_ROW, [_AXIS], {}),
    "Relu": (_ROW, [], {}),
    "Selu": (_ROW, [], {}),
    "Shrink": (_ROW, [], {"lambd": 0.6}),
    "Softmax": (_ROW, [], {}),
    "Softplus": (_ROW, [], {}),
    "Softsign": (_ROW, [], {}),
    "ThresholdedRelu": (_ROW, [], {"alpha": 0.7}),
}
"""Operators that ONNX defines by others: the input's shape, constant inputs, attributes."""

WITHOUT_GRADIENT = {
    *("BlackmanWindow", "HammingWindow", "HannWindow", "Range"),  # of no image
    *("DynamicQuantizeLinear", "GreaterOrEqual", "LessOrEqual"),  # to whole numbers
    *("Bernoulli", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"),  # for training
    *("AffineGrid", "CenterCropPad", "SequenceMap"),  # of vectors, shapes and sequences
}


def test_every_operator_that_onnx_defines_by_others_is_considered() -> None:
    schemas: list[Any] = list(onnx.defs.get_all_schemas_with_history())
    defined = {
        schema.name
        for schema in schemas
        if not schema.domain
        and schema.since_version <= 21
        and (schema.has_function or schema.has_context_dependent_function)
    }
    assert defined == set(FUNCTIONS) | WITHOUT_GRADIENT


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operators_that_onnx_defines_by_others_have_a_gradient(name: str) -> None:
    shape, constants, attributes = FUNCTIONS[name]
    names = [f"constant_{i}" for i in range(len(constants))]
    graph = helper.make_graph(
        [helper.make_node(name, ["x", *names], ["y"], **attributes)],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list("abcd"[: len(shape)]))],
        [onnx.numpy_helper.from_array(a, n) for a, n in zip(constants, names, strict=True)],
    )
    opset = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    built = build_gradient(model)
    session = _load(built)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 1.9, shape).astype(np.float32)
    dy = rng.standard_normal(_shapes(built.graph.input)["cotangent"]).astype(np.float32)
    y, dx = session.run({"x": x, "cotangent": dy})
    np.testing.assert_allclose(y, _load(model).run({"x": x})[0], rtol=1e-4, atol=1e-5)
    step = rng.choice([-1 / 256, 1 / 256], shape).astype(np.float32)
    ahead, behind = (_load(model).run({"x": x + s * step})[0] for s in (1, -1))
    quotient = float(((ahead - behind).astype(np.float64) / 2 * dy).sum())
    scale = float(np.abs(dx * step).sum())
    assert quotient == pytest.approx(float((dx * step).sum()), abs=2e-3 * scale)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no such file"):
        build_gradient(tmp_path / "nothing.onnx")
    with pytest.raises(ModelRefused, match="holds no ONNX graph"):
        build_gradient(onnx.ModelProto())


def test_resnet18_agrees_with_autograd(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared / "zoo"
    if not (folder / "tv_resnet18.onnx.gz").exists():
        pytest.skip(f"{folder} has no tv_resnet18")
    monkeypatch.syspath_prepend(str(folder))
    import zoo

    reference = zoo.reference("tv_resnet18", folder)
    session = _load(build_gradient(zoo.load("tv_resnet18", folder)))
    (dx,) = session.run(
        {"input": reference.input, "cotangent": reference.cotangent}, ["input_grad"]
    )
    assert reference.error(dx) < zoo.TOLERANCE
    sys.modules.pop("zoo")
