"""Write ONNX nodes as calls: `op.Mul(a, b)` appends a Mul and returns its output.

Numbers and arrays become constants of the type of the tensor beside them. Every output gets its
shape and type from ONNX's own inference at once, so that a rule that builds nonsense fails where
it is written.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import ArrayLike
from onnx.shape_inference import infer_node_outputs

from leap_audit.graph.opset import OPSET
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of, new_constant, new_node

__all__ = ["Emitter"]

SMALL = 4096
"""Numbers in a constant up to which inference may look at its value."""
_OPSETS = [onnx.helper.make_opsetid("", OPSET)]
_READ = (ir.DataType.INT64, ir.DataType.FLOAT)
"""Types of constants whose numbers inference looks at."""
Signature = tuple[ir.DataType, tuple[int, ...], bytes | None] | None


class Emitter:
    """Appends nodes to a graph. The attribute `op.NAME` is the operator NAME at opset 21."""

    def __init__(self, graph: ir.Graph, prefix: str) -> None:
        self.graph = graph
        self._prefix = prefix
        self._count = 0
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._known: dict[Hashable, list[tuple[ir.DataType, tuple[int, ...]]]] = {}
        self._taken = {value.name for value in (*graph.inputs, *graph.initializers.values())}
        self._taken.update(value.name for node in graph.all_nodes() for value in node.outputs)

    def __getattr__(self, op_type: str) -> Callable[..., ir.Value]:
        if op_type.startswith("_") or not onnx.defs.has(op_type):
            raise AttributeError(f"ONNX has no operator {op_type!r}")

        def emit(*inputs: ir.Value | ArrayLike | None, **attributes: Any) -> ir.Value:
            return self.emit(op_type, inputs, attributes, 1)[0]

        return emit

    def emit(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | ArrayLike | None],
        attributes: dict[str, Any],
        outputs: int,
    ) -> tuple[ir.Value, ...]:
        """Append a node with several outputs and return them."""
        schema = onnx.defs.get_schema(op_type, OPSET)
        formals = [schema.inputs[min(i, len(schema.inputs) - 1)] for i in range(len(inputs))]
        like: dict[str, ir.DataType] = {}
        for given, formal in zip(inputs, formals, strict=True):
            if isinstance(given, ir.Value) and given.dtype is not None:
                like.setdefault(formal.type_str, given.dtype)
        values = [
            given
            if given is None or isinstance(given, ir.Value)
            else self.constant(given, _constant_type(formal, like))
            for given, formal in zip(inputs, formals, strict=True)
        ]
        name = self._name(op_type)
        names = [f"{name}_{k}" if k else name for k in range(outputs)]
        node = new_node(op_type, values, attributes, names)
        self._infer(node, schema, attributes)
        self.graph.append(node)
        return tuple(node.outputs)

    def constant(self, array: ArrayLike, dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
        """Return an initializer with these numbers; the same numbers are stored once."""
        data = np.ascontiguousarray(np.asarray(array), dtype=dtype.numpy())
        data = data.reshape(np.shape(array))
        key = (dtype.name, data.shape, data.tobytes()) if data.size <= SMALL else None
        if key is not None and key in self._constants:
            return self._constants[key]
        value = new_constant(self.graph, self._name("constant"), data)
        if key is not None:
            self._constants[key] = value
        return value

    def _infer(self, node: ir.Node, schema: onnx.defs.OpSchema, attributes: dict[str, Any]) -> None:
        """Give the node's outputs their types and shapes; what was asked before is remembered."""
        inputs = tuple(_signature(value) for value in node.inputs)
        written = onnx.helper.make_node(
            node.op_type,
            ["" if given is None else f"x{i}" for i, given in enumerate(inputs)],
            [f"y{k}" for k in range(len(node.outputs))],
            **{name: value for name, value in attributes.items() if value is not None},
        )
        key = (written.SerializeToString(deterministic=True), inputs)
        if key not in self._known:
            self._known[key] = _inferred(schema, written, inputs)
        for value, (dtype, shape) in zip(node.outputs, self._known[key], strict=True):
            value.type, value.shape = ir.TensorType(dtype), ir.Shape(shape)

    def _name(self, what: str) -> str:
        """Return a name that nothing in the graph has: a graph may be differentiated twice."""
        while True:
            self._count += 1
            name = f"{self._prefix}_{self._count}_{what}"
            if name not in self._taken:
                self._taken.add(name)
                return name


def _constant_type(
    formal: onnx.defs.OpSchema.FormalParameter, like: dict[str, ir.DataType]
) -> ir.DataType:
    """Return the type that a number written in this place takes: that of the tensors beside it."""
    if formal.type_str in like:
        return like[formal.type_str]
    allowed = formal.types
    if allowed <= {"tensor(int64)", "tensor(int32)"}:  # axes, shapes, pads, indices
        return ir.DataType.INT64
    if allowed == {"tensor(bool)"}:
        return ir.DataType.BOOL
    if allowed == {"tensor(float)"}:
        return ir.DataType.FLOAT
    return next(iter(like.values()), ir.DataType.FLOAT)


def _signature(value: ir.Value | None) -> Signature:
    """What inference may look at in an input: type, shape and a small constant's numbers."""
    if value is None or value.name is None or value.dtype is None:
        return None
    shape = static_shape(value)
    array = None
    if value.const_value is not None and math.prod(shape) <= SMALL and value.dtype in _READ:
        array = constant_of(value)
    return value.dtype, shape, None if array is None else array.tobytes()


def _inferred(
    schema: onnx.defs.OpSchema, written: onnx.NodeProto, inputs: Sequence[Signature]
) -> list[tuple[ir.DataType, tuple[int, ...]]]:
    """Return the type and shape of a node's outputs, from ONNX's shape inference."""
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for name, given in zip(written.input, inputs, strict=True):
        if given is None:
            continue
        dtype, shape, numbers = given
        types[name] = onnx.helper.make_tensor_type_proto(dtype.value, shape)
        if numbers is not None:
            data[name] = onnx.helper.make_tensor(name, dtype.value, shape, numbers, raw=True)
    found = infer_node_outputs(schema, written, types, data, opset_imports=_OPSETS)
    answer: list[tuple[ir.DataType, tuple[int, ...]]] = []
    for name in written.output:
        proto = found[name].tensor_type
        if not proto.HasField("shape") or not all(d.HasField("dim_value") for d in proto.shape.dim):
            raise ValueError(f"{schema.name}: the shape of its output depends on the data")
        dims = tuple(d.dim_value for d in proto.shape.dim)
        answer.append((ir.DataType(proto.elem_type), dims))
    return answer
