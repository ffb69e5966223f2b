"""The graph of a network that is no ONNX graph: one node, which PyTorch computes."""

import onnx_ir as ir

from leap_audit.graph.opset import IR_VERSION, OPSET
from leap_audit.graph.values import new_node
from leap_audit.run.opaque import NETWORK

__all__ = ["outside_graph"]


def outside_graph(x: tuple[int, ...], scores: tuple[int, ...]) -> ir.Model:
    """Return a graph from `picture`, of shape x, to `scores`, of that shape."""
    kind = ir.TensorType(ir.DataType.FLOAT)
    picture = ir.Value(name="picture", shape=ir.Shape(x), type=kind)
    node = new_node(NETWORK, [picture], {}, ["scores"])
    found = node.outputs[0]
    found.type, found.shape = kind, ir.Shape(scores)
    graph = ir.Graph([picture], [], nodes=[node], opset_imports={"": OPSET}, name="outside")
    graph.outputs.append(found)
    return ir.Model(graph, ir_version=IR_VERSION)
