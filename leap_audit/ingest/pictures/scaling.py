"""Measure how a graph scales its input: follow black and white to its first layer with weights.

Between the input and the first layer with weights often stand resizing, transposing, casting, and
an affine map of each channel: pixel / 255, (pixel - mean) / std, an exchange of red and blue. What
the map makes of black and white says which pixels the graph expects: 0..1 or 0..255. The map is
measured, whatever operators it is made of and in whatever order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import ChannelOrder, Layout
from leap_audit.errors import LeapAuditError
from leap_audit.graph.operators import PICKING, SHAPE_ONLY
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of
from leap_audit.ingest.pictures.presets import IMAGENET_MEAN
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session

__all__ = ["Scaling", "read_scaling"]

KEEPING = (
    SHAPE_ONLY | PICKING | {"Pad", "Resize", "Concat", "Expand", "SpaceToDepth", "DepthToSpace"}
)
KEEPING |= {"Clip", "Dropout", "QuantizeLinear", "DequantizeLinear"}
"""Operators that leave the scale of numbers as it is."""
SCALING = frozenset({"Sub", "Add", "Mul", "Div", "Neg", "Sum", "BatchNormalization"})
CHANNELS = 16
"""Channels that are looked at one by one."""
PROBES = (1.0, 254.0)
"""White at which the map is measured: small, and where that is rounded away, large."""
BENT = 0.02
"""Part of the difference between black and white by which the middle may be off a straight line."""
SAME = 0.01
"""Relative difference up to which two scales, or two means, are the same."""
UNIT, BYTES, SIGNED = (0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)
WORDS16, WORDS12 = (0.0, 65535.0), (0.0, 4095.0)
RANGES = (UNIT, BYTES, SIGNED, WORDS16, WORDS12)
LANDINGS = (UNIT, BYTES, SIGNED, (-0.5, 0.5), (-128.0, 127.0), (-127.5, 127.5))
"""Where black and white land when a graph brings a range to another."""
STATISTICS = {UNIT: (0.45, 0.26), BYTES: (115.0, 66.0)}
"""Range -> mean and deviation of the pixels of photographs in it."""
NORMALISED = (0.0, 1.0)
"""The same of pixels that were normalised outside."""
USUAL = 0.6
"""The deviation that a first layer expects, between that of 0..1 and that of normalised pixels."""
MARGIN = 2.0
"""How much better the best reading must fit than the next: the square of a factor's logarithm."""
MEANS = (
    IMAGENET_MEAN,
    (0.408, 0.459, 0.482),  # of Caffe, blue first, over 255
    (0.4914, 0.4822, 0.4465),  # CIFAR-10
    (0.48145466, 0.4578275, 0.40821073),  # CLIP
)


@dataclass(frozen=True)
class Scaling:
    """What a graph does to its input before the first layer with weights."""

    range: tuple[float, float] | None
    """What black and white must be in the input; None: the graph leaves that open."""
    why: str = ""
    """The reason, or why it stays open; empty where the graph does nothing to its input."""
    order: ChannelOrder | None = None
    """The order of the channels in the input, where the means that are subtracted show it."""


def read_scaling(
    model: ir.Model, layout: Layout, provider: Provider, wanted: tuple[float, float] | None = None
) -> Scaling:
    """Return how a canonical graph scales its only input.

    wanted: the range of the input where its type says it, as that of uint8 does; then only the
    order of the channels is read.
    """
    picture = model.graph.inputs[0]
    probes = _measured(model.graph, picture, layout, provider)
    if probes is None:
        return Scaling(wanted)
    black, slope, single = probes
    moved = np.abs(slope) > 1e-9 * max(float(np.abs(slope).max(initial=0)), 1e-30)
    a, b = slope[moved], black[moved]
    if not a.size:
        return Scaling(wanted)
    order = _order(single)
    if wanted is not None:
        return Scaling(wanted, order=order)
    low, high = float(b.min()), float((a + b).max())
    if np.allclose(a, 1, rtol=SAME) and np.allclose(b, 0, atol=SAME):
        return Scaling(None)
    found = _known_mean(single) or _exact(a, b) or _likely(a, b)
    if found is None:
        return Scaling(
            None,
            f"the model maps 0 to {low:.3g} and 1 to {high:.3g} before its first layer, which "
            "does not say whether it expects 0..1 or 0..255",
        )
    start, end = (float(np.median(a * at + b)) for at in found)
    return Scaling(
        found,
        f"the model scales its input itself: before its first layer {found[0]:g} becomes "
        f"{start:.3g} and {found[1]:g} becomes {end:.3g}",
        order,
    )


def _measured(
    graph: ir.Graph, picture: ir.Value, layout: Layout, provider: Provider
) -> tuple[Array, Array, list[tuple[float, float] | None]] | None:
    """Return black and the slope of white at each number before the first layer; by channel too.

    None where there is nothing to measure, or where the map is not affine.
    """
    end = _first_layer(picture)
    if end is None or end is picture:
        return None
    shape = static_shape(picture)
    assert picture.dtype is not None
    kind = picture.dtype.numpy()
    piece = ir.convenience.extract(graph, [picture], [end])
    try:
        session = Session(ir.Model(piece, ir_version=IR_VERSION), provider, often=False)
    except LeapAuditError:
        return None

    def at(x: Array) -> Array:
        found = session.run({str(picture.name): x.astype(kind)})[0]
        return np.asarray(found, np.float64).reshape(-1)

    white = np.ones(shape)
    black = at(0 * white)
    for probe in PROBES:
        difference = at(probe * white) - black
        middle = at(probe / 2 * white) - black
        largest = float(np.abs(difference).max(initial=0))
        straight = np.abs(middle - difference / 2).max(initial=0) <= BENT * largest
        if straight and largest > 0 and np.isfinite(difference).all():
            slope = difference / probe
            axis = 1 if layout == "NCHW" else 3
            count = min(shape[axis], CHANNELS)
            only = [np.zeros(shape) for _ in range(count)]
            for channel, x in enumerate(only):
                x[(slice(None),) * axis + (channel,)] = probe
            single = [_alone(at(x) - black, difference, black, probe) for x in only]
            return black, slope, single
    return None


def _alone(one: Array, every: Array, black: Array, probe: float) -> tuple[float, float] | None:
    """Return slope and black of the numbers that one channel alone decides."""
    own = (one != 0) & (np.abs(one - every) <= BENT * np.abs(every))
    if not own.any():
        return None
    return float(np.median(one[own])) / probe, float(np.median(black[own]))


def _first_layer(picture: ir.Value) -> ir.Value | None:
    """Return what the first operator reads that neither arranges nor scales the picture."""
    passed = {picture}
    waiting = [picture]
    ends: list[ir.Value] = []
    while waiting:
        value = waiting.pop(0)
        if value.is_graph_output():
            return None
        for use in value.uses():
            node = use.node
            if _passes(node, passed):
                waiting.extend(y for y in node.outputs if y.uses() and y not in passed)
                passed.update(node.outputs)
            elif not _waits(node):
                ends.append(value)
    # Several pieces of a picture are read once they are joined: what nothing passed reads.
    last = [value for value in dict.fromkeys(ends) if not _leads_on(value, passed)]
    return last[0] if len(last) == 1 else None


def _passes(node: ir.Node, passed: set[ir.Value]) -> bool:
    inputs = [value for value in node.inputs if value is not None]
    if not all(value in passed or constant_of(value) is not None for value in inputs):
        return False
    if node.op_type in ("Mul", "Div") and sum(value in passed for value in inputs) > 1:
        return False
    if node.op_type == "Div" and inputs[0] not in passed:
        return False
    return node.op_type in KEEPING | SCALING or _scales_channels(node)


def _waits(node: ir.Node) -> bool:
    """Whether a node could still be passed when its other inputs are."""
    return node.op_type in ("Concat", "Add", "Sum")


def _leads_on(value: ir.Value, passed: set[ir.Value]) -> bool:
    return any(y in passed for use in value.uses() for y in use.node.outputs)


def _scales_channels(node: ir.Node) -> bool:
    """Whether a convolution of single pixels only scales each channel."""
    if node.op_type != "Conv":
        return False
    weight = constant_of(node.inputs[1])
    if weight is None or any(side != 1 for side in weight.shape[2:]):
        return False
    group = node.attributes["group"].as_int() if "group" in node.attributes else 1
    if group == len(weight) and weight.shape[1] == 1:
        return True
    count = len(weight)
    if group != 1 or weight.size != count**2:
        return False
    square = weight.reshape(count, count)
    return bool((np.count_nonzero(square, axis=0) == 1).all())


def _exact(a: Array, b: Array) -> tuple[float, float] | None:
    """The range that lands exactly where ranges are brought to."""
    for taken in RANGES:
        low, high = (a * at + b for at in taken)
        for black, white in LANDINGS:
            if (black, white) == taken:
                continue
            near = SAME * (white - black)
            if np.abs(low - black).max() <= near and np.abs(high - white).max() <= near:
                return taken
    return None


def _known_mean(single: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    """The range in whose units the means of a well-known data set are subtracted."""
    means = _subtracted(single)
    if means is None:
        return None
    for taken in (UNIT, BYTES):
        for known in MEANS:
            for way in (known, known[::-1]):
                if np.allclose(means, np.array(way) * taken[1], rtol=SAME):
                    return taken
    return None


def _order(single: Sequence[tuple[float, float] | None]) -> ChannelOrder | None:
    """The order of the channels of which the means of ImageNet are subtracted."""
    means = _subtracted(single)
    if means is None:
        return None
    for high in (1.0, 255.0):
        if np.allclose(means, np.array(IMAGENET_MEAN) * high, rtol=2 * SAME):
            return "RGB"
        if np.allclose(means, np.array(IMAGENET_MEAN[::-1]) * high, rtol=2 * SAME):
            return "BGR"
    return None


def _subtracted(single: Sequence[tuple[float, float] | None]) -> Array | None:
    """What is subtracted from each of three channels, in units of the input."""
    known = [each for each in single if each is not None]
    if len(single) != 3 or len(known) != 3:
        return None
    return np.array([-black / slope for slope, black in known])


def _likely(a: Array, b: Array) -> tuple[float, float] | None:
    """The range in which photographs would reach the first layer with usual numbers."""

    def misfit(mean: float, deviation: float) -> float:
        centre, spread = a * mean + b, np.maximum(np.abs(a) * deviation, 1e-30)
        return float(np.mean(np.log(spread / USUAL) ** 2 + (centre / np.maximum(spread, 1)) ** 2))

    costs = {taken: misfit(*statistics) for taken, statistics in STATISTICS.items()}
    best = min(costs, key=lambda taken: costs[taken])
    others = [cost for taken, cost in costs.items() if taken != best]
    nearest = min(*others, misfit(*NORMALISED))
    return best if nearest - costs[best] >= MARGIN and math.isfinite(costs[best]) else None
