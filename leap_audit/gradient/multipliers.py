"""The rules of DeepLIFT: for each operator that is not linear, the multipliers of its inputs.

Each is symmetric in the two members of a pair: what is sent back is the same for both. A rule takes
the pairs, the emitter, the node and what is sent back, and returns what a rule of the table does.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import onnx_ir as ir

from leap_audit.gradient import rules as _rules  # noqa: F401  fills the table, which is read here
from leap_audit.gradient.pairs import ELEMENTWISE, PairedTensors
from leap_audit.gradient.table import RULES, Gradients, Node
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

__all__ = ["MULTIPLIERS", "PRODUCTS", "PairRule"]

PRODUCTS: Mapping[str, tuple[int, ...]] = {
    "Einsum": (0, 1),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "Mul": (0, 1),
}
"""Operator -> its two factors."""
SCALE_FREE = frozenset(
    {"Clip", "Gelu", "HardSwish", "Log", "PRelu", "Pow", "Shrink",
     "ThresholdedRelu"}
)  # fmt: skip
"""Operators whose output is as exact as their input however small that is."""

NEAR = 0.1
"""Logarithms of probabilities that differ by no more are near each other."""
PairRule = Callable[[PairedTensors, Emitter, Node, ir.Value], Gradients]


def _table(op: Emitter, node: Node, dy: ir.Value) -> list[ir.Value | None]:
    """What the operator's gradient is, for each input."""
    extra = [None] * (len(node.outputs) - 1)
    answer = RULES[node.op_type].function(op, node, dy, *extra)
    found = [answer] if isinstance(answer, ir.Value) else list(answer)
    return (found + [None] * len(node.inputs))[: len(node.inputs)]


def _on_path(node: Node) -> list[int]:
    return [i for i, needed in enumerate(node.needs) if needed]


def _rescaled(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy (y - y0) / (x - x0); where x = x0, the mean of the gradients at both"""
    (index,) = _on_path(node)
    x, (y,) = node.inputs[index], node.outputs
    gradients = _table(op, node, dy)
    slope = gradients[index]
    assert x is not None
    assert slope is not None
    like = y if RULES[node.op_type].broadcasting else x
    above, mean = op.Mul(dy, pairs.apart(op, y)), pairs.mean(op, slope, like)
    scale = 0.0 if node.op_type in SCALE_FREE else 1.0
    gradients[index] = pairs.ratio(op, above, _wide(op, x, y), mean, scale=scale, like=like)
    return gradients


def _two_lines(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """As `_rescaled`, of operators that are a line on each side of 0, where rounding is no matter.

    Where x = x0 both have the same slope.
    """
    x, (y,) = node.inputs[0], node.outputs
    assert x is not None
    x0 = pairs.other(op, x)
    (y0,) = op.emit(node.op_type, [x0], node.attributes, 1)
    below = op.Sub(x, x0)
    same = op.Equal(below, 0.0)
    ratio = op.Div(op.Sub(y, y0), op.Where(same, 1.0, below))
    return op.Where(same, _table(op, node, dy)[0], op.Mul(dy, ratio))


def _wide(op: Emitter, x: ir.Value, y: ir.Value) -> ir.Value:
    """x with as many axes as y, to which it is broadcast."""
    missing = len(static_shape(y)) - len(static_shape(x))
    return op.Reshape(x, (1,) * missing + static_shape(x)) if missing > 0 else x


def _root(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / (y + y0); 0 where both are 0"""
    return _over(op, dy, pairs.total(op, node.outputs[0]))


def _reciprocal(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = -dy y y0"""
    (y,) = node.outputs
    return op.Neg(op.Mul(dy, op.Mul(y, pairs.other(op, y))))


def _power(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy (x + x0) of a square"""
    exponent = constant_of(node.inputs[1])
    if node.needs == (True, False) and exponent is not None and (exponent == 2).all():
        assert node.inputs[0] is not None
        return op.Mul(dy, pairs.total(op, node.inputs[0])), None
    return _rescaled(pairs, op, node, dy)


def _product(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy (b + b0) / 2, db = dy (a + a0) / 2: the gradient at the means of the factors"""
    factors = PRODUCTS[node.op_type]
    means = [pairs.mean(op, x) if i in factors else x for i, x in enumerate(node.inputs)]
    return _table(op, replace(node, inputs=tuple(means)), dy)


def _quotient(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy (1/b + 1/b0) / 2, db = -dy (a + a0) / 2 / (b b0)"""
    a, b = node.inputs
    assert b is not None
    if not node.needs[1] and b not in pairs.axes:
        return _table(op, node, dy)
    inverse = op.Reciprocal(b)
    da = op.Mul(dy, pairs.mean(op, inverse, b)) if node.needs[0] else None
    if not node.needs[1]:
        return da, None
    both = op.Mul(inverse, pairs.other(op, inverse, b))
    return da, op.Neg(op.Mul(op.Mul(dy, pairs.mean(op, a)), both))


def _extreme(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """With m the larger of y and y0, of a minimum the smaller:

    dx = (dy (m - y0) at the largest x, dy (y - m) at the largest x0) / (x - x0)

    What x adds to the maximum beyond y0 is its own, so that the multipliers lie in 0..1.
    """
    y = node.outputs[0]
    choose = op.Min if node.op_type in ("Min", "ReduceMin") else op.Max
    beyond = op.Sub(choose(y, pairs.other(op, y)), pairs.other(op, y))
    shares = _table(op, node, op.Mul(dy, beyond))
    slopes = _table(op, node, dy)
    found: list[ir.Value | None] = [None] * len(node.inputs)
    broadcast = RULES[node.op_type].broadcasting
    for index in _on_path(node):
        x, share, slope = node.inputs[index], shares[index], slopes[index]
        assert x is not None
        assert share is not None
        assert slope is not None
        like = y if broadcast else x
        wide = _wide(op, x, y) if broadcast else x
        above, mean = pairs.apart(op, share, like), pairs.mean(op, slope, like)
        found[index] = pairs.ratio(op, above, wide, mean, scale=0.0, like=like)
    return found


def _over(op: Emitter, above: ir.Value, below: ir.Value) -> ir.Value:
    """above / below, 0 where that is 0."""
    zero = op.Equal(below, 0.0)
    return op.Where(zero, 0.0, op.Div(above, op.Where(zero, 1.0, below)))


def _probability_between(pairs: PairedTensors, op: Emitter, x: ir.Value, axis: int) -> ir.Value:
    """The logarithmic mean of y and y0, y = exp(z) = softmax(x): (y - y0) / (z - z0).

    Where z and z0 are near each other: 2/3 of the geometric and 1/3 of the arithmetic mean, which
    is as exact as float32 there.
    """
    z, y = op.LogSoftmax(x, axis=axis), op.Softmax(x, axis=axis)
    below = pairs.apart(op, z, x)
    far = op.Greater(op.Abs(below), NEAR)  # not so where a number is NaN: -inf less -inf
    geometric = op.Sqrt(op.Mul(y, pairs.other(op, y, x)))
    near = op.Add(op.Mul(geometric, 2 / 3), op.Mul(pairs.mean(op, y, x), 1 / 3))
    ratio = op.Div(pairs.apart(op, y, x), op.Where(far, below, 1.0))
    return op.Where(far, ratio, near)


def _softmax(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """With l the logarithmic mean of y and y0: dx = l (dy - sum(dy l) / sum(l))

    y = exp(z), z = x - log(sum(exp(x))). The changes of y add up to 0, so that the weights
    l / sum(l) make of those of x that of the logarithm; they add up to 1, so that what is added to
    all x alike gets nothing.
    """
    x = node.inputs[0]
    assert x is not None
    axis = int(node.attribute("axis"))
    between = _probability_between(pairs, op, x, axis)
    total = op.ReduceSum(between, [axis], keepdims=1)
    if node.op_type == "Softmax":
        for _ in range(2):  # dy may be nearly the same everywhere, and x is large at times
            mean = _over(op, op.ReduceSum(op.Mul(dy, between), [axis], keepdims=1), total)
            dy = op.Sub(dy, mean)
        return op.Mul(between, dy)
    return op.Sub(dy, op.Mul(between, _over(op, op.ReduceSum(dy, [axis], keepdims=1), total)))


def _normalised(
    pairs: PairedTensors, op: Emitter, x: ir.Value, dn: ir.Value, axes: list[int], epsilon: float
) -> ir.Value:
    """Multipliers of n = c r, c = x - mean(x), r = 1 / sqrt(mean(c²) + epsilon)

    r - r0 = (v - v0) (-(r r0)² / (r + r0)), of v = mean(c²), and v - v0 = mean((c + c0)(c - c0)).
    """
    c = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    v = op.ReduceMean(op.Mul(c, c), axes, keepdims=1)
    r = op.Reciprocal(op.Sqrt(op.Add(v, float(epsilon))))
    dc = _times_root(pairs, op, x, c, r, dn, axes)
    return op.Sub(dc, op.ReduceMean(dc, axes, keepdims=1))


def _times_root(
    pairs: PairedTensors,
    op: Emitter,
    like: ir.Value,
    c: ir.Value,
    r: ir.Value,
    dn: ir.Value,
    axes: list[int],
) -> ir.Value:
    """Multipliers of n = c r with regard to c, of r = 1 / sqrt(mean(c²) + epsilon)."""
    r0 = pairs.other(op, r, like)
    both = op.Mul(r, r0)
    steep = op.Div(op.Mul(both, both), op.Add(r, r0))
    total = pairs.total(op, c, like)
    dr = op.ReduceMean(op.Mul(dn, op.Mul(total, 0.5)), axes, keepdims=1)
    return op.Sub(op.Mul(dn, op.Mul(op.Add(r, r0), 0.5)), op.Mul(total, op.Mul(dr, steep)))


def _layer_norm(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """As `_normalised`, times the constant scale"""
    x, scale = node.inputs[:2]
    assert x is not None
    rank = len(node.shape(0))
    axes = list(range(int(node.attribute("axis")) % rank, rank))
    dx = _normalised(pairs, op, x, op.Mul(dy, scale), axes, node.attribute("epsilon"))
    return [dx, *(None for _ in node.inputs[1:])]


def _instance_norm(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """As `_normalised`, over the pixels of each channel"""
    x, scale, _ = node.inputs
    assert x is not None
    pixels = list(range(2, len(node.shape(0))))
    column = op.Reshape(scale, (-1,) + (1,) * len(pixels))
    dx = _normalised(pairs, op, x, op.Mul(dy, column), pixels, node.attribute("epsilon"))
    return dx, None, None


def _unit_length(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """y = x / |x| as x r, r = 1 / sqrt(sum(x²)); 0 where the length is 0"""
    (x,) = node.inputs
    assert x is not None
    axis = [int(node.attribute("axis"))]
    size = float(node.shape(0)[axis[0]])
    mean = op.ReduceMean(op.Mul(x, x), axis, keepdims=1)
    root = op.Sqrt(mean)
    r = _over(op, op.constant(1.0, x.dtype), root)
    return op.Mul(_times_root(pairs, op, x, x, r, dy, axis), float(size**-0.5))


def _length(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """ReduceL2: dx = dy (x + x0) / (y + y0)"""
    (y,), x = node.outputs, node.inputs[0]
    assert x is not None
    below = pairs.total(op, y)
    return op.Mul(_spread(op, node, _over(op, dy, below)), pairs.total(op, x)), None


def _sum_of_squares(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy (x + x0)"""
    x = node.inputs[0]
    assert x is not None
    return op.Mul(_spread(op, node, dy), pairs.total(op, x)), None


def _sum_of_sizes(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy (x + x0) / (|x| + |x0|)"""
    x = node.inputs[0]
    assert x is not None
    slope = _over(op, pairs.total(op, x), pairs.total(op, op.Abs(x), x))
    return op.Mul(_spread(op, node, dy), slope), None


def _reduced_log_sum_exp(pairs: PairedTensors, op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy l / sum(l), l as for Softmax"""
    x, given = node.inputs[0], constant_of(node.inputs[1])
    assert x is not None
    assert given is not None
    (axis,) = (int(each) for each in given.ravel())
    between = _probability_between(pairs, op, x, axis)
    return op.Mul(
        _spread(op, node, dy), _over(op, between, op.ReduceSum(between, [axis], keepdims=1))
    ), None


def _spread(op: Emitter, node: Node, dy: ir.Value) -> ir.Value:
    """What is sent back to a reduction, for each number that it reads: as to a sum of them."""
    found = RULES["ReduceSum"].function(op, replace(node, op_type="ReduceSum"), dy)
    assert not isinstance(found, ir.Value)
    assert found[0] is not None
    return found[0]


DISCONTINUOUS = frozenset({"Mod"})
"""Elementwise operators of the table that have no multipliers."""
MULTIPLIERS: Mapping[str, PairRule] = {
    **{name: _rescaled for name in RULES if name in ELEMENTWISE - DISCONTINUOUS},
    **dict.fromkeys(PRODUCTS, _product),
    **dict.fromkeys(("GlobalMaxPool", "Max", "MaxPool", "Min", "ReduceMax", "ReduceMin"), _extreme),
    **dict.fromkeys(("LogSoftmax", "Softmax"), _softmax),
    **dict.fromkeys(("Abs", "LeakyRelu", "Relu"), _two_lines),
    "Div": _quotient,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _unit_length,
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "ReduceL1": _sum_of_sizes,
    "ReduceL2": _length,
    "ReduceLogSumExp": _reduced_log_sum_exp,
    "ReduceSumSquare": _sum_of_squares,
    "Sqrt": _root,
}
"""Operator -> its rule; where it also is in `LINEAR_IN`, the table's rule is exact."""
