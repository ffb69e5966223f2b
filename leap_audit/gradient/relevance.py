"""Relevance rules: how a node divides the relevance r of its output y among its inputs.

An input x gets x · vjp(r / y), for one or more versions of the node; together the inputs get r,
but for what biases, other constants and the stabiliser keep. Those shares go to a `Ledger`, so
that the relevance of a picture can be added up to the score.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import onnx_ir as ir

from leap_audit.gradient.layer_rules import Layer, LayerRule
from leap_audit.gradient.ledger import Ledger, stabilised
from leap_audit.gradient.table import RULES, Gradients, Node, Rule
from leap_audit.graph.emit import Emitter

__all__ = ["Rules"]

ADDING = frozenset({"Add", "Sub", "Sum", "Mean"})
"""Operators among whose inputs constants take a share."""
MIXING = frozenset({"Concat", "Max", "Min", "Pad", "ScatterElements", "ScatterND", "Where"})
"""Operators whose output holds numbers of inputs and of constants."""
Function: TypeAlias = Callable[..., Gradients]


@dataclass(frozen=True)
class Rules:
    """The rules of nodes that are no layers with options; each makes a rule of the walk's.

    epsilon: stabilises the denominators of sums and of products of matrices.
    """

    epsilon: float
    ledger: Ledger | None = None

    def layer(self, node: Node, function: LayerRule) -> Rule:
        """A linear layer."""

        def rule(op: Emitter, node: Node, r: ir.Value) -> Gradients:
            layer = Layer(op, node, self.ledger)
            return layer.answer(function(layer, r))

        return self._rule(node, rule)

    def proportional(self, node: Node, factor: float = 1.0) -> Rule:
        """x · vjp(factor · r / y): for what is linear, or of degree one, in all its inputs."""

        def rule(op: Emitter, node: Node, r: ir.Value) -> Gradients:
            (y,) = node.outputs
            slope = op.Div(r if factor == 1 else op.Mul(r, factor), stabilised(op, y, self.epsilon))
            every = self.ledger is not None and node.op_type in ADDING
            needs = tuple(need or every for need in node.needs)
            gradients = RULES[node.op_type].function(op, replace(node, needs=needs), slope)
            listed = [gradients] if isinstance(gradients, ir.Value) else list(gradients)
            given = [
                None if x is None or dx is None else op.Mul(x, dx)
                for x, dx in zip(node.inputs, listed, strict=False)
            ]
            if self.ledger is not None:
                self.ledger.enter(op, node, op.Sub(r, op.Mul(slope, y)))
                if factor != 1:  # of a product, each operand takes its part of slope · y
                    self.ledger.enter(op, node, op.Mul(slope, y), 1 - 1 / factor)
                for part, need in zip(given, node.needs, strict=False):
                    if part is not None and not need:
                        self.ledger.enter(op, node, part)
            return [part if n else None for part, n in zip(given, node.needs, strict=False)]

        return self._rule(node, rule)

    def passed(self, node: Node) -> Rule:
        """All of r to the only input on the path: activations and factors that are constants."""

        def rule(op: Emitter, node: Node, r: ir.Value, *_: ir.Value | None) -> Gradients:
            return [_like(op, r, x) if n else None for x, n in zip(*_pairs(node), strict=True)]

        return self._rule(node, rule)

    def shared(self, node: Node, parts: Sequence[float]) -> Rule:
        """Fixed fractions of r to the inputs of a product or quotient."""

        def rule(op: Emitter, _: Node, r: ir.Value) -> Gradients:
            return [r if part == 1 else op.Mul(r, part) for part in parts]

        return self._rule(node, rule)

    def moved(self, node: Node) -> Rule:
        """r where the numbers came from: the table's own rule; constants keep what was theirs."""

        def rule(op: Emitter, node: Node, *r: ir.Value | None) -> Gradients:
            gradients = RULES[node.op_type].function(op, node, *r)
            listed = [gradients] if isinstance(gradients, ir.Value) else list(gradients)
            if self.ledger is not None and node.op_type in MIXING:
                for part in r:
                    if part is not None:
                        self.ledger.enter(op, node, part)
                for dx, need in zip(listed, node.needs, strict=False):
                    if dx is not None and need:
                        self.ledger.enter(op, node, dx, -1.0)
            return gradients

        return self._rule(node, rule)

    def normalised(self, node: Node, axes: Sequence[int]) -> Rule:
        """x · vjp(r / y) of a normalisation whose deviation is held constant."""

        def rule(op: Emitter, node: Node, r: ir.Value, *_: ir.Value | None) -> Gradients:
            x, scale, *rest = node.inputs
            assert x is not None
            assert scale is not None
            column = [1] * len(node.shape(0))
            if node.op_type == "InstanceNormalization":
                column[1] = -1
                scale = op.Reshape(scale, column)
                rest = [op.Reshape(rest[0], column)]
            centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
            variance = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)
            deviation = op.Sqrt(op.Add(variance, float(node.attribute("epsilon"))))
            y = node.outputs[0]
            slope = op.Div(r, stabilised(op, y, self.epsilon))
            inner = op.Div(op.Mul(slope, scale), deviation)
            if self.ledger is not None:
                self.ledger.enter(op, node, op.Sub(r, op.Mul(slope, y)))
                if rest and rest[0] is not None:
                    self.ledger.enter(op, node, op.Mul(slope, rest[0]))
            given = op.Mul(x, op.Sub(inner, op.ReduceMean(inner, axes, keepdims=1)))
            return [given, *(None for _ in node.inputs[1:])]

        return self._rule(node, rule)

    def softmax(self, node: Node) -> Rule:
        """x · (r − y Σ r), the first-order expansion of Achtibat et al. 2024."""

        def rule(op: Emitter, node: Node, r: ir.Value) -> Gradients:
            (x,), (y,) = node.inputs, node.outputs
            total = op.ReduceSum(r, [int(node.attribute("axis"))], keepdims=1)
            given = op.Mul(x, op.Sub(r, op.Mul(y, total)))
            if self.ledger is not None:
                self.ledger.enter(op, node, r)
                self.ledger.enter(op, node, given, -1.0)
            return given

        return self._rule(node, rule)

    @staticmethod
    def _rule(node: Node, function: Function) -> Rule:
        return Rule(node.op_type, function, (), RULES[node.op_type].broadcasting)


def _pairs(node: Node) -> tuple[tuple[ir.Value | None, ...], tuple[bool, ...]]:
    return node.inputs, node.needs


def _like(op: Emitter, r: ir.Value, x: ir.Value | None) -> ir.Value:
    """r in the type of a floating-point tensor."""
    assert x is not None
    assert x.dtype is not None
    if x.dtype.is_floating_point() and x.dtype != r.dtype:
        return op.Cast(r, to=x.dtype.value)
    return r
