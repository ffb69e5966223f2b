"""What quantisation rounds to 0 and a network divides by: the gradient there is 0."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.gradient import backpropagate
from leap_audit.graph.emit import Emitter
from tests.builders.emitted import numbers, start

Write = Callable[[Emitter, ir.Value], ir.Value]
FUNCTIONS: dict[str, tuple[Write, Callable[[np.ndarray], np.ndarray]]] = {
    "Div": (lambda op, b: op.Div(1.0, b), lambda b: -1 / b**2),
    "Reciprocal": (lambda op, b: op.Reciprocal(b), lambda b: -1 / b**2),
    "Log": (lambda op, b: op.Log(b), lambda b: 1 / b),
    "Pow": (lambda op, b: op.Pow(b, -0.5), lambda b: -0.5 * b**-1.5),
    "Sqrt, then Div": (lambda op, b: op.Div(1.0, op.Sqrt(b)), lambda b: -0.5 * b**-1.5),
    "moved": (
        lambda op, b: op.Div(1.0, op.Reshape(op.Unsqueeze(b, [0]), [-1])),
        lambda b: -1 / b**2,
    ),
    "scaled": (lambda op, b: op.Mul(2.0, op.Div(1.0, b)), lambda b: -2 / b**2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_slope_at_a_pole_that_rounding_made_is_0(name: str) -> None:
    write, slope = FUNCTIONS[name]
    op, (x,) = start(x=(4,))
    s, z = op.constant(0.125), op.constant(0, ir.DataType.UINT8)
    b = op.DequantizeLinear(op.QuantizeLinear(x, s, z), s, z)
    t = op.constant(1.0), op.constant(0, ir.DataType.INT8)
    y = op.DequantizeLinear(op.QuantizeLinear(write(op, b), *t), *t)
    dy = op.constant([1.0, 1.0, 1.0, 1.0])
    (dx,) = numbers(op, backpropagate(op, {y: dy}, [x]), {"x": [0.0, 0.02, 0.5, 2.0]})
    np.testing.assert_allclose(dx, [0, 0, *slope(np.array([0.5, 2.0]))], rtol=1e-5)


def test_nothing_divided_by_nothing_passes_nothing() -> None:
    op, (x,) = start(x=(2,))
    s, z = op.constant(0.125), op.constant(0, ir.DataType.UINT8)
    b = op.DequantizeLinear(op.QuantizeLinear(x, s, z), s, z)
    quotient = op.Mul(op.Div(b, b), 3.0)
    y = op.DequantizeLinear(op.QuantizeLinear(quotient, s, z), s, z)
    (dx,) = numbers(op, backpropagate(op, {y: op.constant([1.0, 1.0])}, [x]), {"x": [0.0, 1.0]})
    np.testing.assert_allclose(dx, [0, 0], atol=1e-6)


def test_a_pole_of_the_network_itself_stays() -> None:
    op, (x,) = start(x=(2,))
    (dx,) = numbers(
        op,
        backpropagate(op, {op.Sqrt(x): op.constant([1.0, 1.0])}, [x]),
        {"x": [0.0, 4.0]},
    )
    np.testing.assert_array_equal(dx, [np.inf, 0.25])
