"""Products of a vector with the Hessian or the Gauss-Newton matrix, as ONNX graphs.

Each is two or three reverse walks in one graph: nothing of the size of the matrix is computed. They
serve conjugate gradients, influence functions and the curvature of a loss around its minimum.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.errors import GradientUnavailable, ModelRefused
from leap_audit.gradient.build import OF, Prepared, prepare
from leap_audit.gradient.names import as_variables, free_names
from leap_audit.gradient.walk import backpropagate
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_input
from leap_audit.graph.weights import into_proto

__all__ = ["gauss_newton_product", "hessian_product", "logits_behind"]

Loss = Literal["cross_entropy", "squared"]
_Products = Callable[[Emitter, Sequence[ir.Value]], Sequence[ir.Value]]


def hessian_product(
    model: str | Path | onnx.ModelProto,
    *,
    wrt: str | Sequence[str],
    batch: int = 1,
    of: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> onnx.ModelProto:
    """Return a graph that computes H v, with H the Hessian of sum(cotangent * of) by `wrt`.

    The parameters are those of `build_gradient`. Inputs of the graph: the model's own, `cotangent`,
    and `<name>_vector` for each of `wrt`, of its shape; outputs: the model's own and
    `<name>_product`, the part of H v that belongs to `<name>`: its rows of H times all vectors.

    Pearlmutter 1994; reverse over reverse. With respect to its input, a network of ReLU and linear
    layers has the Hessian 0 nearly everywhere.

    Raises what `build_gradient` raises. GradientUnavailable: nothing in the gradient is computed
    from `wrt`; an operator of the gradient has no gradient itself.
    """
    prepared = prepare(model, batch=batch, wrt=wrt, of=of, shapes=shapes)
    graph, output = prepared.model.graph, prepared.output
    free_names(graph, ["cotangent"])
    assert output.dtype is not None
    cotangent = new_input(graph, "cotangent", static_shape(output), output.dtype)

    def products(op: Emitter, vectors: Sequence[ir.Value]) -> Sequence[ir.Value]:
        slopes = _apart(op, backpropagate(op, {output: cotangent}, prepared.values))
        try:
            return backpropagate(op, dict(zip(slopes, vectors, strict=True)), prepared.values)
        except GradientUnavailable as error:
            if "does not depend on" not in str(error):
                raise
            names = ", ".join(repr(str(value.name)) for value in prepared.values)
            raise GradientUnavailable(
                f"the gradient by {names} does not change with them: the Hessian is zero."
            ) from None

    return _with_products(prepared, products)


def gauss_newton_product(
    model: str | Path | onnx.ModelProto,
    *,
    wrt: str | Sequence[str],
    loss: Loss = "cross_entropy",
    batch: int = 1,
    of: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> onnx.ModelProto:
    """Return a graph that computes G v, with G = Jᵀ H J the Gauss-Newton matrix of a loss.

    J: the Jacobian of the output by `wrt`. H: the Hessian of the loss by the output, summed over
    the batch: of "cross_entropy" diag(p) - p pᵀ with p the softmax over axis 1 (of an output that
    is a Softmax itself, its input is taken), whatever the labels; of "squared", |y - target|² / 2,
    the identity. The other parameters are those of `build_gradient`; inputs and outputs are those
    of `hessian_product`, without `cotangent`.

    G is positive semidefinite, and equals the Hessian of the loss where the output is linear in
    `wrt` or fits. Schraudolph 2002; J v by differentiating Jᵀ u, which is linear in u, by u.

    Raises what `build_gradient` raises. ModelRefused: cross-entropy of an output without classes.
    """
    prepared = prepare(model, batch=batch, wrt=wrt, of=of, shapes=shapes)
    output = prepared.output
    if loss == "cross_entropy":
        output = logits_behind(output)
        if len(static_shape(output)) < 2:
            raise ModelRefused(
                f"output {output.name!r} has shape {static_shape(output)}: no axis of classes, "
                "which the cross-entropy needs."
            )

    def products(op: Emitter, vectors: Sequence[ir.Value]) -> Sequence[ir.Value]:
        u = op.Mul(output, 0.0)  # of the output's shape and type; its numbers do not matter
        pulled = _apart(op, backpropagate(op, {output: u}, prepared.values))
        (pushed,) = backpropagate(op, dict(zip(pulled, vectors, strict=True)), [u])
        if loss == "cross_entropy":
            p = op.Softmax(output, axis=1)
            mean = op.ReduceSum(op.Mul(p, pushed), [1], keepdims=1)
            pushed = op.Mul(p, op.Sub(pushed, mean))
        return backpropagate(op, {output: pushed}, prepared.values)

    return _with_products(prepared, products)


def logits_behind(output: ir.Value) -> ir.Value:
    """Return the input of the Softmax or LogSoftmax that an output is, else the output."""
    node = output.producer()
    if node is None or node.domain != "" or node.op_type not in ("Softmax", "LogSoftmax"):
        return output
    (x,) = node.inputs
    assert x is not None
    return x


def _with_products(prepared: Prepared, products: _Products) -> onnx.ModelProto:
    """Append the inputs `<name>_vector` and the outputs `<name>_product` to a prepared graph."""
    model, values = prepared.model, prepared.values
    graph = model.graph
    free_names(graph, [f"{v.name}_{part}" for v in values for part in ("vector", "product")])
    vectors = []
    for value in values:
        if value.dtype is None or not value.dtype.is_floating_point():
            raise GradientUnavailable(f"{value.name!r} holds whole numbers: it has no curvature.")
        vectors.append(new_input(graph, f"{value.name}_vector", static_shape(value), value.dtype))
    op = Emitter(graph, "curvature")
    with as_variables(values):
        found = _apart(op, products(op, vectors))
    for value, product in zip(values, found, strict=True):
        product.name = f"{value.name}_product"
        graph.outputs.append(product)
    model.metadata_props[OF] = str(prepared.output.name)
    common.RemoveUnusedNodesPass()(model)
    return into_proto(model)


def _apart(op: Emitter, values: Sequence[ir.Value]) -> list[ir.Value]:
    """Tensors of their own for values that may be the same one, or an input of the graph."""
    return [op.Identity(value) for value in values]
