"""Read the dimensions of an image input, and resolve its layout (NCHW or NHWC)."""

from collections.abc import Mapping, Sequence

import onnx

from leap_audit.artifacts import Layout
from leap_audit.canonical.folding import inlined
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import PreprocessingRefused
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.protos import tensor_info

__all__ = ["Dimension", "input_dimensions", "require_declared", "resolve_layout"]

Dimension = int | str | None
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
CHANNELS = frozenset({"c", "ch", "channel", "channels", "num_channels", "n_channels", "chan"})
HEIGHTS = frozenset({"h", "height", "rows", "img_height", "image_height", "in_height", "input_h"})
WIDTHS = frozenset({"w", "width", "cols", "img_width", "image_width", "in_width", "input_w"})
"""What exporters call the sides of a picture, in small letters."""


def require_declared(
    declared: DeclaredPreprocessing,
    sides: tuple[int | None, ...],
    named: tuple[str, ...],
    label: str,
) -> None:
    """Raise PreprocessingRefused where a size or the layout is neither declared nor in the model.

    One error lists everything that is missing.
    """
    free, flags = [], []
    layout = declared.layout or _inferred_layout(sides, named)
    spatial = sides[1:3] if layout == "NHWC" else sides[2:] if layout == "NCHW" else sides[1:]
    channels = None if layout is None else sides[1 if layout == "NCHW" else 3]
    if layout is None:
        flags.append("--layout NCHW or --layout NHWC")
        if None not in sides[1:]:
            flags.append("--channel-order BANDS")
    bands = declared.channel_order == "BANDS" and layout is not None and channels is None
    if bands and max(len(declared.mean or ()), len(declared.std or ())) < 2:
        free.append("number of bands")
        flags.append("--mean with a number for each band")
    if declared.input_size is None and None in spatial:
        sizes = zip(("height", "width"), spatial, strict=layout is not None)
        free += [word for word, side in sizes if side is None or layout is None]
        flags.append("--input-size HEIGHT,WIDTH, such as --input-size 224,224")
    if not flags:
        return
    left = f"leaves its {' and '.join(free)} free" if free else ""
    if layout is None:
        left = f"{left}, and is" if left else "is"
        left += f" {_shown(sides)}, which does not say where the channels of a picture are"
    raise PreprocessingRefused(f"{label} {left}; pass {', and '.join(flags)}.")


def _shown(sides: Sequence[int | None]) -> str:
    return " × ".join("free" if side is None else str(side) for side in sides)


def _inferred_layout(sides: tuple[int | None, ...], named: tuple[str, ...]) -> Layout | None:
    """Infer the layout from the sizes or the names of free dimensions; None: unclear."""
    if 3 in (sides[1], sides[3]):
        return "NCHW" if sides[1] == 3 else "NHWC"
    if 1 in (sides[1], sides[3]):
        return "NCHW" if sides[1] == 1 else "NHWC"
    first, last = named[1] in CHANNELS, named[3] in CHANNELS
    if first != last:
        return "NCHW" if first else "NHWC"
    if named[2] in HEIGHTS and named[3] in WIDTHS:
        return "NCHW"
    if named[1] in HEIGHTS and named[2] in WIDTHS:
        return "NHWC"
    if _fewer(sides[1], sides[2], sides[3]):
        return "NCHW"
    if _fewer(sides[3], sides[1], sides[2]):
        return "NHWC"
    # The only known side beside free ones is that of the channels.
    if sides[1] is not None and sides[2] is None and sides[3] is None:
        return "NCHW"
    if sides[3] is not None and sides[1] is None and sides[2] is None:
        return "NHWC"
    return None


def resolve_layout(
    declared: DeclaredPreprocessing,
    sides: tuple[int | None, ...],
    named: tuple[str, ...],
    assumed: dict[str, str],
) -> Layout:
    if declared.layout is not None:
        found = sides[1 if declared.layout == "NCHW" else 3]
        other = sides[3 if declared.layout == "NCHW" else 1]
        bands = declared.channel_order == "BANDS" or _fewer(found, other, sides[2])
        if found not in (1, 3, None) and not bands:
            raise PreprocessingRefused(
                f"--layout {declared.layout} does not fit an input of {_shown(sides)}: it finds "
                f"{found} channels; if these are bands, pass --channel-order BANDS."
            )
        return declared.layout
    layout = _inferred_layout(sides, named)
    assert layout is not None  # require_known has asked for it
    names = [name or _shown([side]) for name, side in zip(named, sides, strict=True)]
    assumed["layout"] = f"the input is {' × '.join(names)}"
    return layout


def _fewer(channels: int | None, *sides: int | None) -> bool:
    """Return whether a dimension can only be the channels: it is smaller than height and width."""
    return channels is not None and all(s is not None and channels < s for s in sides)


def input_dimensions(proto: onnx.ModelProto, value: onnx.ValueInfoProto) -> tuple[Dimension, ...]:
    """Return the dimensions of an input: sizes, and the names of symbolic ones.

    A free number of channels is the one that the first convolution reads, where that is clear;
    then the sides also say where the channels are.
    """
    shape = tensor_info(value).shape
    sides: list[Dimension] = [
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
    attributes = {a.name: a for a in node.attribute}
    if weight is None or len(weight) != 4 or attributes.get("channels_last"):
        return None
    return int(weight[1]) * (attributes["group"].i if "group" in attributes else 1)


def _axes(node: onnx.NodeProto, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Map each axis of the node's output to an axis of the input."""
    if node.op_type != "Transpose":
        return axes
    order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [3, 2, 1, 0])
    return tuple(axes[i] for i in order) if len(order) == 4 else None
