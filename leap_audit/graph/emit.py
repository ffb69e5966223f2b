"""Write ONNX nodes as calls: `op.Mul(a, b)` appends a Mul and returns its output."""

import math
from collections import Counter
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

__all__ = ["Emitter", "TensorNames"]

SMALL = 4096
"""Numbers in a constant up to which inference may look at its value."""
_OPSETS = [onnx.helper.make_opsetid("", OPSET)]
_READ = (ir.DataType.INT64, ir.DataType.FLOAT)
"""Types of constants whose numbers inference looks at."""
_Signature = tuple[ir.DataType, tuple[int, ...], bytes | None] | None


class TensorNames:
    """The names of a graph's tensors and nodes, and new ones that differ from all of them."""

    def __init__(self, graph: ir.Graph) -> None:
        self._taken = {value.name for value in (*graph.inputs, *graph.initializers.values())}
        for node in graph.all_nodes():  # a node is called like the tensor it made, or once made
            self._taken.update((node.name, *(value.name for value in node.outputs)))
        self._repeated: Counter[str] = Counter()

    def new(self, stem: str) -> str:
        """Return `stem`, with a number behind it where another tensor has that name."""
        name = stem
        while name in self._taken:
            self._repeated[stem] += 1
            name = f"{stem}_{self._repeated[stem] + 1}"
        self._taken.add(name)
        return name


class Emitter:
    """Appends nodes to a graph. The attribute `op.NAME` is the operator NAME at the pinned opset.

    prefix: begins the name of every tensor. names: of the graph, where several emitters write into
    it. append: takes each node in place of the graph. infer: every output gets its shape and type
    from ONNX's own inference at once, so that nonsense fails where it is written, and a number or
    an array becomes a constant of the type of the tensor beside it. Without inference, which a
    graph of open shapes does not allow, an array keeps its type, a float becomes `dtype`, and
    integers become int64.
    """

    def __init__(
        self,
        graph: ir.Graph,
        prefix: str,
        *,
        names: TensorNames | None = None,
        append: Callable[[ir.Node], object] | None = None,
        infer: bool = True,
        dtype: ir.DataType = ir.DataType.FLOAT,
    ) -> None:
        self.graph = graph
        self.dtype = dtype
        self._prefix = prefix
        self._names = names or TensorNames(graph)
        self._append = append or graph.append
        self._infers = infer
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._inferred: dict[Hashable, list[tuple[ir.DataType, tuple[int, ...]]]] = {}

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
        types = _constant_types(op_type, inputs) if self._infers else [None] * len(inputs)
        values = [
            x if x is None or isinstance(x, ir.Value) else self.constant(x, dtype)
            for x, dtype in zip(inputs, types, strict=True)
        ]
        node = new_node(op_type, values, attributes, [self._name(op_type) for _ in range(outputs)])
        if self._infers:
            self._infer(node, attributes)
        self._append(node)
        return tuple(node.outputs)

    def constant(self, array: ArrayLike, dtype: ir.DataType | None = None) -> ir.Value:
        """Return an initializer with these numbers; the same small ones are stored once."""
        if dtype is None:
            dtype = self.dtype if self._infers else _own_type(array, self.dtype)
        data = np.ascontiguousarray(np.asarray(array), dtype=dtype.numpy())
        data = data.reshape(np.shape(array))
        key = (dtype.name, data.shape, data.tobytes()) if data.size <= SMALL else None
        if key is not None and key in self._constants:
            return self._constants[key]
        value = new_constant(self.graph, self._name("constant"), data)
        if key is not None:
            self._constants[key] = value
        return value

    def _infer(self, node: ir.Node, attributes: dict[str, Any]) -> None:
        """Set the types and shapes of the node's outputs; an equal node is inferred once."""
        inputs = tuple(_signature(value) for value in node.inputs)
        written = onnx.helper.make_node(
            node.op_type,
            ["" if x is None else f"x{i}" for i, x in enumerate(inputs)],
            [f"y{k}" for k in range(len(node.outputs))],
            **{name: value for name, value in attributes.items() if value is not None},
        )
        key = (written.SerializeToString(deterministic=True), inputs)
        if key not in self._inferred:
            self._inferred[key] = _infer_outputs(written, inputs)
        for value, (dtype, shape) in zip(node.outputs, self._inferred[key], strict=True):
            value.type, value.shape = ir.TensorType(dtype), ir.Shape(shape)

    def _name(self, what: str) -> str:
        return self._names.new(f"{self._prefix}_{what}")


def _own_type(array: ArrayLike, floats: ir.DataType) -> ir.DataType:
    """Return the type of a constant that no tensor beside it decides."""
    if isinstance(array, np.ndarray):
        return ir.DataType.from_numpy(array.dtype)
    return floats if isinstance(array, float) else ir.DataType.INT64


def _constant_types(
    op_type: str, inputs: Sequence[ir.Value | ArrayLike | None]
) -> list[ir.DataType | None]:
    """Return the type that a number in the place of each input takes."""
    declared = onnx.defs.get_schema(op_type, OPSET).inputs
    formals = [declared[min(i, len(declared) - 1)] for i in range(len(inputs))]
    like: dict[str, ir.DataType] = {}
    for x, formal in zip(inputs, formals, strict=True):
        if isinstance(x, ir.Value) and x.dtype is not None:
            like.setdefault(formal.type_str, x.dtype)
    return [_constant_type(formal, like) for formal in formals]


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


def _signature(value: ir.Value | None) -> _Signature:
    """Return what inference may look at: type, shape and a small constant's numbers."""
    if value is None or value.name is None or value.dtype is None:
        return None
    shape = static_shape(value)
    array = None
    if value.const_value is not None and math.prod(shape) <= SMALL and value.dtype in _READ:
        array = constant_of(value)
    return value.dtype, shape, None if array is None else array.tobytes()


def _infer_outputs(
    written: onnx.NodeProto, inputs: Sequence[_Signature]
) -> list[tuple[ir.DataType, tuple[int, ...]]]:
    """Return the type and shape of a node's outputs, from ONNX's shape inference."""
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for name, signature in zip(written.input, inputs, strict=True):
        if signature is None:
            continue
        dtype, shape, numbers = signature
        types[name] = onnx.helper.make_tensor_type_proto(dtype.value, shape)
        if numbers is not None:
            data[name] = onnx.helper.make_tensor(name, dtype.value, shape, numbers, raw=True)
    schema = onnx.defs.get_schema(written.op_type, OPSET)
    inferred = infer_node_outputs(schema, written, types, data, opset_imports=_OPSETS)
    outputs: list[tuple[ir.DataType, tuple[int, ...]]] = []
    for name in written.output:
        proto = inferred[name].tensor_type
        if not proto.HasField("shape") or not all(d.HasField("dim_value") for d in proto.shape.dim):
            raise ValueError(f"{schema.name}: the shape of its output depends on the data")
        dims = tuple(d.dim_value for d in proto.shape.dim)
        outputs.append((ir.DataType(proto.elem_type), dims))
    return outputs
