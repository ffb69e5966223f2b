"""Matrix products and determinants."""

import math

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape

LARGEST_DET = 16
"""Rows of a matrix up to which all its minors are affordable: they hold n^4 numbers."""


@gradient(
    "MatMul",
    samples=[
        sample((2, 3), (3, 4), wrt=(0, 1)),
        sample((5, 2, 3), (5, 3, 4), wrt=(0, 1)),
        sample((5, 2, 3), (3, 4), wrt=(0, 1)),
        sample((2, 3), (5, 3, 4), wrt=(0, 1)),
        sample((2, 1, 2, 3), (5, 3, 4), wrt=(0, 1)),
        sample((3,), (3, 4), wrt=(0, 1)),
        sample((2, 3), (3,), wrt=(0, 1)),
        sample((5, 2, 3), (3,), wrt=(0, 1)),
        sample((3,), (5, 3, 4), wrt=(0, 1)),
        sample((3,), (3,), wrt=(0, 1)),
    ],
)
def matmul(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dA = dy Bᵀ, dB = Aᵀ dy; one-dimensional operands become a row and a column"""
    a_shape, b_shape = node.shape(0), node.shape(1)
    a, b = node.inputs
    assert a is not None
    assert b is not None
    row, column = len(a_shape) == 1, len(b_shape) == 1
    if row:
        a = op.Reshape(a, (1, *a_shape))
    if column:
        b = op.Reshape(b, (*b_shape, 1))
    batch = static_shape(dy)[: len(static_shape(dy)) - (not row) - (not column)]
    dy = op.Reshape(dy, (*batch, static_shape(a)[-2], static_shape(b)[-1])) if row or column else dy
    da = db = None
    if node.needs[0]:
        da = _summed_to(op, _by_transposed(op, dy, b), a_shape, (*static_shape(a),))
    if node.needs[1]:
        db = _summed_to(op, _transposed_by(op, a, dy, b), b_shape, (*static_shape(b),))
    return da, db


@gradient(
    "Gemm",
    samples=[
        sample((2, 3), (3, 4), (4,), wrt=(0, 1, 2)),
        sample((3, 2), (4, 3), (2, 1), wrt=(0, 1, 2), transA=1, transB=1, alpha=0.5, beta=0.25),
        sample((2, 3), (4, 3), wrt=(0, 1), transB=1),
        sample((3, 2), (3, 4), (), wrt=(0, 1, 2), transA=1),
    ],
)
def gemm(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """With A' and B' as used: dA' = alpha dy B'ᵀ, dB' = alpha A'ᵀ dy, dC = beta dy"""
    a, b = node.inputs[:2]
    alpha, beta = float(node.attribute("alpha")), float(node.attribute("beta"))
    turned_a, turned_b = bool(node.attribute("transA")), bool(node.attribute("transB"))
    da = db = dc = None
    if node.needs[0]:
        if turned_a:
            da = op.Gemm(b, dy, alpha=alpha, transA=int(turned_b), transB=1)
        else:
            da = op.Gemm(dy, b, alpha=alpha, transB=int(not turned_b))
    if node.needs[1]:
        if turned_b:
            db = op.Gemm(dy, a, alpha=alpha, transA=1, transB=int(turned_a))
        else:
            db = op.Gemm(a, dy, alpha=alpha, transA=int(not turned_a))
    if len(node.inputs) > 2 and node.needs[2]:
        c_shape = node.shape(2)
        padded = (1,) * (2 - len(c_shape)) + c_shape
        dc = _summed_to(op, op.Mul(dy, beta), c_shape, padded)
    return da, db, dc


@gradient(
    "Det",
    samples=[
        sample((3, 3)),
        sample((2, 2, 4, 4)),
        sample((2, 2, 2)),
        sample((2, 1, 1)),
        sample(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.5, -1.0, 2.0]])),
    ],
)
def det(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * the cofactors: signed determinants of x without a row and a column

    Unlike dy * y * inverse(x)ᵀ it is right for a singular matrix.
    """
    shape = node.shape(0)
    n = shape[-1]
    if n == 1:
        return op.Reshape(dy, shape)
    if n > LARGEST_DET:
        raise GradientUnavailable(f"Det ({node.name}): no gradient above {LARGEST_DET} rows")
    kept = np.array([[j for j in range(n) if j != i] for i in range(n)])
    places = kept[:, None, :, None] * n + kept[None, :, None, :]
    minors = op.Det(op.Gather(op.Reshape(node.inputs[0], (*shape[:-2], n * n)), places, axis=-1))
    signs = (-1.0) ** np.add.outer(np.arange(n), np.arange(n))
    return op.Mul(op.Reshape(dy, (*shape[:-2], 1, 1)), op.Mul(minors, signs))


def _by_transposed(op: Emitter, dy: ir.Value, b: ir.Value) -> ir.Value:
    """dy Bᵀ. Gemm reads a matrix B as it lies; of a weight, Transpose makes a second copy."""
    if len(static_shape(b)) > 2:
        return op.MatMul(dy, _transposed(op, b))
    *batch, columns = static_shape(dy)
    rows = op.Reshape(dy, (math.prod(batch), columns)) if len(batch) != 1 else dy
    product = op.Gemm(rows, b, transB=1)
    return product if len(batch) == 1 else op.Reshape(product, (*batch, static_shape(b)[0]))


def _transposed_by(op: Emitter, a: ir.Value, dy: ir.Value, b: ir.Value) -> ir.Value:
    """Aᵀ dy. Of one matrix B for a batch of A one product: by parts each item has B's size."""
    *batch, rows, columns = static_shape(a)
    if len(static_shape(b)) > 2 or not batch:
        return op.MatMul(_transposed(op, a), dy)
    every = math.prod(batch) * rows
    left, right = op.Reshape(a, (every, columns)), op.Reshape(dy, (every, static_shape(b)[1]))
    return op.Gemm(left, right, transA=1)


def _transposed(op: Emitter, x: ir.Value) -> ir.Value:
    axes = list(range(len(static_shape(x))))
    return op.Transpose(x, perm=[*axes[:-2], axes[-1], axes[-2]])


def _summed_to(
    op: Emitter, dx: ir.Value, shape: tuple[int, ...], padded: tuple[int, ...]
) -> ir.Value:
    """Sum over the axes along which an operand was repeated. `padded`: its shape as multiplied."""
    have = static_shape(dx)
    aligned = (1,) * (len(have) - len(padded)) + padded
    axes = [i for i, (a, b) in enumerate(zip(aligned, have, strict=True)) if a == 1 != b]
    if axes:
        dx = op.ReduceSum(dx, axes, keepdims=1)
    return dx if static_shape(dx) == shape else op.Reshape(dx, shape)
