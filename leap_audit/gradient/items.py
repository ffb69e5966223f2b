"""A gradient graph of one item, run over the items of a batch: a Scan of standard ONNX."""

import onnx
from onnx import helper

from leap_audit.errors import GradientUnavailable
from leap_audit.graph.weights import LARGE

__all__ = ["over_items"]

SUBGRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def over_items(one: onnx.ModelProto, items: int, weights: list[str]) -> onnx.ModelProto:
    """Return a graph that runs a gradient graph of batch 1 on each of so many items by itself.

    Inputs and outputs get the batch `items`; the gradient by each of `weights` gets an axis in
    front, an item each: (items, *shape of the weight). `one` is used up.

    Raises GradientUnavailable: an input or output that does not begin with the batch.
    """
    graph = one.graph
    whole = {f"{name}_grad" for name in weights}
    inputs, outputs = list(graph.input), list(graph.output)
    for value in (*outputs, *inputs):
        dims = _dims(value)
        if value.name not in whole and dims[:1] != [1]:
            raise GradientUnavailable(
                f"{value.name!r} has shape {dims} for one item: it does not begin with the batch, "
                "so that items cannot be taken one by one."
            )
    body = helper.make_graph([], "one_item", [], [])
    inner = {value.name: f"{value.name}_of_item" for value in (*inputs, *outputs)}
    first = f"{graph.name or 'graph'}_first_axis"
    body.initializer.append(helper.make_tensor(first, onnx.TensorProto.INT64, [1], [0]))
    for value in inputs:
        row = f"{value.name}_row"
        body.input.append(_typed(row, value, _dims(value)[1:]))
        body.node.append(helper.make_node("Unsqueeze", [row, first], [inner[value.name]]))
    for node in graph.node:
        if any(
            a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
            for a in node.attribute
        ):
            raise GradientUnavailable(
                f"{node.op_type} ({node.name}) holds a graph of its own: items cannot be taken one "
                "by one."
            )
        copy = body.node.add()
        copy.CopyFrom(node)
        copy.input[:] = [inner.get(name, name) for name in node.input]
        copy.output[:] = [inner.get(name, name) for name in node.output]
    for value in outputs:
        if value.name in whole:
            body.output.append(_typed(inner[value.name], value, _dims(value)))
            continue
        row = f"{value.name}_row_out"
        body.output.append(_typed(row, value, _dims(value)[1:]))
        body.node.append(helper.make_node("Squeeze", [inner[value.name], first], [row]))
    # Small constants go along: shapes among them, which inference must see.
    small = [t for t in graph.initializer if _size(t) <= LARGE and t.name not in weights]
    for tensor in small:
        body.initializer.append(tensor)
    kept = [t for t in graph.initializer if _size(t) > LARGE or t.name in weights]
    del graph.node[:]
    del graph.input[:]
    del graph.output[:]
    del graph.value_info[:]
    _keep(graph, {t.name for t in kept})
    names = [value.name for value in inputs], [value.name for value in outputs]
    graph.node.append(
        helper.make_node("Scan", *names, "items", num_scan_inputs=len(inputs), body=body)
    )
    graph.input.extend(_typed(v.name, v, [items, *_dims(v)[1:]]) for v in inputs)
    graph.output.extend(
        _typed(v.name, v, [items, *(_dims(v) if v.name in whole else _dims(v)[1:])])
        for v in outputs
    )
    return one


def _keep(graph: onnx.GraphProto, names: set[str]) -> None:
    for i in reversed(range(len(graph.initializer))):
        if graph.initializer[i].name not in names:
            del graph.initializer[i]


def _size(tensor: onnx.TensorProto) -> int:
    size = 1
    for n in tensor.dims:
        size *= n
    return size


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    return [d.dim_value for d in value.type.tensor_type.shape.dim]


def _typed(name: str, like: onnx.ValueInfoProto, dims: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, like.type.tensor_type.elem_type, dims)
