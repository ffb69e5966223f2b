"""Keep NaN out of gradients where quantisation rounds a divisor to 0.

The quotient is infinite, the QuantizeLinear behind it saturates, and the gradient that comes back
is 0: nothing passes what cannot be represented. The slope at the pole is infinite, and 0 times
infinity is no number; by the convention it is 0.
"""

from collections.abc import Callable, Collection, Sequence

import onnx_ir as ir

from leap_audit.gradient.path import CARRYING
from leap_audit.graph.emit import Emitter
from leap_audit.graph.values import constant_of

__all__ = ["at_poles_zero", "behind_pole", "has_pole"]

OPERAND = {"Div": 1, "Log": 0, "Pow": 0, "Reciprocal": 0, "Sqrt": 0}
"""Operator -> the input at whose zero its slope is infinite."""
ZERO_AT_ZERO = frozenset({*CARRYING, "Abs", "Mul", "Neg", "Pow", "Relu", "Sqrt"})
"""Operators that make zeros of zeros."""
SPREADING = frozenset({*CARRYING, "Add", "Mul", "Neg", "Sub"})
"""Operators that pass on what is no number."""


def has_pole(node: ir.Node | None) -> bool:
    """Return whether quantisation may have rounded a node's operand to a pole of its slope."""
    if node is None or node.op_type not in OPERAND:
        return False
    if node.op_type == "Pow":
        exponent = constant_of(node.inputs[1])
        if exponent is not None and (exponent >= 1).all():
            return False
    return _reached(_operand(node), ZERO_AT_ZERO, lambda n: n.op_type == "DequantizeLinear")


def behind_pole(value: ir.Value) -> bool:
    """Return whether a tensor may hold what is no number, from a pole that quantisation made."""
    return _reached(value, SPREADING, has_pole)


def at_poles_zero(
    op: Emitter, node: ir.Node, gradients: Sequence[ir.Value | None]
) -> list[ir.Value | None]:
    """Return the gradients of a node's inputs with 0 where its operand is 0."""
    pole = op.Equal(_operand(node), 0.0)
    return [None if dx is None else op.Where(pole, 0.0, dx) for dx in gradients]


def _operand(node: ir.Node) -> ir.Value | None:
    return node.inputs[OPERAND[node.op_type]]


def _reached(
    start: ir.Value | None, through: Collection[str], wanted: Callable[[ir.Node], bool]
) -> bool:
    """Whether such a node lies before a tensor, with nothing but these operators between."""
    waiting = [start]
    visited: set[ir.Value | None] = set()
    while waiting:
        value = waiting.pop()
        if value is None or value in visited or (node := value.producer()) is None:
            continue
        visited.add(value)
        if wanted(node):
            return True
        if node.op_type in through:
            waiting += node.inputs
    return False
