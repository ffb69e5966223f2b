"""Pairs of inputs in one batch: where each tensor of a graph holds the two members of a pair.

A batch of 2n holds n inputs and behind them n others. Reshaping and transposing move the axis of
the batch and merge it with others, as the windows and heads of a transformer do. `pair_axes`
follows it through the graph, so that `swapped` can put each member in the place of the other.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from leap_audit.gradient.path import node_view
from leap_audit.gradient.table import Node
from leap_audit.graph.emit import Emitter
from leap_audit.graph.operators import RESHAPING
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

__all__ = [
    "ELEMENTWISE",
    "PairAxes",
    "PairAxis",
    "PairedTensors",
    "depending_on",
    "pair_axes",
    "swapped",
]

UNARY = frozenset(
    {
        "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Clip",
        "Cos", "Cosh", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
        "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal",
        "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
        "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu",
    }
)  # fmt: skip
BROADCASTING = frozenset(
    {
        "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max",
        "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
    }
)  # fmt: skip
ELEMENTWISE = UNARY | BROADCASTING
"""Operators each of whose numbers depends on one number of each input."""
ITEMS = frozenset(
    {
        "AveragePool", "BatchNormalization", "Col2Im", "Conv", "ConvTranspose", "DepthToSpace",
        "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GridSample", "InstanceNormalization",
        "LRN", "LpPool", "MaxPool", "SpaceToDepth",
    }
)  # fmt: skip
"""Operators that treat each item of their first input by itself, items along axis 0."""


ROUNDING_ERRORS = 8.0
"""So many times what rounding may change is no difference between two numbers: the slope holds."""


@dataclass(frozen=True)
class PairAxis:
    """The axis of a tensor that holds the members of each pair: outer × 2 × rest, in this order."""

    axis: int
    outer: int = 1
    """How many numbers along the axis, or merged parts of it, lie before the member."""


PairAxes: TypeAlias = dict[ir.Value, PairAxis | None]
"""Tensor that depends on the inputs -> its axis; None: no axis keeps the members apart."""


def pair_axes(graph: ir.Graph) -> PairAxes:
    """Return the axes of all tensors of a graph that depend on its inputs.

    Inputs hold pairs along their first axis: all first members, then all second ones.
    """
    axes: PairAxes = {}
    for value in graph.inputs:
        shape = static_shape(value)
        axes[value] = PairAxis(0) if shape and shape[0] % 2 == 0 else None
    for node in graph:
        read = [x for x in node.inputs if x is not None and x in axes]
        inner = any(isinstance(a, ir.Attr) and a.type == ir.AttributeType.GRAPH
                    for a in node.attributes.values())  # fmt: skip
        if not read and not inner:
            continue
        lost = inner or any(axes[x] is None for x in read)
        for value in node.outputs:
            axes[value] = None if lost else _output_axis(node, value, axes)
    return axes


def depending_on(graph: ir.Graph, starts: Iterable[ir.Value]) -> set[ir.Value]:
    """Return all tensors that depend on `starts` in any way, these included."""
    found = set(starts)
    for node in graph:
        if any(x in found for x in node.inputs):
            found.update(node.outputs)
    return found


def swapped(op: Emitter, value: ir.Value, pair: PairAxis) -> ir.Value:
    """Append the tensor with each member of a pair in the other's place."""
    shape = static_shape(value)
    whole, axis = value, pair.axis
    if pair.outer > 1:
        axis = 1
        whole = op.Reshape(value, (math.prod(shape[: pair.axis]) * pair.outer, 2, -1))
    first, second = op.emit("Split", [whole], {"axis": axis, "num_outputs": 2}, 2)
    other = op.Concat(second, first, axis=axis)
    return other if pair.outer == 1 else op.Reshape(other, shape)


@dataclass(frozen=True)
class PairedTensors:
    """The tensors of a graph as pairs. Results of its methods are of the tensors' own shape."""

    axes: PairAxes
    cache: dict[ir.Value, ir.Value]

    def other(self, op: Emitter, value: ir.Value | None, like: ir.Value | None = None) -> ir.Value:
        """Append the tensor with each member in the other's place; a constant is its own.

        like: the tensor whose axis holds the pairs, of one that a rule has made.
        """
        assert value is not None
        pair = self.axes.get(value if like is None else like)
        if pair is None:
            return value
        if value not in self.cache:
            self.cache[value] = swapped(op, value, pair)
        return self.cache[value]

    def mean(self, op: Emitter, value: ir.Value | None, like: ir.Value | None = None) -> ir.Value:
        """Append half the sum of both members."""
        assert value is not None
        other = self.other(op, value, like)
        return value if other is value else op.Mul(op.Add(value, other), 0.5)

    def total(self, op: Emitter, value: ir.Value, like: ir.Value | None = None) -> ir.Value:
        """Append the sum of both members."""
        return op.Add(value, self.other(op, value, like))

    def apart(self, op: Emitter, value: ir.Value, like: ir.Value | None = None) -> ir.Value:
        """Append the member less the other one."""
        return op.Sub(value, self.other(op, value, like))

    def ratio(
        self,
        op: Emitter,
        above: ir.Value,
        x: ir.Value,
        slope: ir.Value,
        *,
        scale: float = 1.0,
        like: ir.Value | None = None,
    ) -> ir.Value:
        """Append above / (x - x0), and `slope` where x is x0 but for rounding.

        scale: what x is compared with, beside itself, to see how far it is from x0.
        """
        assert x.dtype is not None
        below = self.apart(op, x, like)
        size = op.Max(op.Abs(x), op.Abs(self.other(op, x, like)), scale)
        least = op.Mul(size, ROUNDING_ERRORS * float(np.finfo(x.dtype.numpy()).eps))
        differ = op.Greater(op.Abs(below), least)  # not so where a number is NaN: -inf less -inf
        return op.Where(differ, op.Div(above, op.Where(differ, below, 1.0)), slope)


def _output_axis(node: ir.Node, output: ir.Value, axes: PairAxes) -> PairAxis | None:
    """The axis of one output, of a node that reads some tensors with axes and none without."""
    view = node_view(node, ())
    pairs = {i: pair for i, x in enumerate(node.inputs) if x is not None and (pair := axes.get(x))}
    found: set[PairAxis | None] = set()
    to = static_shape(output)
    for index, pair in pairs.items():
        axis = pair.axis
        if node.op_type in RESHAPING:
            found.add(_reshaped(view.shape(0), to, pair) if index == 0 else None)
            continue
        if node.op_type == "Gather" and view.attribute("axis") % len(view.shape(0)) == axis:
            found.add(_gathered(view, pair) if index == 0 else None)
            continue
        moved = _moved(view, index, axis, to)
        kept = moved is not None and moved < len(to) and to[moved] == view.shape(index)[axis]
        found.add(PairAxis(moved, pair.outer) if kept and moved is not None else None)
    return found.pop() if len(found) == 1 else None


def _gathered(node: Node, pair: PairAxis) -> PairAxis | None:
    """Where the members are after numbers were picked along their axis, as a strided view does."""
    picked = None if node.inputs[1] is None else constant_of(node.inputs[1])
    if picked is None:
        return None
    part = node.shape(0)[pair.axis] // pair.outer // 2
    indices = picked % node.shape(0)[pair.axis]
    second = indices // part % 2
    for axis, size in enumerate(indices.shape):
        if size % 2:
            continue
        behind, members = np.split(indices, 2, axis), np.split(second, 2, axis)
        if not members[0].any() and np.array_equal(behind[0] + part, behind[1]):
            return PairAxis(pair.axis + axis)
    return None


def _reshaped(shape: Sequence[int], to: Sequence[int], pair: PairAxis) -> PairAxis | None:
    """Where the members are after the numbers were put into another shape in their order."""
    before = math.prod(shape[: pair.axis]) * pair.outer
    count = 1
    for axis, size in enumerate(to):
        if count <= before < count * size:
            outer = before // count
            fits = before % count == 0 and size % (2 * outer) == 0
            return PairAxis(axis, outer) if fits else None
        count *= size
    return None


def _moved(node: Node, index: int, axis: int, to: Sequence[int]) -> int | None:
    """The axis of the output that an axis of an input becomes; None where it is computed over."""
    op_type, shape = node.op_type, node.shape(index)
    if op_type in ELEMENTWISE:
        return axis + len(to) - len(shape)
    if op_type in ITEMS:
        return 0 if index == 0 and axis == 0 else None
    if op_type in _MOVED:
        return _MOVED[op_type](node, index, axis, to)
    if op_type.startswith("Reduce"):
        return _reduced(node, index, axis, _constant(node, 1))
    return None


def _constant(node: Node, index: int) -> list[int] | None:
    """The whole numbers of a constant input; empty where it is absent, None where computed."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return []
    numbers = constant_of(value)
    return None if numbers is None else [int(n) for n in numbers.ravel()]


def _reduced(node: Node, index: int, axis: int, over: list[int] | None) -> int | None:
    rank = len(node.shape(0))
    if index != 0 or over is None:
        return None
    if not over:
        return axis if node.attributes.get("noop_with_empty_axes") else None
    gone = {each % rank for each in over}
    if axis in gone:
        return None
    return axis if node.attribute("keepdims", 1) else axis - sum(each < axis for each in gone)


def _unless_axis(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    """Of operators that compute along one axis of their first input."""
    own = int(node.attribute("axis", -1)) % len(node.shape(index))
    return axis if index == 0 and axis != own else None


def _cumulated(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    own = _constant(node, 1)
    return axis if index == 0 and own and own[0] % len(node.shape(0)) != axis else None


def _first(_: Node, index: int, axis: int, __: Sequence[int]) -> int | None:
    """Of operators that leave an axis alone whose length they keep."""
    return axis if index == 0 else None


def _concat(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    return axis if int(node.attribute("axis")) % len(node.shape(index)) != axis else None


def _slice(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    rank, starts = len(node.shape(0)), _constant(node, 1)
    axes, steps = _constant(node, 3), _constant(node, 4)
    if index != 0 or starts is None or axes is None or steps is None:
        return None
    sliced = [each % rank for each in axes] or list(range(len(starts)))
    if steps and any(a == axis and step < 0 for a, step in zip(sliced, steps, strict=True)):
        return None
    return axis


def _gather(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    own = int(node.attribute("axis")) % len(node.shape(0))
    if index != 0 or own == axis:
        return None
    return axis + len(node.shape(1)) - 1 if own < axis else axis


def _gather_nd(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    return axis if index == 0 and axis < int(node.attribute("batch_dims")) else None


def _along(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    """Of GatherElements and ScatterElements."""
    whole = node.shape(1)[axis] == node.shape(0)[axis]
    own = int(node.attribute("axis")) % len(node.shape(0))
    return axis if index != 1 and own != axis and whole else None


def _transpose(node: Node, _: int, axis: int, to: Sequence[int]) -> int | None:
    order = node.attributes.get("perm") or range(len(to))[::-1]
    return list(order).index(axis)


def _matmul(node: Node, index: int, axis: int, to: Sequence[int]) -> int | None:
    rank = len(node.shape(index))
    if rank < 2 or len(node.shape(1 - index)) < 2:
        return None
    if axis == rank - (1 if index == 0 else 2):
        return None  # summed over
    return axis + len(to) - rank


def _gemm(node: Node, index: int, axis: int, to: Sequence[int]) -> int | None:
    if index == 2:
        return axis + len(to) - len(node.shape(2))
    kept = int(bool(node.attribute("transA"))) if index == 0 else 1 - int(node.attribute("transB"))
    return index if axis == kept else None


def _einsum(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    equation = node.attributes["equation"]
    text = (equation.decode() if isinstance(equation, bytes) else str(equation)).replace(" ", "")
    if "." in text or "->" not in text:
        return None
    left, right = text.split("->")
    letter = left.split(",")[index][axis]
    return right.index(letter) if letter in right else None


def _layer_norm(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    first = int(node.attribute("axis")) % len(node.shape(0))
    return axis if index == 0 and axis < first else None


def _expand(node: Node, index: int, axis: int, to: Sequence[int]) -> int | None:
    return axis + len(to) - len(node.shape(0)) if index == 0 else None


def _trilu(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    return axis if index == 0 and axis < len(node.shape(0)) - 2 else None


def _extreme(node: Node, index: int, axis: int, _: Sequence[int]) -> int | None:
    return _reduced(node, index, axis, [int(node.attribute("axis"))])


Moved = Callable[[Node, int, int, Sequence[int]], int | None]
_MOVED: Mapping[str, Moved] = {
    **dict.fromkeys(
        ("Hardmax", "LogSoftmax", "LpNormalization", "Softmax", "Split", "TopK"),
        _unless_axis,
    ),
    **dict.fromkeys(
        ("CastLike", "CenterCropPad", "DequantizeLinear", "Pad", "QuantizeLinear", "Resize",
         "Tile"),
        _first,
    ),
    **dict.fromkeys(("GatherElements", "ScatterElements"), _along),
    **dict.fromkeys(("ArgMax", "ArgMin"), _extreme),
    "Concat": _concat,
    "CumSum": _cumulated,
    "Einsum": _einsum,
    "Expand": _expand,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gemm": _gemm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "Slice": _slice,
    "Transpose": _transpose,
    "Trilu": _trilu,
}  # fmt: skip
