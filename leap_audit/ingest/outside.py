"""The graph of a network that is no ONNX graph: one node, which PyTorch computes."""

import onnx_ir as ir

from leap_audit.ingest.canonical import OPSET
from leap_audit.ingest.values import new_node
from leap_audit.run.outside import NETWORK

__all__ = ["outside_graph"]


def outside_graph(x: tuple[int, ...], scores: tuple[int, ...], probabilities: bool) -> ir.Model:
    """Return a graph from `picture`, of shape x, to the logits of that shape.

    probabilities: the network ends in a softmax; their logarithm has the softmax of the logits.
    """
    kind = ir.TensorType(ir.DataType.FLOAT)
    picture = ir.Value(name="picture", shape=ir.Shape(x), type=kind)
    node = new_node(NETWORK, [picture], {}, ["scores"])
    found, nodes = node.outputs[0], [node]
    found.type, found.shape = kind, ir.Shape(scores)
    graph = ir.Graph([picture], [], nodes=nodes, opset_imports={"": OPSET}, name="outside")
    if probabilities:
        least = ir.Value(
            name="least",
            const_value=ir.tensor([1e-30], dtype=ir.DataType.FLOAT),
            shape=ir.Shape((1,)),
            type=kind,
        )
        graph.register_initializer(least)
        for op_type, inputs in (("Max", [found, least]), ("Log", None)):
            step = new_node(op_type, inputs or [found], {}, [op_type.lower()])
            graph.append(step)
            found = step.outputs[0]
            found.type, found.shape = kind, ir.Shape(scores)
    graph.outputs.append(found)
    return ir.Model(graph, ir_version=10)
