"""What the sides of a picture's input are: its sizes, their names, and what reads its channels."""

from collections.abc import Mapping

import onnx

from leap_audit.canonical.folding import inlined
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.protos import tensor_info

__all__ = ["Side", "sides_of"]

Side = int | str | None
"""A size, the name of a free one, or None for a free one without a name."""

CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "QLinearConv": 3, "ConvInteger": 1}
"""Operator that reads the channels -> the place of its weight."""
PASSED = frozenset(
    {
        *("Cast", "Identity", "Sub", "Add", "Mul", "Div", "Neg", "BatchNormalization", "Resize"),
        *("Upsample", "Pad", "Clip", "QuantizeLinear", "DequantizeLinear", "Dropout", "Transpose"),
    }
)
"""Operators that keep the channels as they are, perhaps in another place."""


def sides_of(proto: onnx.ModelProto, value: onnx.ValueInfoProto) -> tuple[Side, ...]:
    """Return the sides of an input: sizes, and names of those that are free.

    A free number of channels is the one that the first convolution reads, where that is clear;
    then the sides also say where the channels are.
    """
    shape = tensor_info(value).shape
    sides: list[Side] = [
        (side if side > 0 else None) if isinstance(side, int) else (None if side == "?" else side)
        for side in shape
    ]
    if len(sides) == 4 and not all(isinstance(side, int) for side in sides[1:]):
        found = _read_channels(inlined(proto), value.name)
        if found is not None and not isinstance(sides[found[0]], int):
            sides[found[0]] = found[1]
    return tuple(sides)


def _read_channels(proto: onnx.ModelProto, name: str) -> tuple[int, int] | None:
    """Return (axis of the channels in the input, how many) as the first convolution reads them."""
    weights: dict[str, tuple[int, ...]] = {t.name: tuple(t.dims) for t in proto.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            weights[node.output[0]] = tuple(node.attribute[0].t.dims)
        elif node.op_type in ("DequantizeLinear", "Identity", "Cast") and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
        for each in node.input:
            readers.setdefault(each, []).append(node)
    axes: dict[str, tuple[int, ...]] = {name: (0, 1, 2, 3)}
    waiting = [name]
    while waiting:
        tensor = waiting.pop(0)
        for node in readers.get(tensor, ()):
            if node.op_type in CONVOLUTIONS and tensor == node.input[0]:
                found = _channels(node, weights)
                return None if found is None else (axes[tensor][1], found)
            passes = node.op_type in PASSED and node.domain in ONNX_DOMAIN
            if passes and node.output[0] not in axes and (on := _axes(node, axes[tensor])):
                axes[node.output[0]] = on
                waiting.append(node.output[0])
    return None


def _channels(node: onnx.NodeProto, weights: Mapping[str, tuple[int, ...]]) -> int | None:
    weight = weights.get(node.input[CONVOLUTIONS[node.op_type]])
    given = {a.name: a for a in node.attribute}
    if weight is None or len(weight) != 4 or given.get("channels_last"):
        return None
    return int(weight[1]) * (given["group"].i if "group" in given else 1)


def _axes(node: onnx.NodeProto, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axis of the input that each axis of the node's result is."""
    if node.op_type != "Transpose":
        return axes
    order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [3, 2, 1, 0])
    return tuple(axes[i] for i in order) if len(order) == 4 else None
