"""Name and order the nodes of a conversion by the graph alone, so that its bytes repeat.

tf2onnx goes through sets in an order that changes from call to call, puts addresses of memory into
names, and of what is double keeps the name of any. A report's checksum must not change with that.
"""

from collections.abc import Iterator

import onnx_ir as ir
from onnx_ir.passes import common

__all__ = ["with_stable_names"]


def with_stable_names(model: ir.Model) -> None:
    """Order the nodes by what the outputs need first, and name nodes, values and constants by it.

    A node with weights keeps its name, which is that of its layer; another is called after its
    operator. Inputs and outputs of the graph keep theirs.
    """
    common.RemoveUnusedNodesPass()(model)
    _sort(model.graph)
    names = _names(model.graph)
    for node, name in names.items():
        node.name = name
        for i, value in enumerate(node.outputs):
            if value not in model.graph.outputs:
                value.name = f"{name}:{i}"
    _name_constants(model.graph)


def _sort(graph: ir.Graph) -> None:
    for node in graph:
        for inner in _inside(node):
            _sort(inner)
    order: dict[ir.Node, None] = {}
    waiting = [n for y in reversed(graph.outputs) if (n := y.producer()) is not None]
    while waiting:
        node = waiting[-1]
        missing = [n for n in _needed(node, graph) if n not in order] if node not in order else []
        if missing:
            waiting.extend(reversed(missing))
        else:
            order.setdefault(waiting.pop())
    graph.remove(list(graph))
    graph.extend(order)


def _needed(node: ir.Node, graph: ir.Graph) -> Iterator[ir.Node]:
    """The nodes of a graph that one of its nodes, and the graphs inside that, take values of."""
    takers = [node, *(n for inner in _inside(node) for n in inner.all_nodes())]
    ends = [y for inner in _inside(node) for y in inner.outputs]
    for value in (*(x for taker in takers for x in taker.inputs), *ends):
        producer = value.producer() if value is not None else None
        if producer is not None and producer.graph is graph and producer is not node:
            yield producer


def _inside(node: ir.Node) -> list[ir.Graph]:
    return [
        attribute.as_graph()
        for _, attribute in sorted(node.attributes.items())
        if attribute.type == ir.AttributeType.GRAPH
    ]


def _names(graph: ir.Graph) -> dict[ir.Node, str]:
    nodes = list(graph.all_nodes())
    kept = {node: str(node.name) for node in nodes if node.name and _has_weights(node)}
    taken, found = set(kept.values()), dict(kept)
    counts: dict[str, int] = {}
    for node in nodes:
        while node not in found:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
            name = f"{node.op_type}_{counts[node.op_type]}"
            if name not in taken:
                found[node] = name
    return found


def _has_weights(node: ir.Node) -> bool:
    constants = [x.const_value for x in node.inputs if x is not None and x.is_initializer()]
    return any(c is not None and c.dtype.is_floating_point() and c.size > 1 for c in constants)


def _name_constants(graph: ir.Graph) -> None:
    """Name and order constants by who takes them first."""
    names: dict[ir.Value, str] = {}
    for node in graph.all_nodes():
        for i, value in enumerate(node.inputs):
            if value is not None and value.is_initializer():
                names.setdefault(value, f"{node.name}/{i}")
    for value, name in names.items():
        owner = value.graph
        assert owner is not None
        del owner.initializers[str(value.name)]
        value.name = name
        owner.register_initializer(value)
