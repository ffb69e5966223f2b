"""Write signed 8-bit activations and weights as unsigned ones, with the zero point moved by 128.

Every number stays what it was: round(x / scale) + zero point and its bounds move together, and
DequantizeLinear takes the same amount off again. ONNX Runtime (1.27 to 1.32 at least) makes this
change itself on x64, after it has entered pairs of its own with the attribute `output_dtype`, which
it then forgets: from opset 21 on, a graph with int8 activations before a Transpose, a Reshape or a
MaxPool does not load at its default level of optimisation. A graph that is unsigned already does.
Of signed weights its fused products are not exact on every processor (see `products.py`).
"""

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.graph.emit import TensorNames
from leap_audit.graph.operators import MOVING
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.values import constant_of, new_constant

__all__ = ["SHIFT", "as_unsigned"]

SHIFT = 128
"""How far unsigned numbers lie above the signed ones that they are written for."""
ORDERED = frozenset({*MOVING, "MaxPool"})
"""Operators that commute with adding the same number to all."""


def as_unsigned(graph: ir.Graph) -> bool:
    """Write the int8 activations and weights of a graph as uint8; return whether there were any.

    Constants that are only dequantised change. Tensors between QuantizeLinear and DequantizeLinear,
    and what only moves them, change together. They stay as they are where anything else reads or
    makes one of them, where one is an input or an output of the graph, and where a zero point is
    computed.
    """
    done: set[ir.Value] = set()
    changed = False
    names = TensorNames(graph)
    quantised = [node.outputs[0] for node in graph if _is(node, "QuantizeLinear")]
    for value in (*quantised, *graph.initializers.values()):
        if value.dtype == ir.DataType.INT8 and value not in done:
            together = _together(value)
            done.update(together)
            if all(_can_change(v) for v in together):
                _change(graph, together, names)
                changed = True
    return changed


def _is(node: ir.Node | None, *operators: str) -> bool:
    return node is not None and node.domain in ONNX_DOMAIN and node.op_type in operators


def _numbers(node: ir.Node) -> list[ir.Value]:
    """The inputs of a node that moves numbers which hold these numbers."""
    inputs = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    return [value for value in inputs if value is not None]


def _together(start: ir.Value) -> list[ir.Value]:
    """The int8 tensors that must change with this one: those that it is moved to or from."""
    tensors = {start: None}
    waiting = [start]
    while waiting:
        value = waiting.pop()
        near: list[ir.Value] = []
        producer = value.producer()
        if producer is not None and _is(producer, *ORDERED):
            near += _numbers(producer)
        for use in value.uses():
            if _is(use.node, *ORDERED) and value in _numbers(use.node):
                near += use.node.outputs
        for each in near:
            if each not in tensors and each.dtype == ir.DataType.INT8:
                tensors[each] = None
                waiting.append(each)
    return list(tensors)


def _can_change(value: ir.Value) -> bool:
    producer = value.producer()
    if value.is_graph_input() or value.is_graph_output():
        return False
    if producer is None:
        if value.const_value is None:
            return False
    elif not _is(producer, *ORDERED) and not (
        _is(producer, "QuantizeLinear") and _has_known_zero_point(producer)
    ):
        return False
    return all(
        (_is(use.node, *ORDERED) and use.node in _moving_uses(value))
        or (_is(use.node, "DequantizeLinear") and use.idx == 0 and _has_known_zero_point(use.node))
        for use in value.uses()
    )


def _moving_uses(value: ir.Value) -> set[ir.Node]:
    """The nodes that move the numbers of a tensor, and read it as nothing else."""
    return {
        use.node
        for use in value.uses()
        if use.idx == 0 or (use.node.op_type == "Concat" and value in _numbers(use.node))
    }


def _has_known_zero_point(node: ir.Node) -> bool:
    zero_point = node.inputs[2] if len(node.inputs) > 2 else None
    if zero_point is not None:
        return constant_of(zero_point) is not None
    scale = node.inputs[1]
    return scale is not None and scale.shape is not None and scale.shape.is_static()


def _change(graph: ir.Graph, values: Iterable[ir.Value], names: TensorNames) -> None:
    unsigned = ir.TensorType(ir.DataType.UINT8)
    for value in values:
        for use in list(value.uses()):
            if _is(use.node, "DequantizeLinear"):
                _shift_zero_point(graph, use.node, names)
            if value.producer() is None:
                use.node.replace_input_with(use.idx, _shifted(graph, value, names))
        producer = value.producer()
        if producer is None:
            continue
        if _is(producer, "QuantizeLinear"):
            _shift_zero_point(graph, producer, names)
            producer.attributes.pop("output_dtype", None)
        value.type = unsigned


def _shift_zero_point(graph: ir.Graph, node: ir.Node, names: TensorNames) -> None:
    zero_point = node.inputs[2] if len(node.inputs) > 2 else None
    if zero_point is None:
        scale = node.inputs[1]
        assert scale is not None
        assert scale.shape is not None
        data = np.zeros(scale.shape.numpy(), np.int8)
        fresh = _constant(graph, f"{node.outputs[0].name}_zero_point", data, names)
    else:
        fresh = _shifted(graph, zero_point, names)
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, fresh)


def _shifted(graph: ir.Graph, value: ir.Value, names: TensorNames) -> ir.Value:
    """The constant moved by 128, stored once however many nodes read it."""
    name = f"{value.name}_unsigned"
    stored = graph.initializers.get(name)
    if stored is not None and stored.dtype == ir.DataType.UINT8:
        return stored
    data = constant_of(value)
    assert data is not None
    return _constant(graph, name, data, names)


def _constant(graph: ir.Graph, name: str, data: NDArray[np.int8], names: TensorNames) -> ir.Value:
    return new_constant(graph, names.new(name), (data.astype(np.int16) + SHIFT).astype(np.uint8))
