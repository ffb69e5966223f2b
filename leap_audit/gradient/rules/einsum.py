"""Einsum: the gradient of an operand is an Einsum of dy and the other operands."""

import string
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape


@gradient(
    "Einsum",
    samples=[
        sample((2, 3), (3, 4), wrt=(0, 1), equation="ij,jk->ik"),
        sample((2, 3), (3, 4), wrt=(0, 1), equation="ij,jk"),
        sample((2, 3), (2, 4), wrt=(0, 1), equation=" z a , z b -> b a "),
        sample((2, 3), (3, 4), (4, 2), wrt=(0, 1, 2), equation="ij,jk,kl->il"),
        sample((2, 3, 4), wrt=0, equation="ijk->j"),
        sample((2, 3), (4,), wrt=(0, 1), equation="ij,k->i"),
        sample((2, 3), (2, 3), wrt=(0, 1), equation="ij,ij->"),
        sample((3,), (4,), wrt=(0, 1), equation="I,i->iI"),
        sample((2, 5, 3), (3, 4), wrt=(0, 1), equation="...ij,jk->...ik"),
        sample((1, 5, 3), (4, 3, 2), wrt=(0, 1), equation="...ij,...jk->...ik"),
        sample((2, 1, 3), (4, 3), wrt=(0, 1), equation="a...i,...i"),
        sample((3, 3), equation="ii->i"),
        sample((3, 3), equation="ii"),
        sample((2, 3, 3), (2, 3), wrt=(0, 1), equation="...ii,...i->...i"),
        sample((2, 2, 2), equation="iii->i"),
        sample((1, 3), (1, 3), wrt=(0, 1), equation="ij,ij->ij"),
        sample((1, 3), (4, 3), (4, 3), wrt=(0, 1, 2), equation="ij,ij,ij->j"),
        sample((1, 1), (1,), wrt=(0, 1), equation="ii,i"),
    ],
)
def einsum(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = the other operands and dy, summed over all but x's axes, repeated along x's own axes"""
    shapes = [node.shape(i) for i in range(len(node.inputs))]
    terms, out = _labels(node, shapes)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    if [sizes[label] for label in out] != list(static_shape(dy)):
        raise GradientUnavailable(
            f"Einsum ({node.name}): an axis of length 1 meets a longer one under one letter, "
            "of which ONNX infers the wrong shape; write it with an ellipsis."
        )
    found: list[ir.Value | None] = []
    for i, needed in enumerate(node.needs):
        others = [(node.inputs[k], terms[k]) for k in range(len(terms)) if k != i]
        found.append(_operand(op, [(dy, out), *others], terms[i], shapes[i]) if needed else None)
    return found


def _operand(
    op: Emitter,
    read: Sequence[tuple[ir.Value | None, str]],
    term: str,
    shape: tuple[int, ...],
) -> ir.Value:
    """Return the gradient of the operand `term` of this shape from the tensors read."""
    reads = [_long_axes(op, value, labels) for value, labels in read if value is not None]
    dtype = reads[0][0].dtype
    assert dtype is not None
    spare = _spare(term + "".join(labels for _, labels in reads))
    own = ""
    for label, size in zip(term, shape, strict=True):
        if label in own and size > 1:  # a diagonal: off it the gradient is 0
            fresh = spare.pop()
            reads.append((op.constant(np.eye(size), dtype), label + fresh))
            label = fresh
        own += label
    known = {label for _, labels in reads for label in labels}
    kept = [size > 1 and label in known for label, size in zip(own, shape, strict=True)]
    equation = ",".join(labels for _, labels in reads) + "->"
    equation += "".join(label for label, keep in zip(own, kept, strict=True) if keep)
    dx = op.Einsum(*(value for value, _ in reads), equation=equation)
    # What only x has was summed: its gradient is the same all along.
    before = tuple(size if keep else 1 for size, keep in zip(shape, kept, strict=True))
    dx = dx if static_shape(dx) == before else op.Reshape(dx, before)
    return dx if before == shape else op.Expand(dx, shape)


def _long_axes(op: Emitter, value: ir.Value, labels: str) -> tuple[ir.Value, str]:
    """Drop axes of length 1: beside a longer one of the same letter, they confuse inference."""
    shape = static_shape(value)
    long = [i for i, size in enumerate(shape) if size > 1]
    if len(long) == len(shape):
        return value, labels
    return op.Reshape(value, [shape[i] for i in long]), "".join(labels[i] for i in long)


def _labels(node: Node, shapes: Sequence[tuple[int, ...]]) -> tuple[list[str], str]:
    """Return the labels of each operand and of the output, ellipses and output written out."""
    equation = node.attribute("equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    spare = _spare(equation)
    hidden = [  # axes that each ellipsis stands for
        len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)
    ]
    dots = "".join(spare.pop() for _ in range(max(hidden)))
    if not arrow:  # the ellipsis, then what occurs once
        once = sorted(c for c in set(left) - set(",.") if left.count(c) == 1)
        right = "..." * ("..." in left) + "".join(once)
    written = [
        term.replace("...", dots[len(dots) - count :])
        for term, count in zip(terms, hidden, strict=True)
    ]
    return written, right.replace("...", dots)


def _spare(used: str) -> list[str]:
    return [letter for letter in string.ascii_letters if letter not in used]
