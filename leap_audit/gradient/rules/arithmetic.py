"""Element by element: sums, products, powers, comparisons and selections."""

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.values import constant_of

_PAIRS = [
    sample((2, 3), (2, 3), wrt=(0, 1)),
    sample((2, 3), (3,), wrt=(0, 1)),
    sample((2, 1, 3), (4, 1), wrt=(0, 1)),
]
_POSITIVE = [sample((2, 3), (2, 3), wrt=(0, 1), low=0.5), sample((2, 3), (1,), wrt=(0, 1), low=0.5)]
_ONE = [sample((2, 3))]


@gradient("Add", samples=_PAIRS, broadcasting=True)
def add(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy, db = dy"""
    return dy, dy


@gradient("Sub", samples=_PAIRS, broadcasting=True)
def sub(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy, db = -dy"""
    return dy, op.Neg(dy) if node.needs[1] else None


@gradient("Mul", samples=_PAIRS, broadcasting=True)
def mul(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy * b, db = dy * a"""
    a, b = node.inputs
    return (
        op.Mul(dy, b) if node.needs[0] else None,
        op.Mul(dy, a) if node.needs[1] else None,
    )


@gradient("Div", samples=_POSITIVE, broadcasting=True)
def div(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy / b, db = -dy * y / b"""
    _, b = node.inputs
    (y,) = node.outputs
    da = op.Div(dy, b)
    return da, op.Neg(op.Mul(da, y)) if node.needs[1] else None


@gradient(
    "Mod",
    samples=[
        sample((2, 3), np.array([0.7, -1.3, 1.1]), wrt=(0, 1), fmod=1),
        sample((2, 1, 3), np.array([[0.7], [-0.4]]), wrt=(0, 1), fmod=1),
    ],
    broadcasting=True,
)
def mod(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy, db = -dy * (a - y) / b, a whole number"""
    a, b = node.inputs
    db = None
    if node.needs[1]:
        whole = op.Round(op.Div(op.Sub(a, node.outputs[0]), b))
        db = op.Neg(op.Mul(dy, whole))
    return dy, db


@gradient(
    "Pow",
    samples=[
        *_POSITIVE,
        *(sample((2, 3), np.array(e)) for e in (0.0, 1.0, 2.0, 3.0)),
        sample((2, 3), np.array([2, 3, 1])),
    ],
    broadcasting=True,
)
def pow_(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy * b * a^(b-1), db = dy * y * log(a)"""
    a, b = node.inputs
    (y,) = node.outputs
    da = db = None
    if node.needs[0]:
        exponent = constant_of(b)
        if exponent is not None and exponent.size == 1:
            e = float(exponent.reshape(()))
            if e in (0, 1):  # 0 * 0^-1 would be NaN
                da = op.Mul(dy, e)
            else:
                da = op.Mul(dy, op.Mul(a if e == 2 else op.Pow(a, e - 1), e))
        else:
            b = op.Cast(b, to=_type(dy).value)  # exponents may be whole numbers
            da = op.Mul(dy, op.Mul(b, op.Pow(a, op.Sub(b, 1.0))))
    if node.needs[1]:
        db = op.Mul(dy, op.Mul(y, op.Log(a)))
    return da, db


@gradient("Neg", samples=_ONE)
def neg(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = -dy"""
    return op.Neg(dy)


@gradient("Identity", samples=_ONE)
def identity(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy"""
    return dy


@gradient("Abs", samples=_ONE)
def abs_(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * sign(x); 0 at 0"""
    return op.Mul(dy, op.Sign(node.inputs[0]))


@gradient("Exp", samples=_ONE)
def exp(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * y"""
    return op.Mul(dy, node.outputs[0])


@gradient("Log", samples=[sample((2, 3), low=0.5)])
def log(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / x"""
    return op.Div(dy, node.inputs[0])


@gradient("Sqrt", samples=[sample((2, 3), low=0.5)])
def sqrt(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / (2 y)"""
    return op.Div(dy, op.Mul(node.outputs[0], 2.0))


@gradient("Reciprocal", samples=[sample((2, 3), low=0.5)])
def reciprocal(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = -dy * y^2"""
    (y,) = node.outputs
    return op.Neg(op.Mul(dy, op.Mul(y, y)))


@gradient("Sin", samples=_ONE)
def sin(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * cos(x)"""
    return op.Mul(dy, op.Cos(node.inputs[0]))


@gradient("Cos", samples=_ONE)
def cos(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = -dy * sin(x)"""
    return op.Neg(op.Mul(dy, op.Sin(node.inputs[0])))


@gradient("Erf", samples=[])
def erf(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * 2/sqrt(pi) * exp(-x^2)"""
    (x,) = node.inputs
    return op.Mul(dy, op.Mul(op.Exp(op.Neg(op.Mul(x, x))), 2.0 / np.sqrt(np.pi)))


@gradient("Max", "Min", samples=_PAIRS, broadcasting=True)
def max_min(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy for the first input that equals the extreme"""
    (y,) = node.outputs
    zero = op.constant(0.0, _type(dy))
    left = dy
    found: list[ir.Value | None] = []
    for x, needed in zip(node.inputs, node.needs, strict=True):
        hit = op.Equal(x, y)
        found.append(op.Where(hit, left, zero) if needed else None)
        left = op.Where(hit, zero, left)
    return found


@gradient(
    "Where",
    samples=[sample(np.array([[True, False, True]]), (2, 3), (2, 3), wrt=(1, 2))],
    broadcasting=True,
)
def where(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """da = dy where the condition holds, db = dy where it does not"""
    condition = node.inputs[0]
    zero = op.constant(0.0, _type(dy))
    return None, op.Where(condition, dy, zero), op.Where(condition, zero, dy)


@gradient("Sum", samples=_PAIRS, broadcasting=True)
def sum_(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """each dx = dy"""
    return [dy for _ in node.inputs]


@gradient("Mean", samples=_PAIRS[:2], broadcasting=True)  # onnx.reference broadcasts one way
def mean(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """each dx = dy / n"""
    share = op.Div(dy, float(len(node.inputs)))
    return [share for _ in node.inputs]


@gradient("Cast", samples=[])
def cast(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy in the input's type; whole numbers leave it as it is"""
    return in_type_of(op, node.inputs[0], dy)


def in_type_of(op: Emitter, x: ir.Value | None, dy: ir.Value) -> ir.Value:
    """Return dy in the type of x, or as it is where x holds whole numbers."""
    assert x is not None
    return op.Cast(dy, to=_type(x).value) if _type(x).is_floating_point() else dy


@gradient("Dropout", samples=[])
def dropout(op: Emitter, node: Node, dy: ir.Value, *_: ir.Value | None) -> Gradients:
    """dx = dy: a deployed model drops nothing"""
    training = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if training is not None and training.any():
        raise GradientUnavailable(f"Dropout ({node.name}): the model is in training mode")
    return dy


def _type(value: ir.Value) -> ir.DataType:
    assert value.dtype is not None
    return value.dtype
