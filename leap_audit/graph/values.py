"""Make and read constants, nodes, inputs and graphs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.graph.opset import OPSET

__all__ = ["constant_of", "new_constant", "new_graph", "new_input", "new_node"]


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the numbers of an initializer, None for any other tensor or none."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


def new_constant(graph: ir.Graph, name: str, data: NDArray[Any]) -> ir.Value:
    """Add an initializer with these numbers to a graph and return it."""
    tensor = ir.tensor(np.ascontiguousarray(data).reshape(data.shape))
    value = ir.Value(
        name=name,
        const_value=tensor,
        shape=ir.Shape(data.shape),
        type=ir.TensorType(tensor.dtype),
    )
    graph.register_initializer(value)
    return value


def new_node(
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: dict[str, Any],
    outputs: Sequence[str],
) -> ir.Node:
    """Return a node of ONNX's domain with outputs of these names, called like the first."""
    return ir.Node(
        "",
        op_type,
        inputs,
        [_attribute(name, value) for name, value in attributes.items() if value is not None],
        outputs=[ir.Value(name=name) for name in outputs],
        name=outputs[0],
    )


def _attribute(name: str, value: Any) -> ir.Attr:
    """An attribute; of the lists that onnx_ir recognises slowly, those of whole numbers at once."""
    if isinstance(value, list) and value and all(type(x) is int for x in value):
        return ir.AttrInt64s(name, value)
    return ir.convenience.convert_attribute(name, value)


def new_graph() -> ir.Graph:
    """Return an empty graph at the canonical opset."""
    return ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name="leap_audit")


def new_input(
    graph: ir.Graph, name: str, shape: Sequence[int], dtype: ir.DataType = ir.DataType.FLOAT
) -> ir.Value:
    """Add an input to a graph and return it."""
    value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
    graph.inputs.append(value)
    return value
