"""A canonical graph of one item as a graph of several, without canonicalising again.

Axis 0 of every tensor that the input reaches becomes so many times as long, and constants that hold
the whole shape of such a tensor follow. A graph that keeps its batch elsewhere, such as attention
over (tokens, batch, features), does not fit; `form.require_batch` finds that out.
"""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from leap_audit.errors import ModelRefused
from leap_audit.graph.shapes import shape_of, static_shape
from leap_audit.graph.values import new_constant, new_node

__all__ = ["copied", "free_batch", "with_batch"]

WHOLE_SHAPE = {"Expand": 1, "MaxUnpool": 2, "Reshape": 1, "Resize": 3}
"""Operator -> its input that may hold the whole shape of its output."""
SUBGRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def copied(canonical: ir.Model) -> ir.Model:
    """Return a copy of a graph that may be changed; the numbers of its weights are shared."""
    copy = canonical.clone()
    for value in copy.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.Tensor):  # a wrapper of its own: renaming a value renames it
            value.const_value = ir.Tensor(tensor.raw, dtype=tensor.dtype, name=tensor.name)
        elif tensor is not None:
            value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
    return copy


def with_batch(canonical: ir.Model, batch: int) -> ir.Model:
    """Return a copy of a canonical graph of one item, for `batch` items at once.

    Weights are shared with it. Raises ModelRefused: a part of it cannot be written so, or not in
    this way.
    """
    copy = copied(canonical)
    if batch == 1:
        return copy
    graph = copy.graph
    for node in graph:
        if any(attribute.type in SUBGRAPHS for attribute in node.attributes.values()):
            raise ModelRefused(f"{node.op_type} ({node.name}): its own graph keeps its batch.")
    reached = free_batch(graph, {str(value.name) for value in graph.inputs}, batch)
    for value in reached:
        if (shape := shape_of(value)) is None or value.producer() is None:
            continue
        if not shape:
            raise ModelRefused(f"tensor {value.name!r} is one number, whatever the batch.")
        value.shape = ir.Shape((shape[0] * batch, *shape[1:]))
    return copy


def free_batch(graph: ir.Graph, inputs: Collection[str], batch: int) -> set[ir.Value]:
    """Rewrite a graph of batch 1 for `batch` items; return what the inputs named reach.

    The inputs have their new shape then; what is computed of them has kept its old one.
    """
    reached = {value for value in graph.inputs if value.name in inputs}
    for value in reached:
        value.shape = ir.Shape((batch, *static_shape(value)[1:]))
    for node in list(graph):
        if not any(value in reached for value in node.inputs):
            continue
        reached.update(node.outputs)
        at = WHOLE_SHAPE.get(node.op_type)
        if at is not None and _has_whole_shape(node, at):
            old = static_shape(node.outputs[0])
            node.replace_input_with(at, _batched(graph, node.outputs[0], old, batch))
        elif node.op_type == "Concat":  # such as a class token beside the patches of each picture
            for i, part in enumerate(node.inputs):
                if part is not None and part not in reached and shape_of(part):
                    to = _batched(graph, part, static_shape(part), batch)
                    copies = new_node("Expand", [part, to], {}, [f"{node.name}_{i}_batched"])
                    old_shape = static_shape(part)
                    copies.outputs[0].shape = ir.Shape((old_shape[0] * batch, *old_shape[1:]))
                    copies.outputs[0].type = part.type
                    graph.insert_before(node, copies)
                    node.replace_input_with(i, copies.outputs[0])
    return reached


def _has_whole_shape(node: ir.Node, at: int) -> bool:
    """Return whether an input of a node holds the shape of its output, the batch included."""
    shape, given = shape_of(node.outputs[0]), node.inputs[at] if at < len(node.inputs) else None
    numbers = shape_of(given)
    return shape is not None and (node.op_type != "Resize" or numbers == (len(shape),))


def _batched(graph: ir.Graph, value: ir.Value, shape: tuple[int, ...], batch: int) -> ir.Value:
    """Return a constant: this shape with an axis 0 that is `batch` times as long."""
    name = f"{value.name}_batched_shape"
    if name in graph.initializers:
        return graph.initializers[name]
    return new_constant(graph, name, np.array([shape[0] * batch, *shape[1:]], np.int64))
