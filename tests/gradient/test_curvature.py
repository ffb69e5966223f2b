"""Second derivatives and per-item gradients, against torch.func on three networks in float64."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from leap_audit.errors import GradientUnavailable, ModelRefused
from leap_audit.gradient import build_gradient
from leap_audit.gradient.curvature import gauss_newton_product, hessian_product
from leap_audit.run import Session, choose_provider
from tests.builders.networks import conv_net
from tests.builders.twins import TWINS, Twin

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # by torch.func
BATCH = 3
TOLERANCE = 1e-4
NAMES = pytest.mark.parametrize("name", sorted(TWINS))


def _run(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = Session(model, choose_provider("cpu"), threads=1)
    given = {name: np.asarray(inputs[name], np.float32) for name in session.inputs}
    return dict(zip(session.outputs, session.run(given), strict=True))


def _far(found: np.ndarray, expected: Any) -> float:
    """‖found - expected‖ / ‖expected‖"""
    want = expected.detach().numpy()
    assert found.shape == want.shape
    return float(np.linalg.norm(found - want) / np.linalg.norm(want))


def _double(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {n: torch.tensor(a, dtype=torch.float64) for n, a in arrays.items() if n != "axis"}


def _case(twin: Twin) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The input, a cotangent and a vector for each parameter."""
    rng = np.random.default_rng(7)
    dy = rng.standard_normal((BATCH, 4)).astype(np.float32)
    vectors = {
        name: rng.standard_normal(twin.weights[name].shape).astype(np.float32)
        for name in twin.parameters
    }
    return twin.pictures(BATCH), dy, vectors


def _function(twin: Twin, x: np.ndarray) -> Any:
    """Parameters -> scores, in float64."""
    constants = _double({n: twin.weights[n] for n in twin.statistics})
    pictures = torch.tensor(x, dtype=torch.float64)
    return lambda parameters: twin.function(torch, {**constants, **parameters}, pictures)


def _parameters(twin: Twin) -> dict[str, Any]:
    return _double({name: twin.weights[name] for name in twin.parameters})


@NAMES
def test_every_parameters_gradient_summed(name: str) -> None:
    twin = TWINS[name]
    x, dy, _ = _case(twin)
    f, weigh = _function(twin, x), torch.tensor(dy)
    want = torch.func.grad(lambda p: (f(p) * weigh).sum())(_parameters(twin))
    found = _run(build_gradient(twin.onnx(), batch=BATCH, wrt=twin.parameters), x=x, cotangent=dy)
    for each in twin.parameters:
        assert _far(found[f"{each}_grad"], want[each]) < TOLERANCE, each


@NAMES
def test_every_parameters_gradient_per_item(name: str) -> None:
    twin = TWINS[name]
    x, dy, _ = _case(twin)
    constants = _double({n: twin.weights[n] for n in twin.statistics})

    def one(parameters: Any, picture: Any, weigh: Any) -> Any:
        scores = twin.function(torch, {**constants, **parameters}, picture[None])
        return (scores[0] * weigh).sum()

    pictures, weighing = (torch.tensor(a, dtype=torch.float64) for a in (x, dy))
    want = torch.func.vmap(torch.func.grad(one), (None, 0, 0))(
        _parameters(twin), pictures, weighing
    )
    graph = build_gradient(twin.onnx(), batch=BATCH, wrt=[*twin.parameters, "x"], per_item=True)
    found = _run(graph, x=x, cotangent=dy)
    for each in twin.parameters:
        assert _far(found[f"{each}_grad"], want[each]) < TOLERANCE, each
    plain = _run(build_gradient(twin.onnx(), batch=BATCH), x=x, cotangent=dy)
    for each in ("scores", "x_grad"):
        np.testing.assert_allclose(found[each], plain[each], rtol=1e-4, atol=1e-6)


@NAMES
def test_hessian_times_a_vector(name: str) -> None:
    twin = TWINS[name]
    x, dy, vectors = _case(twin)
    f, weigh = _function(twin, x), torch.tensor(dy)
    slope = torch.func.grad(lambda p: (f(p) * weigh).sum())
    _, want = torch.func.jvp(slope, (_parameters(twin),), (_double(vectors),))
    graph = hessian_product(twin.onnx(), batch=BATCH, wrt=twin.parameters)
    given = {f"{n}_vector": v for n, v in vectors.items()}
    found = _run(graph, x=x, cotangent=dy, **given)
    for each in twin.parameters:
        if float(want[each].norm()) == 0:  # the last bias
            assert not found[f"{each}_product"].any()
        else:
            assert _far(found[f"{each}_product"], want[each]) < TOLERANCE, each


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
@NAMES
def test_gauss_newton_times_a_vector(name: str, loss: str) -> None:
    twin = TWINS[name]
    x, _, vectors = _case(twin)
    f, start = _function(twin, x), _parameters(twin)
    y, pushed = torch.func.jvp(f, (start,), (_double(vectors),))
    if loss == "cross_entropy":
        p = torch.softmax(y, 1)
        pushed = p * (pushed - (p * pushed).sum(1, keepdim=True))
    _, pull = torch.func.vjp(f, start)
    (want,) = pull(pushed)
    graph = gauss_newton_product(twin.onnx(), batch=BATCH, wrt=twin.parameters, loss=loss)
    found = _run(graph, x=x, **{f"{n}_vector": v for n, v in vectors.items()})
    for each in twin.parameters:
        assert _far(found[f"{each}_product"], want[each]) < TOLERANCE, each


@pytest.mark.parametrize("name", ["smooth", "attending"])
def test_a_gradient_graph_differentiated_again(name: str) -> None:
    """With respect to the input: the Hessian of the scores times what is fed as cotangent."""
    twin = TWINS[name]
    x, dy, _ = _case(twin)
    v = np.random.default_rng(9).standard_normal(x.shape).astype(np.float32)
    constants = _double(twin.weights)

    def value(picture: Any) -> Any:
        return (twin.function(torch, constants, picture) * torch.tensor(dy)).sum()

    at, along = (torch.tensor(a, dtype=torch.float64) for a in (x, v))
    _, want = torch.func.jvp(torch.func.grad(value), (at,), (along,))
    graph = build_gradient(
        build_gradient(twin.onnx(), batch=BATCH), batch=BATCH, of="x_grad", wrt="x"
    )
    found = _run(graph, x=x, cotangent_1=dy, cotangent=v)
    assert _far(found["x_grad"], want) < TOLERANCE
    said = {prop.key: prop.value for prop in graph.metadata_props}
    assert said["leap_audit.of"] == "x_grad_1"
    assert [value.name for value in graph.graph.output] == ["scores", "x_grad_1", "x_grad"]
    # By the first graph's cotangent, in which its gradient is linear: the Jacobian times a vector.
    pushed = build_gradient(
        build_gradient(twin.onnx(), batch=BATCH), batch=BATCH, of="x_grad", wrt="cotangent"
    )
    found = _run(pushed, x=x, cotangent_1=dy, cotangent=v)
    _, want = torch.func.jvp(lambda p: twin.function(torch, constants, p), (at,), (along,))
    assert _far(found["cotangent_1_grad"], want) < TOLERANCE


def test_a_third_derivative() -> None:
    node = helper.make_node("Pow", ["x", "five"], ["y"])
    kinds = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in "xy"]
    five = helper.make_tensor("five", TensorProto.FLOAT, [], [5.0])
    graph = helper.make_graph([node], "power", kinds[:1], kinds[1:], [five])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for _ in range(3):
        last = next(v.name for v in reversed(model.graph.output))
        model = build_gradient(model, of=last, wrt="x")
    assert [v.name for v in model.graph.input] == ["x", "cotangent_1", "cotangent_2", "cotangent"]
    one = np.ones((1, 2))
    x = np.array([[1.0, 2.0]])
    found = _run(model, x=x, cotangent_1=one, cotangent_2=one, cotangent=one)
    np.testing.assert_allclose(found["x_grad"], 60 * x**2, rtol=1e-5)


def test_what_has_no_curvature_is_said() -> None:
    twin = TWINS["normed"]
    with pytest.raises(GradientUnavailable, match=r"by 'fc' does not change .* Hessian is zero"):
        hessian_product(twin.onnx(), wrt="fc")
    x, dy, _ = _case(twin)
    found = _run(hessian_product(twin.onnx(), batch=BATCH, wrt="x"), x=x, cotangent=dy, x_vector=x)
    assert not found["x_product"].any()  # ReLU and linear layers
    with pytest.raises(ModelRefused, match=r"'flat' has shape .* no axis of classes"):
        gauss_newton_product(_of_one_number(), wrt="w")


def _of_one_number() -> onnx.ModelProto:
    """A regression whose output has the batch alone."""
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["h"]),
        helper.make_node("ReduceSum", ["h", "axis"], ["flat"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "regression",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["n"])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_of_a_softmax_the_logits_count() -> None:
    model = conv_net()
    model.graph.node.append(helper.make_node("Softmax", ["scores"], ["shares"], axis=1))
    model.graph.output[0].name = "shares"
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8))
    vector = np.random.default_rng(1).standard_normal((4, 5))
    both = [
        _run(gauss_newton_product(m, batch=2, wrt="fc"), image=image, fc_vector=vector)
        for m in (model, conv_net())
    ]
    np.testing.assert_allclose(both[0]["fc_product"], both[1]["fc_product"], rtol=1e-5)


def test_items_that_cannot_be_told_apart_are_refused() -> None:
    model = conv_net()
    model.graph.node.append(helper.make_node("ReduceSum", ["scores"], ["all"], keepdims=0))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("all", TensorProto.FLOAT, []))
    with pytest.raises(GradientUnavailable, match=r"'all' has shape .* does not begin with the"):
        build_gradient(model, batch=2, wrt="w1", per_item=True)
