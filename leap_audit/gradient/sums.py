"""Write a sum of several terms as one Sum, as a rule that divides among terms should see it."""

import onnx_ir as ir

__all__ = ["merge_sums"]

ADDING = frozenset({"Add", "Sum"})


def merge_sums(model: ir.Model) -> None:
    """Make one Sum of additions of which each alone reads the one before: (a + b) + c.

    Divided addition by addition, relevance is stabilised once for each, and a partial sum may be
    nearly zero where the whole is not. A partial sum that is an output of the graph stays, as does
    one of whole numbers, which Sum does not take.
    """
    graph = model.graph
    for node in list(graph):
        if node.op_type in ADDING and any(map(_is_partial, node.inputs)):
            _merge(graph, node)


def _merge(graph: ir.Graph, node: ir.Node) -> None:
    """Put a Sum of all terms, whose partial sums have been merged before, in a node's place."""
    (y,) = node.outputs
    terms: list[ir.Value | None] = []
    partial: list[ir.Node] = []
    for x in node.inputs:
        before = None if x is None else x.producer()
        if before is not None and _is_partial(x):
            terms += before.inputs
            partial.append(before)
        else:
            terms.append(x)
    total = ir.Value(name=y.name, shape=y.shape, type=y.type)
    graph.insert_before(node, ir.Node("", "Sum", terms, outputs=[total], name=node.name))
    y.replace_all_uses_with(total, replace_graph_outputs=True)
    y.name = f"{total.name}_in_parts"
    graph.remove([node, *reversed(partial)], safe=True)


def _is_partial(x: ir.Value | None) -> bool:
    """Whether a tensor is a sum of floating-point numbers that a single node reads, once."""
    if x is None or x.dtype is None or not x.dtype.is_floating_point() or x.is_graph_output():
        return False
    node = x.producer()
    return node is not None and node.op_type in ADDING and len(list(x.uses())) == 1
