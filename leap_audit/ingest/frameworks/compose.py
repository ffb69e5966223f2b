"""Compose two graphs: the outputs of the first are the inputs of the second."""

import onnx
import onnx_ir as ir

from leap_audit.canonical.folding import inlined
from leap_audit.canonical.upgrade import upgraded
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.protos import real_inputs, separate_runtime_operators
from leap_audit.graph.weights import into_proto, restore_weights, split_weights

__all__ = ["composed"]

BEFORE = "preprocessing/"
"""Stands before the names of the first graph, which may be the names of the second too."""


def composed(before: ir.Model, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with `before` in front of its only input, at the canonical opset.

    before: one input and one output. The result has its input, under a name that nothing in the
    model has, and the model's outputs. A batch that the model fixes is fixed at the new input.

    Raises ModelRefused: one of the two cannot be brought to the canonical opset.
    """
    first, second = _at_one_opset(into_proto(before)), _at_one_opset(model)
    entry = next(v for v in second.graph.inputs if v.name == real_inputs(model)[0].name)
    (picture,), (x,) = first.graph.inputs, first.graph.outputs
    _rename(first.graph, second.graph)
    if picture.shape is not None and entry.shape is not None and isinstance(entry.shape[0], int):
        picture.shape = ir.Shape([entry.shape[0], *list(picture.shape)[1:]])
    nodes = _moved(first.graph, second.graph)
    if entry.dtype not in (None, x.dtype):
        assert entry.dtype is not None
        cast = ir.node("Cast", [x], {"to": ir.AttrInt64("to", entry.dtype.value)})
        x = cast.outputs[0]
        x.name = f"{BEFORE}cast"
        nodes.append(cast)
    second.graph.insert_before(second.graph[0], nodes)
    entry.replace_all_uses_with(x)
    second.graph.inputs[second.graph.inputs.index(entry)] = picture
    second.ir_version = max(second.ir_version or 0, IR_VERSION)
    return into_proto(second)


def _at_one_opset(model: onnx.ModelProto) -> ir.Model:
    light, weights = split_weights(model)
    graph = ir.from_proto(upgraded(inlined(separate_runtime_operators(light))))
    restore_weights(graph, weights)
    return graph


def _rename(first: ir.Graph, second: ir.Graph) -> None:
    """Give the values and nodes of the first graph names of their own."""
    for node in first.all_nodes():
        node.name = f"{BEFORE}{node.name}"
        for value in node.outputs:
            value.name = f"{BEFORE}{value.name}"
    taken = {value.name for node in second.all_nodes() for value in node.outputs}
    taken |= set(second.initializers)
    picture = first.inputs[0]
    while picture.name in taken:
        picture.name = f"{picture.name}_"


def _moved(first: ir.Graph, second: ir.Graph) -> list[ir.Node]:
    """Take the nodes out of the first graph, and move its initializers into the second."""
    first.outputs.clear()
    first.inputs.clear()
    for name, value in list(first.initializers.items()):
        del first.initializers[name]
        value.name = f"{BEFORE}{name}"
        second.register_initializer(value)
    nodes = list(first)
    first.remove(nodes)
    return nodes
