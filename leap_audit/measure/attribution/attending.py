"""What is computed inside the attentions of a model: queries, keys, values, and their heads."""

import onnx_ir as ir

from leap_audit.graph.operators import PICKING, SHAPE_ONLY
from leap_audit.graph.shapes import shape_of
from leap_audit.graph.values import constant_of

__all__ = ["inside_attention"]

SCALING = frozenset({"Add", "Concat", "Div", "Gemm", "MatMul", "Mul", "Sub"})
"""Of one tensor and constants: layers that make queries, keys and values, and positions."""
BEHIND = SHAPE_ONLY | {"Add", "Div", "Mul", "Softmax", "Sub", "Where"}
HEADS = 4
"""Axes of the tensors that hold heads; where these are joined, there are fewer."""


def inside_attention(graph: ir.Graph) -> set[ir.Value | None]:
    """Return the tensors that products of two tensors are computed from alone, and give.

    Walked back over what arranges, parts or scales the factors, and forward to where the heads are
    joined. The axes of these tensors are heads and their numbers, and those of a map of the picture
    may have the same sizes.
    """
    nodes = list(graph)
    within = {node for node in nodes if node.op_type == "MatMul" and _attends(node)}
    outputs = set(graph.outputs)
    found: set[ir.Value | None] = {value for node in within for value in node.outputs}
    for node in nodes:
        heads = len(shape_of(node.outputs[0]) or ()) == HEADS
        if heads and node.op_type in BEHIND and not found.isdisjoint(node.inputs):
            found.update(node.outputs)
    for node in reversed(nodes):
        read = [use.node for value in node.outputs for use in value.uses()]
        only = bool(read) and within.issuperset(read) and outputs.isdisjoint(node.outputs)
        if only and _is_passed(node):
            within.add(node)
            found.update(node.outputs)
    return found


def _attends(product: ir.Node) -> bool:
    """Whether a product is of two tensors, or of constant queries: the first ones of a decoder."""
    queries, keys = (constant_of(value) for value in product.inputs)
    if keys is not None:
        return False
    return queries is None or _reaches_softmax(product.outputs[0])


def _reaches_softmax(value: ir.Value) -> bool:
    """Whether a Softmax is taken of a tensor, scaled and masked."""
    for node in (use.node for use in value.uses()):
        if node.op_type == "Softmax":
            return True
        if node.op_type in BEHIND and _reaches_softmax(node.outputs[0]):
            return True
    return False


def _is_passed(node: ir.Node) -> bool:
    """Whether a node before a product only arranges, parts or scales one tensor."""
    if node.op_type in SHAPE_ONLY | PICKING:
        return True
    if node.op_type not in SCALING:
        return False
    return sum(v is not None and constant_of(v) is None for v in node.inputs) == 1
