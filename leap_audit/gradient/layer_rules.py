"""Relevance rules of linear layers: convolutions and products with a constant matrix.

Each divides r over the products x · w of one or more versions of the layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx_ir as ir

from leap_audit.gradient.ledger import Ledger, stabilised
from leap_audit.gradient.table import RULES, Gradients, Node
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

__all__ = [
    "Layer",
    "LayerRule",
    "alpha_beta",
    "box",
    "epsilon_layer",
    "flat",
    "gamma",
    "gamma_of_weights",
]

NON_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Exp", "Abs", "Sqrt"})
"""Operators whose output is never below zero."""
KEEPING_SIGN = frozenset(
    {
        *("AveragePool", "Concat", "Dropout", "Flatten", "GlobalAveragePool", "GlobalMaxPool"),
        *("Identity", "MaxPool", "ReduceMean", "Reshape", "Slice", "Split", "Squeeze"),
        *("Transpose", "Unsqueeze"),
    }
)
"""Operators whose output is never below zero where none of their inputs is."""


class Part(NamedTuple):
    """A linear layer in one version: its data, its weights, and its bias where it has one."""

    x: ir.Value
    weights: ir.Value
    bias: ir.Value | None = None


@dataclass(frozen=True)
class Layer:
    """A linear layer whose weights are constants, to be computed in other versions."""

    op: Emitter
    node: Node
    ledger: Ledger | None

    @property
    def data(self) -> int:
        return 0 if self.node.needs[0] else 1

    @property
    def own(self) -> Part:
        x, weights = self.node.inputs[self.data], self.node.inputs[1 - self.data]
        assert x is not None
        assert weights is not None
        return Part(x, weights, self.node.inputs[2] if len(self.node.inputs) > 2 else None)

    def inputs(self, part: Part) -> tuple[ir.Value, ...]:
        pair = (part.x, part.weights) if self.data == 0 else (part.weights, part.x)
        return pair if part.bias is None else (*pair, part.bias)

    def forward(self, part: Part) -> ir.Value:
        if part == self.own:
            return self.node.outputs[0]
        inputs = self.inputs(part)
        return self.op.emit(self.node.op_type, inputs, self.node.attributes, 1)[0]

    def divided(self, parts: Sequence[Part], r: ir.Value, epsilon: float) -> ir.Value:
        """Return what x gets of r, divided over all the products that the parts add up."""
        op = self.op
        y = reduce(op.Add, map(self.forward, parts))
        slope = op.Div(r, stabilised(op, y, epsilon))
        if self.ledger is not None:
            self.ledger.enter(op, self.node, op.Sub(r, op.Mul(slope, y)))
        return reduce(op.Add, (self.share(part, y, slope) for part in parts))

    def share(self, part: Part, y: ir.Value, slope: ir.Value) -> ir.Value:
        inputs = self.inputs(part)
        asked = part.bias is not None and self.ledger is not None
        needs = [i == self.data or (i == 2 and asked) for i in range(len(inputs))]
        view = replace(self.node, inputs=inputs, outputs=(y,), needs=tuple(needs))
        gradients = RULES[self.node.op_type].function(self.op, view, slope)
        assert not isinstance(gradients, ir.Value)
        if asked and self.ledger is not None:
            self.ledger.enter(self.op, self.node, self.op.Mul(part.bias, gradients[2]))
        return self.op.Mul(part.x, gradients[self.data])

    def answer(self, given: ir.Value) -> Gradients:
        return [given if i == self.data else None for i in range(len(self.node.inputs))]


LayerRule: TypeAlias = Callable[[Layer, ir.Value], ir.Value]
"""(a linear layer, the relevance of its output) -> the relevance of its input."""


def epsilon_layer(epsilon: float) -> LayerRule:
    """Return LRP-ε: x · wᵀ(r / (y + ε sign y)), Bach et al. 2015; epsilon 0 is LRP-0."""
    return lambda layer, r: layer.divided([layer.own], r, epsilon)


def gamma_of_weights(gain: float, epsilon: float) -> LayerRule:
    """Return LRP-γ as first written: ε on weights w + γ w⁺ and the layer's own bias.

    Montavon et al. 2019; for inputs that are never negative.
    """

    def rule(layer: Layer, r: ir.Value) -> ir.Value:
        x, w, b = layer.own
        return layer.divided([Part(x, _raised(layer.op, w, gain, 1), b)], r, epsilon)

    return rule


def gamma(gain: float, epsilon: float) -> LayerRule:
    """Return LRP-γ for inputs of either sign, Andéol et al. 2021.

    Where y ≥ 0 the positive products x⁺w⁺ and x⁻w⁻ count 1 + γ times, else the negative ones.
    """

    def rule(layer: Layer, r: ir.Value) -> ir.Value:
        op, (x, w, b) = layer.op, layer.own
        up, down = _raised(op, w, gain, 1), _raised(op, w, gain, -1)
        above, below = _signed(op, x, 1), _signed(op, x, -1)
        negative = op.Less(layer.node.outputs[0], 0.0)
        zero = op.Mul(r, 0.0)
        total = None
        for sign, mask in ((1, op.Not(negative)), (-1, negative)):
            first, second = (up, down) if sign == 1 else (down, up)
            bias = None if b is None else _raised(op, b, gain, sign)
            parts = _both(above, below, first, second, bias)
            given = layer.divided(parts, op.Where(mask, r, zero), epsilon)
            total = given if total is None else op.Add(total, given)
        assert total is not None
        return total

    return rule


def alpha_beta(alpha: float, beta: float, epsilon: float) -> LayerRule:
    """Return LRP-αβ, Bach et al. 2015: α of the positive products less β of the negative ones.

    α 1 and β 0 is z⁺. The positive part of a bias counts among the positive products.
    """

    def rule(layer: Layer, r: ir.Value) -> ir.Value:
        op, (x, w, b) = layer.op, layer.own
        above, below = _signed(op, x, 1), _signed(op, x, -1)
        plus, minus = _part_of(op, w, 1), _part_of(op, w, -1)
        bias = None if b is None else _part_of(op, b, 1)
        parts = _both(above, below, plus, minus, bias)
        found = layer.divided(parts, r if alpha == 1 else op.Mul(r, alpha), epsilon)
        if beta == 0:
            return found
        bias = None if b is None else _part_of(op, b, -1)
        parts = _both(above, below, minus, plus, bias)
        return op.Add(found, layer.divided(parts, op.Mul(r, -beta), epsilon))

    return rule


def flat(epsilon: float) -> LayerRule:
    """Return the flat rule, Lapuschkin et al. 2019: every input of a window gets the same."""

    def rule(layer: Layer, r: ir.Value) -> ir.Value:
        x, w, _ = layer.own
        ones = [_filled(layer.op, value, 1.0) for value in (x, w)]
        return layer.divided([Part(*ones)], r, epsilon)

    return rule


def box(low: Sequence[float], high: Sequence[float], epsilon: float) -> LayerRule:
    """Return the z^B rule, Montavon et al. 2017, for inputs from `low` to `high`.

    low, high: one number, or one for each channel of the layer's input. Biases get nothing.
    """

    def rule(layer: Layer, r: ir.Value) -> ir.Value:
        op, (x, w, _) = layer.op, layer.own
        minus_plus, minus_minus = (op.Neg(_part_of(op, w, sign)) for sign in (1, -1))
        lowest, highest = (_per_channel(layer, end) for end in (low, high))
        parts = [Part(x, w), Part(lowest, minus_plus), Part(highest, minus_minus)]
        return layer.divided(parts, r, epsilon)

    return rule


def _both(
    above: ir.Value | None,
    below: ir.Value | None,
    first: ir.Value,
    second: ir.Value,
    bias: ir.Value | None,
) -> list[Part]:
    """The parts for x⁺ and x⁻; there is no second where x is never negative."""
    assert above is not None
    return [Part(above, first, bias), *([] if below is None else [Part(below, second)])]


def _signed(op: Emitter, x: ir.Value, sign: int) -> ir.Value | None:
    """x⁺ or x⁻, None where all of it is zero."""
    if _never_negative(x):
        return x if sign == 1 else None
    return op.Relu(x) if sign == 1 else op.Neg(op.Relu(op.Neg(x)))


def _never_negative(x: ir.Value | None) -> bool:
    node = None if x is None else x.producer()
    if node is None:
        return False
    if node.op_type in KEEPING_SIGN:
        return all(map(_never_negative, node.inputs[: None if node.op_type == "Concat" else 1]))
    return node.op_type in NON_NEGATIVE


def _part_of(op: Emitter, w: ir.Value, sign: int) -> ir.Value:
    """w⁺ or w⁻ of weights."""
    numbers = constant_of(w)
    if numbers is not None:
        return op.constant(np.clip(numbers, *((0, None) if sign == 1 else (None, 0))), w.dtype)
    return op.Relu(w) if sign == 1 else op.Neg(op.Relu(op.Neg(w)))


def _raised(op: Emitter, w: ir.Value, gain: float, sign: int) -> ir.Value:
    """w + gain · w⁺, or w + gain · w⁻."""
    numbers = constant_of(w)
    if numbers is not None:
        part = np.clip(numbers, *((0, None) if sign == 1 else (None, 0)))
        return op.constant(numbers + numbers.dtype.type(gain) * part, w.dtype)
    return op.Add(w, op.Mul(_part_of(op, w, sign), gain))


def _filled(op: Emitter, like: ir.Value, number: float) -> ir.Value:
    return op.Expand(op.constant(number, like.dtype), np.asarray(static_shape(like)))


def _per_channel(layer: Layer, numbers: Sequence[float]) -> ir.Value:
    x = layer.own.x
    shape = [1] * len(static_shape(x))
    shape[1 if layer.node.op_type.startswith("Conv") else -1] = -1
    column = layer.op.constant(np.asarray(numbers, np.float64).reshape(shape), x.dtype)
    return layer.op.Expand(column, np.asarray(static_shape(x)))
