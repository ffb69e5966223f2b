"""Bound a tensor by interval arithmetic over its operators, for any input."""

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir

from leap_audit.graph.operators import PICKING, SHAPE_ONLY
from leap_audit.graph.values import constant_of

__all__ = ["Interval", "bounds_of"]

Interval = tuple[float, float]
ANY: Interval = (-math.inf, math.inf)
DEPTH = 60
"""Nodes that are followed back at most."""

OWN: dict[str, Interval] = {
    "Sigmoid": (0, 1),
    "HardSigmoid": (0, 1),
    "Softmax": (0, 1),
    "Hardmax": (0, 1),
    "LogSoftmax": (-math.inf, 0),
    "Tanh": (-1, 1),
    "Softsign": (-1, 1),
    "Erf": (-1, 1),
    "Sin": (-1, 1),
    "Cos": (-1, 1),
    "Softplus": (0, math.inf),
    "ReduceL1": (0, math.inf),
    "ReduceL2": (0, math.inf),
    "ReduceSumSquare": (0, math.inf),
}
"""Operators whose results lie between these numbers, whatever they are given."""
SAME = frozenset(
    {
        *SHAPE_ONLY,
        *PICKING,
        *("Expand", "GatherElements", "GatherND", "Tile", "Dropout"),
        *("ReduceMean", "ReduceMax", "ReduceMin", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"),
        *("DepthToSpace", "SpaceToDepth", "TopK", "QuantizeLinear", "DequantizeLinear"),
    }
)
"""Operators whose results lie where their first input does; rounding is left out of account."""


def bounds_of(value: ir.Value | None, depth: int = DEPTH) -> Interval:
    """Return (low, high): no number of the tensor lies outside, for any input of the graph.

    Infinite where the operators do not bound it: of a product of matrices, for example.
    """
    if value is None:
        return ANY
    constant = constant_of(value)
    if constant is not None:
        if not constant.size or constant.dtype.kind not in "fiub":
            return ANY
        return float(constant.min()), float(constant.max())
    node = value.producer()
    if node is None or depth == 0:
        return ANY
    if node.op_type in OWN:
        return OWN[node.op_type]
    if node.op_type in SAME:
        return bounds_of(node.inputs[0], depth - 1)
    found = COMPUTED.get(node.op_type)
    if found is None:
        return ANY
    low, high = found(node, [bounds_of(x, depth - 1) for x in node.inputs])
    return (-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high)


def _hull(parts: Sequence[Interval]) -> Interval:
    return min(low for low, _ in parts), max(high for _, high in parts)


def _product(a: Interval, b: Interval) -> Interval:
    ends = [0.0 if 0 in (x, y) else x * y for x in a for y in b]
    return min(ends), max(ends)


def _sum(a: Interval, b: Interval) -> Interval:
    return a[0] + b[0], a[1] + b[1]


def _negative(a: Interval) -> Interval:
    return -a[1], -a[0]


def _inverse(a: Interval) -> Interval:
    low, high = a
    if low < 0 < high or (low, high) == (0, 0):
        return ANY
    return (1 / high if high else -math.inf), (1 / low if low else math.inf)


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _log(a: Interval) -> Interval:
    low, high = (math.log(x) if x > 0 else -math.inf for x in a)
    return low, high


def _add(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    return _sum(inputs[0], inputs[1])


def _total(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    return sum(low for low, _ in inputs), sum(high for _, high in inputs)


def _mean(node: ir.Node, inputs: Sequence[Interval]) -> Interval:
    low, high = _total(node, inputs)
    return low / len(inputs), high / len(inputs)


def _mul(node: ir.Node, inputs: Sequence[Interval]) -> Interval:
    if node.inputs[0] is node.inputs[1]:
        ends = [x * x for x in inputs[0]]
        return (0.0 if inputs[0][0] <= 0 <= inputs[0][1] else min(ends)), max(ends)
    return _product(inputs[0], inputs[1])


def _power(node: ir.Node, inputs: Sequence[Interval]) -> Interval:
    exponent = constant_of(node.inputs[1])
    if exponent is None or exponent.size != 1:
        return ANY
    power = float(exponent.ravel()[0])
    low, high = inputs[0]
    if low < 0:
        if power == 2:
            return 0.0, max(low * low, high * high)
        return ANY
    if power <= 0:
        return ANY
    return low**power, high**power


def _reduced_sum(node: ir.Node, inputs: Sequence[Interval]) -> Interval:
    x, y = node.inputs[0], node.outputs[0]
    if x is None or x.shape is None or y.shape is None:
        return ANY
    if not (x.shape.is_static() and y.shape.is_static()):
        return ANY
    count = float(math.prod(x.shape.numpy())) / max(1, math.prod(y.shape.numpy()))
    return _product(inputs[0], (count, count))


def _clip(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    low, high = inputs[0]
    least = inputs[1][0] if len(inputs) > 1 and inputs[1] != ANY else -math.inf
    most = inputs[2][1] if len(inputs) > 2 and inputs[2] != ANY else math.inf
    return min(max(low, least), most), max(min(high, most), least)


def _largest(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    return max(low for low, _ in inputs), max(high for _, high in inputs)


def _least(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    return min(low for low, _ in inputs), min(high for _, high in inputs)


def _relu(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    return max(0.0, inputs[0][0]), max(0.0, inputs[0][1])


def _abs(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    low, high = inputs[0]
    return max(0.0, low, -high), max(-low, high)


def _root(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    low, high = (math.sqrt(x) if x > 0 else 0.0 for x in inputs[0])
    return low, high


def _pooled(_: ir.Node, inputs: Sequence[Interval]) -> Interval:
    return _hull([inputs[0], (0.0, 0.0)])  # a pad may count


def _resized(node: ir.Node, inputs: Sequence[Interval]) -> Interval:
    mode = node.attributes.get("mode")
    return ANY if mode is not None and mode.as_string() == "cubic" else _pooled(node, inputs)


COMPUTED: dict[str, Callable[[ir.Node, Sequence[Interval]], Interval]] = {
    "Add": _add,
    "Sub": lambda _, inputs: _sum(inputs[0], _negative(inputs[1])),
    "Mul": _mul,
    "Div": lambda _, inputs: _product(inputs[0], _inverse(inputs[1])),
    "Neg": lambda _, inputs: _negative(inputs[0]),
    "Reciprocal": lambda _, inputs: _inverse(inputs[0]),
    "Exp": lambda _, inputs: (_exp(inputs[0][0]), _exp(inputs[0][1])),
    "Log": lambda _, inputs: _log(inputs[0]),
    "Sqrt": _root,
    "Pow": _power,
    "Abs": _abs,
    "Relu": _relu,
    "Clip": _clip,
    "Max": _largest,
    "Min": _least,
    "Sum": _total,
    "Mean": _mean,
    "ReduceSum": _reduced_sum,
    "Concat": lambda _, inputs: _hull(inputs),
    "Where": lambda _, inputs: _hull(inputs[1:]),
    "AveragePool": _pooled,
    "Resize": _resized,
}
"""Operators whose bounds follow from those of their inputs."""
