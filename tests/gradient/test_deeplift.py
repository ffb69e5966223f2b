"""DeepLIFT's multipliers: completeness of every operator, refusals, and other libraries."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.gradient import Emitter, backpropagate
from leap_audit.gradient.deeplift import DEEPLIFT, LINEAR_IN
from leap_audit.gradient.multipliers import MULTIPLIERS
from leap_audit.graph.opset import IR_VERSION
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
