"""One interface to differentiate: ONNX Runtime, else PyTorch, and it says which and why."""

import inspect
import sys
import textwrap
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from leap_audit.errors import EngineFallback, GradientUnavailable, ModelRefused, RuntimeMissing
from leap_audit.gradient import RULES, OnnxGradient, build_gradient, differentiable
from leap_audit.run import Session, choose_provider
from leap_audit.run.fallback import TorchGradient, from_onnx
from tests.builders.networks import relu_net, torch_relu_net

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((5, 3, 7, 7)).astype(np.float32)
COTANGENT = RNG.standard_normal((5, 6)).astype(np.float32)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture
def expected() -> list[np.ndarray]:
    """The value and the gradient, from the graph that build_gradient makes of five items."""
    session = Session(build_gradient(relu_net(), batch=5), choose_provider("cpu"), 1)
    return session.run({"image": IMAGE, "cotangent": COTANGENT})


@pytest.fixture
def unavailable(expected: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a rule away that the network needs; `expected` was made before."""
    monkeypatch.delitem(RULES, "GlobalAveragePool")


def _never(_: onnx.ModelProto) -> Any:
    raise AssertionError("the converter was called")


def _close(found: tuple[np.ndarray, np.ndarray], expected: list[np.ndarray]) -> None:
    for have, want in zip(found, expected, strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_any_number_of_items(batch: int, expected: list[np.ndarray]) -> None:
    _close(OnnxGradient(relu_net(), batch=batch).value_and_gradient(IMAGE, COTANGENT), expected)


def test_onnx_runtime_is_the_first_choice(expected: list[np.ndarray]) -> None:
    found = differentiable(relu_net(), module=object(), batch=5, provider="cpu", convert=_never)
    assert found.engine == "onnxruntime CPUExecutionProvider"
    assert "ONNX graph" in found.reason
    _close(found.value_and_gradient(IMAGE, COTANGENT), expected)


def test_a_rule_set_and_an_inner_tensor() -> None:
    guided = OnnxGradient(relu_net(), of="r2", rules="guided")
    value, dx = guided.value_and_gradient(IMAGE, -np.ones((5, 4, 7, 7)))
    assert value.min() >= 0
    assert not dx.any()


@pytest.mark.parametrize(
    ("x", "cotangent"), [((2, 3, 7, 7), (3, 6)), ((2, 3, 7, 8), (2, 6)), ((2, 3, 7, 7), (6,))]
)
def test_shapes_that_are_not_the_models(x: tuple[int, ...], cotangent: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="have shapes"):
        OnnxGradient(relu_net()).value_and_gradient(np.zeros(x), np.zeros(cotangent))


def _small(inputs: dict[str, list[int]], node: onnx.NodeProto, shape: list[int]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node],
        "small",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_models_that_the_interface_does_not_fit_are_refused() -> None:
    two = _small({"a": [1, 2], "b": [1, 2]}, helper.make_node("Mul", ["a", "b"], ["y"]), [1, 2])
    with pytest.raises(ModelRefused, match="2 inputs \\('a', 'b'\\)"):
        differentiable(two)
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    with pytest.raises(ModelRefused, match="do not begin with the same batch"):
        differentiable(_small({"x": [1, 2]}, node, [2, 1]))


@pytest.mark.usefixtures("unavailable")
def test_the_users_module_is_the_second_choice(torch: Any, expected: list[np.ndarray]) -> None:
    with pytest.warns(EngineFallback, match=r"\(module\): no gradient rule for: GlobalAverage"):
        found = differentiable(relu_net(), module=torch_relu_net(torch), convert=_never)
    assert found.engine == "pytorch autograd (module)"
    assert found.reason.startswith("no gradient rule for: GlobalAveragePool (1 node")
    _close(found.value_and_gradient(IMAGE, COTANGENT), expected)


@pytest.mark.usefixtures("unavailable")
def test_the_converter_is_the_third(torch: Any, expected: list[np.ndarray]) -> None:
    model, asked = relu_net(), []

    def convert(proto: onnx.ModelProto) -> Any:
        asked.append(proto)
        return torch_relu_net(torch)

    with pytest.warns(EngineFallback, match="onnx2torch"):
        found = differentiable(model, convert=convert)
    assert asked == [model]
    assert found.engine == "pytorch autograd (onnx2torch)"
    _close(found.value_and_gradient(IMAGE, COTANGENT), expected)


@pytest.mark.usefixtures("unavailable")
def test_a_module_that_is_not_the_model_is_passed_over(torch: Any) -> None:
    other = torch_relu_net(torch)
    other[0].weight.data *= 1.01
    with pytest.warns(EngineFallback):
        found = differentiable(relu_net(), module=other, convert=lambda _: torch_relu_net(torch))
    assert found.engine == "pytorch autograd (onnx2torch)"
    assert "module: it gives other numbers than the model." in found.reason


@pytest.mark.usefixtures("unavailable")
def test_when_nothing_works_all_that_was_tried_is_said(torch: Any) -> None:
    def convert(_: onnx.ModelProto) -> Any:
        raise GradientUnavailable("it cannot.")

    with pytest.raises(GradientUnavailable) as refused:
        differentiable(relu_net(), module=torch.nn.Linear(2, 2), convert=convert)
    said = str(refused.value)
    assert said.startswith("no gradient rule for: GlobalAveragePool")
    assert "module: it fails on the model's input: mat1 and mat2" in said
    assert said.endswith("onnx2torch: it cannot.")
    with pytest.raises(GradientUnavailable, match="module: none was given"):
        differentiable(relu_net(), convert=convert)


@pytest.mark.usefixtures("unavailable")
def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(GradientUnavailable, match="onnx2torch: onnx2torch is not installed"):
        differentiable(relu_net())
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(GradientUnavailable, match=r"module: PyTorch is not installed: pip"):
        differentiable(relu_net(), module=object())
    with pytest.raises(RuntimeMissing):
        TorchGradient(object())


def test_onnx2torch_itself(monkeypatch: pytest.MonkeyPatch, expected: list[np.ndarray]) -> None:
    pytest.importorskip("onnx2torch", reason="onnx2torch is not installed")
    monkeypatch.delitem(RULES, "GlobalAveragePool")
    with pytest.warns(EngineFallback):
        found = differentiable(relu_net())
    assert found.engine == "pytorch autograd (onnx2torch)"
    _close(found.value_and_gradient(IMAGE, COTANGENT), expected)
    node = helper.make_node("Det", ["x"], ["y"])
    with pytest.raises(GradientUnavailable, match="onnx2torch cannot convert"):
        from_onnx(_small({"x": [1, 2, 2]}, node, [1]))


def test_a_module_is_left_as_it_was(torch: Any) -> None:
    module = torch.nn.Sequential(torch.nn.ReLU(inplace=True), *torch_relu_net(torch))
    module.insert(2, torch.nn.BatchNorm2d(5))
    module.append(torch.nn.Dropout(0.5))
    module.train()
    module[0].eval()
    weights = list(module.parameters())
    weights[0].requires_grad_(False)
    weights[1].grad = torch.ones_like(weights[1])
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    gradient = TorchGradient(module)
    with torch.inference_mode():
        first = gradient.value_and_gradient(IMAGE, COTANGENT)
    with torch.no_grad():
        second = gradient.value_and_gradient(IMAGE, COTANGENT)
    np.testing.assert_array_equal(first[1], second[1])
    assert first[1].any()
    with pytest.raises(RuntimeError):
        gradient.value_and_gradient(IMAGE[:, :2], COTANGENT)
    assert [part.training for part in module.modules()] == modes
    assert [weight.requires_grad for weight in weights] == [False] + [True] * (len(weights) - 1)
    assert torch.equal(weights[1].grad, torch.ones_like(weights[1]))
    assert all(weight.grad is None for weight in weights if weight is not weights[1])
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())


def test_the_first_of_what_a_module_returns(torch: Any) -> None:
    class Several(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return {"out": (3 * x, x.sum())}

    x, dy = np.ones((2, 2), np.float32), np.array([[1, 2], [3, 4]], np.float32)
    value, dx = TorchGradient(Several()).value_and_gradient(x, dy)
    np.testing.assert_array_equal(value, 3 * x)
    np.testing.assert_array_equal(dx, 3 * dy)


@pytest.mark.parametrize("grad", [False, True])
def test_a_module_that_autograd_cannot_follow(torch: Any, grad: bool) -> None:
    class Cut(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.detach().requires_grad_(grad)

    with pytest.raises(GradientUnavailable, match="no way"):
        TorchGradient(Cut()).value_and_gradient(IMAGE, IMAGE)


def test_the_explainers_of_the_documentation() -> None:
    """y = sum(x²) by class: the three are exact on it, up to the noise."""
    square = helper.make_node("Einsum", ["x", "x"], ["y"], equation="bchw,bchw->bc")
    f = differentiable(_small({"x": ["n", 2, 4, 4]}, square, ["n", 2]), batch=16)
    text = textwrap.dedent(inspect.getdoc(differentiable).split("::\n")[1].split("\nWarns")[0])
    x = np.random.default_rng(1).random((1, 2, 4, 4))
    names = {
        "f": f,
        "np": np,
        "rng": np.random.default_rng(0),
        "x": x,
        "dy": np.array([[1.0, 0.0]]),
        "baseline": 0 * x,
    }
    exec(text, names)
    one = x * np.array([1, 0])[None, :, None, None]
    np.testing.assert_allclose(names["attribution"], 2 * one**2, rtol=1e-5)
    np.testing.assert_allclose(names["integrated"], one**2, rtol=1e-5)
    np.testing.assert_allclose(names["smooth"], 2 * one[0], atol=0.25)
