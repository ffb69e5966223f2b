"""Opaque nodes: a module that is no ONNX graph, as one node that PyTorch computes."""

import onnx_ir as ir

from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input, new_node
from leap_audit.run.opaque import OPAQUE, OPAQUE_GRADIENT

__all__ = ["opaque_gradient", "opaque_graph"]


def opaque_graph(x: tuple[int, ...], scores: tuple[int, ...]) -> ir.Model:
    """Return a graph of one opaque node, from `picture`, of shape x, to `scores`, of that shape."""
    graph = new_graph()
    picture = new_input(graph, "picture", x)
    graph.outputs.append(_append(graph, OPAQUE, [picture], "scores", scores))
    return ir.Model(graph, ir_version=IR_VERSION)


def opaque_gradient(graph: ir.Graph, x: ir.Value, dy: ir.Value) -> ir.Value:
    """Append the node that computes the gradient of an opaque node, and return it, of x's shape."""
    name = f"{OPAQUE_GRADIENT}_{len(graph)}"
    return _append(graph, OPAQUE_GRADIENT, [x, dy], name, static_shape(x))


def _append(
    graph: ir.Graph, op_type: str, inputs: list[ir.Value], name: str, shape: tuple[int, ...]
) -> ir.Value:
    node = new_node(op_type, inputs, {}, [name])
    (y,) = node.outputs
    y.type, y.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(shape)
    graph.append(node)
    return y
