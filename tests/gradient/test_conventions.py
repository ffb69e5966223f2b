"""What the gradient is where it has no one value, as docs/adding-an-operator.md says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient import Emitter, backpropagate
from tests.builders.emitted import numbers, start

Write = Callable[..., ir.Value]
"""Appends nodes to a graph and returns their output."""


def _gradient(write: Write, *inputs: Any) -> list[list[float]]:
    """The gradient of the sum of what `write` computes."""
    named = {f"x{i}": x for i, x in enumerate(inputs)}
    op, values = start(**{name: np.shape(x) for name, x in named.items()})
    y = write(op, *values)
    dy = op.constant(np.ones(tuple(y.shape)))
    return [dx.tolist() for dx in numbers(op, backpropagate(op, {y: dy}, values), named)]


@pytest.mark.parametrize(
    ("write", "x", "expected"),
    [
        (lambda op, x: op.Relu(x), [-1, 0, 1], [0, 0, 1]),
        (lambda op, x: op.Abs(x), [-1, 0, 1], [-1, 0, 1]),
        (lambda op, x: op.LeakyRelu(x, alpha=0.5), [-1, 0, 1], [0.5, 0.5, 1]),
        (lambda op, x: op.Clip(x, 0.0, 6.0), [-1, 0, 3, 6, 7], [0, 0, 1, 0, 0]),
        (lambda op, x: op.HardSigmoid(x, alpha=0.5, beta=0.5), [-1, 0, 1], [0, 0.5, 0]),
        (lambda op, x: op.HardSwish(x), [-3, 0, 3], [0, 0.5, 1]),
        (lambda op, x: op.ReduceMax(x), [1, 2, 2, 0], [0, 0.5, 0.5, 0]),
        (lambda op, x: op.ReduceMin(x), [1, 2, 1, 3], [0.5, 0, 0.5, 0]),
        (lambda op, x: op.ReduceL2(x), [0, 0], [0, 0]),
        (lambda op, x: op.Selu(x, alpha=0.5, gamma=3.0), [0, 1], [1.5, 3]),
        (lambda op, x: op.Celu(x, alpha=0.5), [0, 1], [1, 1]),
        (lambda op, x: op.ThresholdedRelu(x, alpha=2.0), [1, 2, 3], [0, 0, 1]),
        (lambda op, x: op.Shrink(x, lambd=2.0), [-3, -2, 0, 2, 3], [1, 0, 0, 0, 1]),
        (lambda op, x: op.Mod(x, [2.0], fmod=1), [-2, 0, 1, 2], [1, 1, 1, 1]),
        (lambda op, x: op.LpNormalization(x, p=1), [0, 0], [0, 0]),
        (lambda op, x: op.LpNormalization(x, p=2), [0, 0], [0, 0]),
        (lambda op, x: op.LpNormalization(x, p=1), [0, 2], [0.5, 0]),
        (lambda op, x: op.ReduceProd(x), [2, 0, 3], [0, 6, 0]),
        (lambda op, x: op.ReduceProd(x), [0, 0, 3], [0, 0, 0]),
        (lambda op, x: op.Pow(x, 1.0), [0, 2], [1, 1]),
        (lambda op, x: op.Pow(x, 0.0), [0, 2], [0, 0]),
    ],
)
def test_kinks_and_ties(write: Write, x: list[float], expected: list[float]) -> None:
    assert _gradient(write, x) == [pytest.approx(expected)]


@pytest.mark.parametrize("name", ["Max", "Min"])
def test_the_first_of_tied_inputs_takes_it_all(name: str) -> None:
    def write(op: Emitter, *values: ir.Value) -> ir.Value:
        found: ir.Value = getattr(op, name)(*values)
        return found

    assert _gradient(write, [1, 1], [1, 1], [1, 1]) == [[1, 1], [0, 0], [0, 0]]


def test_the_first_pixel_of_a_tied_window_takes_it_all() -> None:
    flat = [[[[0, 0, 1, 1], [0, 0, 1, 1], [2, 5, 3, 3], [5, 2, 3, 2]]]]
    (dx,) = _gradient(lambda op, x: op.MaxPool(x, kernel_shape=[2, 2], strides=[2, 2]), flat)
    assert dx == [[[[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]]]


@pytest.mark.parametrize("name", ["MaxPool", "AveragePool"])
def test_a_window_behind_the_picture_is_refused(name: str) -> None:
    def write(op: Emitter, x: ir.Value) -> ir.Value:
        return getattr(op, name)(x, kernel_shape=[1, 1], strides=[2, 2], ceil_mode=1)

    with pytest.raises(GradientUnavailable, match="ceil_mode"):
        _gradient(write, [[[[1, 2], [3, 4]]]])


def test_global_max_pool_shares_among_ties() -> None:
    (dx,) = _gradient(lambda op, x: op.GlobalMaxPool(x), [[[[1, 3], [3, 0]]]])
    assert dx == [[[[0, 0.5], [0.5, 0]]]]


@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_window_of_zeros_takes_nothing(p: int) -> None:
    row = [[[0, 0, 0, 0]]]
    (dx,) = _gradient(lambda op, x: op.LpPool(x, kernel_shape=[2], strides=[2], p=p), row)
    assert dx == row
    (dx,) = _gradient(lambda op, x: op.GlobalLpPool(x, p=p), row)
    assert dx == row


def test_the_last_of_the_pixels_put_to_one_place_takes_it_all() -> None:
    def write(op: Emitter, x: ir.Value) -> ir.Value:
        return op.MaxUnpool(x, np.array([[[1, 2, 1]]]), kernel_shape=[2], strides=[1])

    assert _gradient(write, [[[5, 7, 6]]]) == [[[[0, 1, 1]]]]


def test_einsum_that_repeats_a_letter_of_length_1_is_refused() -> None:
    def write(op: Emitter, a: ir.Value, b: ir.Value) -> ir.Value:
        return op.Einsum(a, b, equation="ij,ij->ij")

    with pytest.raises(GradientUnavailable, match="ellipsis"):
        _gradient(write, [[1, 2]], [[1, 2], [3, 4]])


def test_a_large_determinant_is_refused() -> None:
    with pytest.raises(GradientUnavailable, match="16 rows"):
        _gradient(lambda op, x: op.Det(x), np.eye(17).tolist())


def test_a_kernel_computed_from_the_input_counts_as_well() -> None:
    # x0^2 + x1^2, and the sum of all products.
    assert _gradient(lambda op, x: op.Conv(x, x), [[[1, 2]]]) == [[[[2, 4]]]]
    assert _gradient(lambda op, x: op.ConvTranspose(x, x), [[[1, 2]]]) == [[[[6, 6]]]]


def test_conv_transpose_whose_shape_is_in_doubt_is_refused() -> None:
    def write(op: Emitter, x: ir.Value) -> ir.Value:
        attributes = {"auto_pad": "SAME_UPPER", "output_padding": [1], "strides": [2]}
        return op.ConvTranspose(x, np.ones((1, 1, 3)), **attributes)

    with pytest.raises(GradientUnavailable, match="explicit pads"):
        _gradient(write, [[[1, 2]]])


def test_top_k_gives_to_the_indices_it_returns() -> None:
    (dx,) = _gradient(lambda op, x: op.emit("TopK", [x, [1]], {}, 2)[0], [1, 2, 2, 0])
    assert dx == [0, 1, 0, 0]


@pytest.mark.parametrize("reduction", ["max", "min"])
@pytest.mark.parametrize("name", ["ScatterElements", "ScatterND"])
def test_scattered_extremes_share_among_ties(name: str, reduction: str) -> None:
    places = np.array([0, 0]) if name == "ScatterElements" else np.array([[0], [0]])

    def write(op: Emitter, x: ir.Value, updates: ir.Value) -> ir.Value:
        return getattr(op, name)(x, places, updates, reduction=reduction)

    assert _gradient(write, [3, 5], [3, 3]) == [
        pytest.approx([1 / 3, 1]),
        pytest.approx([1 / 3] * 2),
    ]


def test_a_product_with_one_zero_has_a_gradient_there() -> None:
    def write(op: Emitter, x: ir.Value, updates: ir.Value) -> ir.Value:
        return op.ScatterElements(x, np.array([0, 0, 1, 1]), updates, reduction="mul")

    assert _gradient(write, [3, 5], [0, 2, 0, 0]) == [[0, 0], [6, 0, 0, 0]]
