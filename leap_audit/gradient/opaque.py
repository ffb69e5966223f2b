"""A network that is no ONNX graph, as a node of one, and the gradient of that node."""

from collections.abc import Sequence

import onnx_ir as ir

from leap_audit.gradient.table import Node, Rule
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_node
from leap_audit.run.opaque import NETWORK, NETWORK_GRADIENT

__all__ = ["OUTSIDE"]


def _network(op: Emitter, node: Node, dy: ir.Value) -> ir.Value:
    """dx, which whoever computes y computes as well."""
    (x,) = node.inputs
    assert x is not None
    return _appended(op, NETWORK_GRADIENT, [x, dy], static_shape(x))


def _appended(
    op: Emitter, kind: str, inputs: Sequence[ir.Value], shape: tuple[int, ...]
) -> ir.Value:
    name = f"{kind}_{len(op.graph)}"
    node = new_node(kind, list(inputs), {}, [name])
    (y,) = node.outputs
    y.type, y.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(shape)
    op.graph.append(node)
    return y


OUTSIDE = {NETWORK: Rule(NETWORK, _network, (), broadcasting=False)}
"""Operator -> rule, beside the table of ONNX's operators."""
