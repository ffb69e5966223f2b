"""Transposed convolution: its input gradient is the convolution it is the transpose of."""

import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.rules.kernel import conv_kernel_gradient
from leap_audit.gradient.rules.window import Window
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape


@gradient(
    "ConvTranspose",
    samples=[
        sample((2, 3, 4, 5), (3, 2, 3, 3), (2,), wrt=(0, 1, 2)),
        sample((1, 2, 4, 5), (2, 3, 3, 2), strides=[2, 3], pads=[1, 0, 0, 1], wrt=(0, 1)),
        sample(
            (1, 2, 4, 4),
            (2, 3, 3, 3),
            strides=[2, 2],
            pads=[1] * 4,
            output_padding=[1, 1],
            wrt=(0, 1),
        ),
        sample((1, 2, 4, 4), (2, 3, 1, 1), strides=[3, 3], output_padding=[2, 0], wrt=(0, 1)),
        sample((1, 2, 4, 4), (2, 3, 3, 3), dilations=[2, 1], pads=[1, 2, 3, 0], wrt=(0, 1)),
        sample((1, 4, 3, 4), (4, 1, 3, 3), group=4, strides=[2, 2], wrt=(0, 1)),
        sample((1, 2, 4, 5), (2, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER", wrt=(0, 1)),
        sample((1, 2, 4, 5), (2, 3, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER", wrt=(0, 1)),
        sample((1, 2, 4, 5), (2, 3, 3, 3), strides=[2, 2], auto_pad="VALID", wrt=(0, 1)),
        sample((2, 2, 5), (2, 3, 4), strides=[3], pads=[1, 2], wrt=(0, 1)),
        sample(
            (1, 2, 2, 3, 3), (2, 2, 2, 3, 2), strides=[1, 2, 2], pads=[0, 1, 0, 1, 1, 0], wrt=(0, 1)
        ),
    ],
)
def conv_transpose(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = the convolution of dy with the same kernel; dw = that of dy with x;

    dbias = dy summed over all but the channels
    """
    spatial, kernel, out = node.shape(0)[2:], node.shape(1)[2:], static_shape(dy)[2:]
    axes = range(len(spatial))
    strides = list(node.attribute("strides", [1 for _ in axes]))
    dilations = list(node.attribute("dilations", [1 for _ in axes]))
    # One input pixel writes `reach` pixels; all of them together write `full`, of which pads cut.
    reach = [dilations[i] * (kernel[i] - 1) + 1 for i in axes]
    full = [(spatial[i] - 1) * strides[i] + reach[i] for i in axes]
    begin = _begin(node, full, out)
    end = [full[i] - begin[i] - out[i] for i in axes]
    # A negative pad is output padding: pixels of y that no pixel of x has written.
    kept = [max(0, -b) for b in begin], [n + min(0, e) for n, e in zip(out, end, strict=True)]
    inner = dy if min(begin + end) >= 0 else op.Slice(dy, *kept, [2 + i for i in axes])
    pads = [max(0, p) for p in (*begin, *end)]
    dx = dw = db = None
    if node.needs[0]:
        dx = op.Conv(
            inner,
            node.inputs[1],
            strides=strides,
            dilations=dilations,
            pads=pads,
            group=node.attribute("group"),
        )
    if node.needs[1]:
        x = node.inputs[0]
        assert x is not None
        rank = len(kernel)
        sliding = (strides, dilations, pads[:rank], pads[rank:])
        window = Window(kernel, *map(tuple, sliding))
        dw = conv_kernel_gradient(op, inner, x, window, node.attribute("group"))
    if len(node.inputs) > 2 and node.needs[2]:
        db = op.ReduceSum(dy, [0, *(2 + i for i in axes)], keepdims=0)
    return dx, dw, db


def _begin(node: Node, full: list[int], out: tuple[int, ...]) -> list[int]:
    """Return the pixels cut off in front, along each axis."""
    axes = range(len(out))
    extra = list(node.attribute("output_padding", [0 for _ in axes]))
    auto = node.attribute("auto_pad")
    explicit = "output_shape" in node.attributes
    if not explicit and auto == "VALID":
        return [0 for _ in axes]
    if not explicit and auto == "NOTSET":
        return list(node.attribute("pads", [0 for _ in axes] * 2))[: len(out)]
    if not explicit and any(extra):
        raise GradientUnavailable(
            f"ConvTranspose ({node.name}): ONNX's inference and runtimes disagree about its shape "
            "with both auto_pad and output_padding; export it with explicit pads."
        )
    total = [max(0, full[i] + extra[i] - out[i]) for i in axes]
    return [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total]
