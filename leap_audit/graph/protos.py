"""Read a model as a protobuf message: its opset, inputs, tensors and subgraphs."""

from collections.abc import Iterable, Iterator

import numpy as np
import onnx

from leap_audit.artifacts import TensorInfo
from leap_audit.graph.operators import FLOATS
from leap_audit.graph.opset import ONNX_DOMAIN

__all__ = [
    "dtype_name",
    "every_graph",
    "every_tensor",
    "is_float",
    "opset_of",
    "parameters",
    "real_inputs",
    "separate_runtime_operators",
    "subgraphs",
    "tensor_info",
]

RUNTIMES_OWN = {"LayerNormalization": 17, "SimplifiedLayerNormalization": 1000}
"""What ONNX Runtime's optimiser writes into ONNX's domain -> the opset from which it is ONNX's."""


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a model is written in."""
    return next((o.version for o in model.opset_import if o.domain in ONNX_DOMAIN), 1)


def separate_runtime_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with operators of ONNX Runtime's alone in the domain com.microsoft."""
    version = opset_of(model)
    foreign = [
        i
        for i, node in enumerate(model.graph.node)
        if node.domain in ONNX_DOMAIN and RUNTIMES_OWN.get(node.op_type, 0) > version
    ]
    named = any(node.domain == "com.microsoft" for node in model.graph.node)
    declared = any(o.domain == "com.microsoft" for o in model.opset_import)
    if not foreign and (declared or not named):
        return model
    apart = onnx.ModelProto()
    apart.CopyFrom(model)
    for i in foreign:
        apart.graph.node[i].domain = "com.microsoft"
    if not declared:  # ONNX Runtime's tools leave it out, and ONNX Runtime does not mind
        apart.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return apart


def real_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller must give: old exporters list the weights as inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def tensor_info(value: onnx.ValueInfoProto) -> TensorInfo:
    """Return name, dtype and shape; a dimension without a size is its name or '?'."""
    tensor = value.type.tensor_type
    dims = [
        d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim
    ]
    return TensorInfo(name=value.name, dtype=dtype_name(tensor.elem_type), shape=tuple(dims))


def dtype_name(elem_type: int) -> str:
    """Return ONNX's own word for a type: 'float', 'uint8', ..."""
    return str(onnx.TensorProto.DataType.Name(elem_type)).lower()


def is_float(value: onnx.ValueInfoProto) -> bool:
    """Return whether a tensor holds floating-point numbers."""
    return value.type.tensor_type.elem_type in FLOATS


def parameters(model: onnx.ModelProto) -> int:
    """Return how many numbers the model's floating-point and quantised weights hold."""
    return sum(
        int(np.prod(tensor.dims, dtype=np.int64))
        for tensor in model.graph.initializer
        if tensor.data_type not in (onnx.TensorProto.INT64, onnx.TensorProto.STRING)
    )


def every_graph(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """Yield the graph and the subgraphs of its nodes and functions, to any depth."""
    waiting = [model.graph]
    for function in model.functions:
        waiting += subgraphs(function.node)
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += subgraphs(graph.node)


def every_tensor(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield all tensors that a model holds: initializers, sparse ones, attributes of nodes."""
    bodies = [function.node for function in model.functions]
    for graph in every_graph(model):
        yield from graph.initializer
        yield from (t for s in graph.sparse_initializer for t in (s.values, s.indices))
        bodies.append(graph.node)
    for body in bodies:
        for node in body:
            for attribute in node.attribute:
                yield from _held(attribute)
    for function in model.functions:
        for attribute in function.attribute_proto:
            yield from _held(attribute)


def subgraphs(nodes: Iterable[onnx.NodeProto]) -> list[onnx.GraphProto]:
    """Return the graphs directly in the attributes of nodes: branches and bodies of loops."""
    return [
        graph
        for node in nodes
        for attribute in node.attribute
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
    ]


def _held(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse = [*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
    for each in (*sparse, *attribute.sparse_tensors):
        yield from (each.values, each.indices)
