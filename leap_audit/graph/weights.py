"""Keep a model's large weights out of its graph while the graph is checked and changed.

They stay in memory once, however many graphs are made of the model.
"""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import numpy_helper

from leap_audit.errors import ModelRefused

__all__ = [
    "LARGE",
    "add_weights",
    "into_proto",
    "numbers_of",
    "pop_weights",
    "restore_weights",
    "shared_with",
    "split_weights",
]

LARGE = 4096
"""Numbers in an initializer above which it is a weight, not part of shape arithmetic."""

AnyMessage = TypeVar("AnyMessage", bound=Message)


def split_weights(
    model: onnx.ModelProto, also: Collection[str] = ()
) -> tuple[onnx.ModelProto, dict[str, ir.TensorProtocol]]:
    """Return a copy of a model in which its large initializers are inputs, and those.

    also: names of initializers that count as large whatever their size.

    Raises ModelRefused: an initializer has other numbers than its shape says.
    """
    light = _copy(model, without="graph")
    light.graph.CopyFrom(_copy(model.graph, without="initializer"))
    inputs = {value.name for value in model.graph.input}
    weights: dict[str, ir.TensorProtocol] = {}
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims, dtype=np.int64)) <= LARGE and tensor.name not in also:
            light.graph.initializer.add().CopyFrom(tensor)
            continue
        weights[tensor.name] = _numbers(tensor)
        if tensor.name not in inputs:
            light.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return light, weights


def restore_weights(model: ir.Model, weights: Mapping[str, ir.TensorProtocol]) -> None:
    """Turn the inputs that stand for weights into initializers again."""
    for value in list(model.graph.inputs):
        if (tensor := weights.get(str(value.name))) is not None:
            model.graph.inputs.remove(value)
            value.const_value = tensor
            model.graph.register_initializer(value)


def pop_weights(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    """Remove the large weights from a graph and return them.

    A graph refers to itself in circles, so that what it holds is not freed with it at once.
    """
    initializers = model.graph.initializers
    large: dict[str, ir.TensorProtocol] = {}
    for name, value in list(initializers.items()):
        if value.const_value is not None and value.const_value.size > LARGE:
            large[name] = value.const_value
            value.const_value = None
            del initializers[name]
    return large


def into_proto(model: ir.Model) -> onnx.ModelProto:
    """Return a graph as protobuf and empty it: weights move one by one, none is held twice."""
    large = pop_weights(model)
    proto = ir.to_proto(model)
    add_weights(proto, large)
    return proto


def add_weights(model: onnx.ModelProto, weights: dict[str, ir.TensorProtocol]) -> None:
    """Store weights as the initializers of a model; inputs that stand for them are removed.

    They leave `weights` one by one, so that they are never all held twice.
    """
    inputs = model.graph.input
    for i in reversed([i for i, value in enumerate(inputs) if value.name in weights]):
        del inputs[i]
    while weights:
        name, tensor = weights.popitem()
        stored = model.graph.initializer.add(
            name=name, data_type=tensor.dtype.value, dims=list(tensor.shape.numpy())
        )
        stored.raw_data = _bytes_of(tensor)


def _bytes_of(tensor: ir.TensorProtocol) -> bytes:
    """The numbers as bytes: those that the file's weights are a view of, without another copy."""
    numbers = tensor.numpy()
    base: object = numbers
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, bytes) and len(base) == tensor.nbytes and numbers.flags.c_contiguous:
        return base
    return tensor.tobytes()


def numbers_of(tensor: onnx.TensorProto) -> NDArray[Any]:
    """Return the numbers of a tensor.

    Raises ModelRefused: they are not as many as its shape says.
    """
    try:
        return numpy_helper.to_array(tensor)
    except (TypeError, ValueError) as error:
        raise ModelRefused(
            f"the tensor {tensor.name!r} has other numbers than its shape says ({error})."
        ) from None


def _numbers(tensor: onnx.TensorProto) -> ir.TensorProtocol:
    stored = ir.from_proto(tensor)
    try:
        numbers = stored.numpy()
    except ValueError as error:
        raise ModelRefused(
            f"the weight {tensor.name!r} has other numbers than its shape says ({error})."
        ) from None
    # A wrapper of its own: renaming what wraps the file's tensor renames the file's tensor.
    return ir.Tensor(numbers, dtype=stored.dtype, name=tensor.name)


def _copy(message: AnyMessage, without: str) -> AnyMessage:
    """A copy of a message without one field, which may be too large to be copied along."""
    copy = type(message)()
    for field, value in message.ListFields():
        if field.name == without:
            continue
        if field.is_repeated:
            getattr(copy, field.name).extend(value)
        elif field.message_type is not None:
            getattr(copy, field.name).CopyFrom(value)
        else:
            setattr(copy, field.name, value)
    return copy


def shared_with(model: ir.Model, weights: Mapping[str, ir.TensorProtocol]) -> onnx.ModelProto:
    """Return a graph as protobuf, without the large weights that stand in `weights` already.

    Those are inputs of it; `restore_weights` makes them weights again. The graph loses its
    large weights.
    """
    large = pop_weights(model)
    common = {name for name in large if name in weights and _equal(large[name], weights[name])}
    proto = ir.to_proto(model)
    for name in sorted(common):
        tensor = large.pop(name)
        proto.graph.input.append(
            onnx.helper.make_tensor_value_info(name, tensor.dtype.value, list(tensor.shape.numpy()))
        )
    add_weights(proto, large)
    return proto


def _equal(a: ir.TensorProtocol, b: ir.TensorProtocol) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    left, right = (np.ascontiguousarray(x.numpy()).view(np.uint8) for x in (a, b))
    return bool(np.array_equal(left, right))
