"""DeepLIFT's multipliers: completeness of every operator, refusals, and other libraries."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient import Emitter, backpropagate, build_gradient
from leap_audit.gradient.deeplift import DEEPLIFT, LINEAR_IN, require_pairs
from leap_audit.gradient.multipliers import MULTIPLIERS
from leap_audit.gradient.rulesets import METADATA
from leap_audit.graph.opset import IR_VERSION, OPSET
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.run import Session, choose_provider

Array = np.ndarray[Any, Any]
Toy = Callable[[Emitter, ir.Value], ir.Value]
PAIRS = 2


def random(*shape: int) -> Array:
    return np.random.default_rng(shape).uniform(-2, 2, shape).astype(np.float32)


def multipliers(toy: Toy, x: Array, x0: Array) -> tuple[Array, Array, Array]:
    """Return y and y0, each (n, ...), weighed, and the multipliers of both members."""
    both = np.concatenate([x, x0]).astype(np.float32)
    op = Emitter(new_graph(), "toy")
    value = new_input(op.graph, "x", both.shape)
    y = toy(op, value)
    if y.dtype != ir.DataType.FLOAT:
        y = op.Cast(y, to=ir.DataType.FLOAT.value)
    shape = static_shape(y)
    each = np.random.default_rng(5).uniform(0.5, 2, (len(x), *shape[1:])).astype(np.float32)
    cotangent = new_input(op.graph, "cotangent", shape)
    (found,) = backpropagate(op, {y: cotangent}, [value], rules=DEEPLIFT)
    op.graph.outputs.extend([op.Identity(y), op.Identity(found)])
    session = Session(ir.Model(op.graph, ir_version=IR_VERSION), choose_provider("cpu"), 1)
    values, slopes = session.run({"x": both, "cotangent": np.concatenate([each, each])})
    weighed = (values.astype(np.float64) * np.concatenate([each, each])).reshape(len(both), -1)
    return weighed.sum(1)[: len(x)], weighed.sum(1)[len(x) :], slopes


def gap(toy: Toy, x: Array, x0: Array) -> float:
    """How far the contributions are from adding up, as a share of them all."""
    y, y0, slopes = multipliers(toy, x, x0)
    np.testing.assert_array_equal(slopes[: len(x)], slopes[len(x) :])
    assert np.isfinite(slopes).all()
    parts = (x.astype(np.float64) - x0) * slopes[: len(x)]
    parts = parts.reshape(len(x), -1)
    sizes = np.abs(parts).sum(1) + np.abs(y - y0)
    return float((np.abs(parts.sum(1) - (y - y0)) / np.where(sizes > 0, sizes, 1)).max())


def unary(name: str, **attributes: Any) -> Toy:
    return lambda op, x: getattr(op, name)(x, **attributes)


SIGNED = ("Abs", "Atan", "Asinh", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid",
          "HardSwish", "LeakyRelu", "Mish", "Relu", "Selu", "Sigmoid", "Sin", "Sinh", "Softplus",
          "Softsign", "Tanh")  # fmt: skip
POSITIVE = ("Log", "Reciprocal", "Sqrt", "Acosh", "Acos", "Asin", "Atanh", "Tan")
RANGES = {"Acosh": (1.1, 3.0), "Acos": (-0.9, 0.9), "Asin": (-0.9, 0.9), "Atanh": (-0.9, 0.9)}
W = random(4, 5)
K = random(3, 4, 3, 3) / 3


def heads(op: Emitter, x: ir.Value) -> ir.Value:
    """Attention whose batch lies behind q, k and v, then merged with the heads."""
    n = static_shape(x)[0]
    qkv = op.MatMul(x, random(8, 24) / 2)
    packed = op.Transpose(op.Reshape(qkv, (n, 6, 3, 2, 4)), perm=[2, 0, 3, 1, 4])
    q, k, v = (op.Reshape(op.Gather(packed, np.array(i), axis=0), (n * 2, 6, 4)) for i in range(3))
    weights = op.Softmax(op.MatMul(q, op.Transpose(k, perm=[0, 2, 1])), axis=-1)
    return op.Reshape(op.MatMul(weights, v), (n, 2, 6, 4))


def windows(op: Emitter, x: ir.Value) -> ir.Value:
    """Tokens first, then batch: the members of a pair lie inside the merged axis."""
    n = static_shape(x)[0]
    first = op.Reshape(op.Transpose(x, perm=[1, 0, 2]), (6 * n, 8))
    bent = op.Tanh(op.MatMul(first, W8))
    return op.Transpose(op.Relu(op.Reshape(bent, (6, n, 8))), perm=[1, 0, 2])


W8 = random(8, 8)
S8 = random(8)
TOYS: dict[str, tuple[Toy, tuple[int, ...], tuple[float, float]]] = {
    **{name: (unary(name), (4, 5), (-3.5, 3.5)) for name in SIGNED},
    **{name: (unary(name), (4, 5), RANGES.get(name, (0.1, 1.4))) for name in POSITIVE},
    "Gelu tanh": (unary("Gelu", approximate="tanh"), (4, 5), (-3.0, 3.0)),
    "ThresholdedRelu": (unary("ThresholdedRelu", alpha=0.5), (4, 5), (-3.0, 3.0)),
    "Shrink": (unary("Shrink", lambd=0.5, bias=0.3), (4, 5), (-3.0, 3.0)),
    "Clip": (lambda op, x: op.Clip(x, -1.0, 1.5), (4, 5), (-3.0, 3.0)),
    "PRelu": (lambda op, x: op.PRelu(x, random(5)), (4, 5), (-3.0, 3.0)),
    "Pow": (lambda op, x: op.Pow(x, 1.7), (4, 5), (0.1, 2.0)),
    "Pow square": (lambda op, x: op.Pow(x, 2.0), (4, 5), (-2.0, 2.0)),
    "Pow exponent": (lambda op, x: op.Pow(1.7, x), (4, 5), (-2.0, 2.0)),
    "Mul": (lambda op, x: op.Mul(x, op.Tanh(op.MatMul(x, random(5, 5)))), (4, 5), (-2.0, 2.0)),
    "Mul broadcast": (
        lambda op, x: op.Mul(x, op.Sigmoid(op.ReduceMean(x, [2, 3], keepdims=1))),
        (3, 4, 5),
        (-2.0, 2.0),
    ),
    "Mul square": (lambda op, x: op.Mul(x, x), (4, 5), (-2.0, 2.0)),
    "Div": (lambda op, x: op.Div(x, op.Exp(op.MatMul(x, random(5, 5)))), (4, 5), (-1.0, 1.0)),
    "Div constant": (lambda op, x: op.Div(2.0, x), (4, 5), (0.3, 2.0)),
    "MatMul": (
        lambda op, x: op.MatMul(op.Relu(x), op.Transpose(x, perm=[0, 2, 1])),
        (4, 5),
        (-2.0, 2.0),
    ),
    "Gemm": (lambda op, x: op.Relu(op.Gemm(x, W, np.arange(5.0), alpha=0.5)), (4,), (-2.0, 2.0)),
    "Einsum": (
        lambda op, x: op.Einsum(x, op.Relu(x), equation="bij,bkj->bik"),
        (4, 5),
        (-2.0, 2.0),
    ),
    "MaxPool": (
        lambda op, x: op.MaxPool(x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
        (3, 6, 6),
        (-2.0, 2.0),
    ),
    "GlobalMaxPool": (unary("GlobalMaxPool"), (3, 6, 6), (-2.0, 2.0)),
    "ReduceMax": (lambda op, x: op.ReduceMax(x, [-1], keepdims=0), (4, 5), (-2.0, 2.0)),
    "ReduceMin": (lambda op, x: op.ReduceMin(x, [1], keepdims=1), (4, 5), (-2.0, 2.0)),
    "Max": (lambda op, x: op.Max(x, op.Neg(x), random(5)), (4, 5), (-2.0, 2.0)),
    "Min": (
        lambda op, x: op.Min(x, op.ReduceMean(x, [1], keepdims=1), 0.5),
        (4, 5),
        (-2.0, 2.0),
    ),
    "Softmax": (unary("Softmax", axis=-1), (4, 5), (-3.0, 3.0)),
    "Softmax far apart": (unary("Softmax", axis=1), (4, 5), (-90.0, 90.0)),
    "LogSoftmax": (unary("LogSoftmax", axis=1), (4, 5), (-3.0, 3.0)),
    "masked Softmax": (
        lambda op, x: op.Softmax(op.Add(x, np.array([0, 0, -np.inf, 0, -np.inf])), axis=-1),
        (4, 5),
        (-3.0, 3.0),
    ),
    "LayerNormalization": (
        lambda op, x: op.LayerNormalization(x, S8, S8, axis=-1),
        (4, 8),
        (-2.0, 2.0),
    ),
    "InstanceNormalization": (
        lambda op, x: op.InstanceNormalization(x, K[:, 0, 0, 0], K[:, 1, 1, 1], epsilon=1e-3),
        (3, 4, 5),
        (-2.0, 2.0),
    ),
    "LpNormalization": (unary("LpNormalization", axis=2, p=2), (4, 5), (-2.0, 2.0)),
    "ReduceL1": (lambda op, x: op.ReduceL1(x, [2], keepdims=0), (4, 5), (-2.0, 2.0)),
    "ReduceL2": (lambda op, x: op.ReduceL2(x, [2], keepdims=0), (4, 5), (-2.0, 2.0)),
    "ReduceSumSquare": (lambda op, x: op.ReduceSumSquare(x, [1]), (4, 5), (-2.0, 2.0)),
    "ReduceLogSumExp": (
        lambda op, x: op.ReduceLogSumExp(x, [2], keepdims=0),
        (4, 5),
        (-200.0, 200.0),
    ),
    "attention": (heads, (6, 8), (-2.0, 2.0)),
    "tokens first": (windows, (6, 8), (-2.0, 2.0)),
    "strided view": (
        lambda op, x: op.Relu(
            op.Gather(op.Reshape(x, (-1,)), np.arange(2 * PAIRS * 48).reshape(-1, 8, 6), axis=0)
        ),
        (6, 8),
        (-2.0, 2.0),
    ),
    "residual": (
        lambda op, x: op.Relu(op.Add(x, op.Relu(op.MatMul(op.Relu(x), W8)))),
        (6, 8),
        (-2.0, 2.0),
    ),
    "Conv, Relu, MaxPool": (
        lambda op, x: op.MaxPool(
            op.Relu(op.Conv(x, K, random(3))), kernel_shape=[2, 2], strides=[2, 2]
        ),
        (4, 8, 8),
        (-2.0, 2.0),
    ),
}


@pytest.mark.parametrize("name", TOYS)
def test_contributions_add_up(name: str) -> None:
    toy, shape, (low, high) = TOYS[name]
    rng = np.random.default_rng(1)
    x, x0 = rng.uniform(low, high, (2, PAIRS, *shape)).astype(np.float32)
    limit = 1e-5 if "far" in name else 2e-6  # of numbers near 100, rounded to 8e-6
    assert gap(toy, x, x0) < limit
    assert gap(toy, x, x) == 0
    half = np.where(rng.random(x.shape) < 0.5, x, x0)
    assert gap(toy, x, half.astype(np.float32)) < limit


def test_every_rule_is_tried() -> None:
    """Each operator with multipliers is the name of a toy, or in one."""
    tried = " ".join(TOYS)
    assert [name for name in MULTIPLIERS if name not in tried and name not in LINEAR_IN] == []


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_what_is_added_to_all_numbers_of_a_softmax_gets_nothing(name: str) -> None:
    """The multipliers of a row add up to nothing, near and far apart."""
    x, x0 = (5 * random(PAIRS, 4, 5), 5 * random(PAIRS, 4, 5, 1)[..., 0])
    for start in (x0, x + 0.01 * x0, x):
        _, _, slopes = multipliers(unary(name, axis=2), x, start)
        assert np.abs(slopes).max() > 1e-2
        np.testing.assert_allclose(slopes.sum(2), 0, atol=1e-6)


def test_a_softmax_of_large_numbers_adds_up() -> None:
    """Numbers near 1e4, which differ little, and cotangents near 1e2, which differ little."""

    def toy(op: Emitter, x: ir.Value) -> ir.Value:
        large = op.Add(x, op.Mul(op.ReduceSum(x, [2], keepdims=1), 1e3))
        return op.MatMul(op.Softmax(large, axis=2), 100 + random(5, 1))

    x, x0 = random(PAIRS, 4, 5), random(PAIRS, 4, 5, 1)[..., 0]
    y, y0, slopes = multipliers(toy, x, x0)
    parts = ((x.astype(np.float64) - x0) * slopes[:PAIRS]).sum((1, 2))
    np.testing.assert_allclose(parts, y - y0, atol=2e-3)


def test_a_maximum_is_its_own_multiplier_in_0_to_1() -> None:
    x, x0 = random(1, 1, 6, 6), random(1, 1, 6, 6, 1)[..., 0]
    toy = TOYS["GlobalMaxPool"][0]
    _, _, slopes = multipliers(toy, x, x0)
    where = np.flatnonzero(slopes[0])
    assert set(where) <= {int(x.argmax()), int(x0.argmax())}
    assert slopes.min() >= 0
    y, y0, slopes = multipliers(toy, x, x - 1)  # weighed by w, and the maximum moves by 1
    assert slopes.max() == pytest.approx((y - y0)[0], rel=1e-5)


def test_a_chain_of_one_number_is_as_one_operator() -> None:
    """x sigmoid(x), and GELU by its error function, as exporters write them."""

    def silu(op: Emitter, x: ir.Value) -> ir.Value:
        return op.Mul(x, op.Sigmoid(x))

    def gelu(op: Emitter, x: ir.Value) -> ir.Value:
        return op.Mul(op.Mul(x, op.Add(op.Erf(op.Div(x, 2**0.5)), 1.0)), 0.5)

    x, x0 = random(PAIRS, 4, 5), random(PAIRS, 4, 5, 1)[..., 0]
    written, one = (multipliers(toy, x, x0)[2] for toy in (gelu, unary("Gelu")))
    np.testing.assert_allclose(written, one, rtol=1e-4, atol=1e-6)
    weights = np.random.default_rng(5).uniform(0.5, 2, x.shape)
    chained = multipliers(silu, x, x0)[2][:PAIRS]
    a, b = (v.astype(np.float64) / (1 + np.exp(-v.astype(np.float64))) for v in (x, x0))
    np.testing.assert_allclose(chained, weights * (a - b) / (x - x0), rtol=1e-4, atol=1e-6)


def test_where_nothing_differs_the_slope_holds() -> None:
    x = random(PAIRS, 4, 5)
    for near in (x, (x * np.float32(1 + 2e-7)).astype(np.float32)):
        _, _, slopes = multipliers(unary("Tanh"), x, near)
        weights = np.random.default_rng(5).uniform(0.5, 2, x.shape)
        np.testing.assert_allclose(slopes[:PAIRS], weights * (1 - np.tanh(x) ** 2), rtol=1e-5)


def test_a_linear_model_has_its_gradient() -> None:
    x, x0 = random(PAIRS, 4), random(PAIRS, 4, 1)[..., 0]
    _, _, slopes = multipliers(lambda op, v: op.Gemm(v, W, None), x, x0)
    weights = np.random.default_rng(5).uniform(0.5, 2, (PAIRS, 5)).astype(np.float32)
    np.testing.assert_allclose(slopes[:PAIRS], weights @ W.T, rtol=1e-5)


REFUSED: dict[str, tuple[Toy, str]] = {
    "sum over the batch": (
        lambda op, x: op.Relu(op.Sub(x, op.ReduceMean(x, [0], keepdims=1))),
        r"mix the pictures of a batch: ReduceMean \(1 node",
    ),
    "softmax over the batch": (unary("Softmax", axis=0), "mix the pictures of a batch: Softmax"),
    "pairs put apart": (
        lambda op, x: op.Relu(op.Gather(x, np.array([0, 2, 1, 3]), axis=0)),
        "mix the pictures of a batch: Gather",
    ),
    "reversed": (
        lambda op, x: op.Relu(op.Slice(x, [-1], [-99], [0], [-1])),
        "mix the pictures of a batch: Slice",
    ),
    "weights of the picture": (
        lambda op, x: op.MatMul(op.Reshape(x, (-1, 5)), op.Transpose(op.Reshape(x, (-1, 5)))),
        "mix the pictures of a batch: MatMul",
    ),
    "sorted": (
        lambda op, x: op.emit("TopK", [x, np.array([2])], {"axis": 2}, 2)[0],
        "have no multipliers: TopK",
    ),
    "product of all": (lambda op, x: op.ReduceProd(x, [2]), "no multipliers: ReduceProd"),
    "power of two": (lambda op, x: op.Pow(op.Abs(x), op.Abs(x)), "have no multipliers: Pow"),
    "a mask": (
        lambda op, x: op.Mul(x, op.Cast(op.Greater(x, 0.5), to=1)),
        "carries no gradient: Mul",
    ),
    "a choice": (
        lambda op, x: op.Where(op.Greater(x, 0.5), x, op.Mul(x, 2.0)),
        "carries no gradient: Where",
    ),
    "rounding": (lambda op, x: op.Mul(x, op.Round(x)), "carries no gradient: Mul"),
    "both": (
        lambda op, x: op.ReduceProd(op.Mul(x, op.Round(x)), [2]),
        "no multipliers: ReduceProd.*carries no gradient: Mul",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_exact_sum_is_refused_by_name(name: str) -> None:
    toy, says = REFUSED[name]
    x, x0 = random(PAIRS, 4, 5), random(PAIRS, 4, 5, 1)[..., 0]
    with pytest.raises(GradientUnavailable, match=says):
        multipliers(toy, x, x0)


def test_an_odd_batch_is_refused() -> None:
    op = Emitter(new_graph(), "toy")
    x = new_input(op.graph, "x", (3, 4))
    y = op.Relu(x)
    with pytest.raises(GradientUnavailable, match=r"'x' does not hold pairs.*even batch"):
        backpropagate(op, {y: op.Identity(y)}, [x], rules=DEEPLIFT)


def test_a_graph_of_pairs_is_built_from_a_file() -> None:
    """`build_gradient` names the rule set, and takes a linear model, whose answer is a gradient."""
    for toy in (unary("Relu"), unary("Neg")):
        op = Emitter(new_graph(), "toy")
        value = new_input(op.graph, "x", (1, 4, 5))
        y = toy(op, value)
        op.graph.outputs.append(y)
        y.name = "y"
        proto = ir.to_proto(ir.Model(op.graph, ir_version=IR_VERSION))
        proto.opset_import.add(domain="", version=OPSET)
        built = build_gradient(proto, batch=2, rules=DEEPLIFT)
        assert {p.key: p.value for p in built.metadata_props}[METADATA] == "deeplift"
        x = random(2, 4, 5)
        ones = np.ones_like(x)
        values, slopes = Session(built, choose_provider("cpu"), 1).run({"x": x, "cotangent": ones})
        np.testing.assert_allclose(slopes[0] * (x[0] - x[1]), values[0] - values[1], atol=1e-6)


def test_a_tensor_that_holds_pairs_along_another_axis_is_refused() -> None:
    """Such as tokens before pictures: the same cotangent would weigh both members unlike."""
    op = Emitter(new_graph(), "toy")
    x = new_input(op.graph, "x", (2, 2, 5))
    y = op.Relu(x)
    require_pairs(op.graph, [x, y, op.Reshape(y, (2, 10))])
    for other in (op.Transpose(y, perm=[1, 0, 2]), op.ReduceSum(y, [0], keepdims=0)):
        with pytest.raises(GradientUnavailable, match="does not hold pairs along its first axis"):
            require_pairs(op.graph, [other])


@pytest.mark.parametrize(
    ("name", "x", "x0", "wanted"),
    [
        ("Relu", 3e-9, -1e-9, 0.75),  # small, and far apart all the same
        ("LeakyRelu", 3e-9, -1e-9, (3 + 0.01) / 4),
        ("Sigmoid", 1e-9, -1e-9, 0.25),  # half, in float32, of both
        ("HardSigmoid", 2.5 + 1e-4, 2.5 - 3e-4, 0.2 * 0.75),  # on both sides of an edge
        ("Abs", 2.0, -1.0, 1 / 3),
        ("Sqrt", 0.0, 0.0, 0.0),
        ("Sqrt", 4.0, 0.0, 0.5),
        ("Reciprocal", 4.0, 0.5, -0.5),
    ],
)
def test_multipliers_of_one_number_by_hand(name: str, x: float, x0: float, wanted: float) -> None:
    one, other = (np.full((1, 1), each, np.float32) for each in (x, x0))
    y, y0, slopes = multipliers(unary(name), one, other)
    weight = np.random.default_rng(5).uniform(0.5, 2, (1, 1))
    assert slopes[0, 0] / weight[0, 0] == pytest.approx(wanted, rel=1e-3)
    assert np.isfinite([y, y0]).all()
