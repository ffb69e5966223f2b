"""How a convolution or a pooling slides over its input."""

from dataclasses import dataclass

from leap_audit.gradient.table import Node

__all__ = ["Window", "window_of"]


@dataclass(frozen=True)
class Window:
    """How a kernel slides: one entry per spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    def reach(self, axis: int) -> int:
        """Pixels a kernel spans along an axis."""
        return self.dilations[axis] * (self.kernel[axis] - 1) + 1


def window_of(node: Node, kernel: tuple[int, ...], spatial: tuple[int, ...]) -> Window:
    """Return the sliding window of a convolution or pooling, with auto_pad made explicit."""
    rank = len(kernel)
    strides = tuple(node.attribute("strides", [1] * rank))
    dilations = tuple(node.attribute("dilations", [1] * rank))
    pads = list(node.attribute("pads", [0] * (2 * rank)))
    auto = node.attribute("auto_pad")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * (2 * rank)
        for i in range(rank):
            out = -(-spatial[i] // strides[i])
            total = max(0, (out - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - spatial[i])
            small, large = total // 2, total - total // 2
            upper = auto == "SAME_UPPER"
            pads[i], pads[rank + i] = (small, large) if upper else (large, small)
    elif auto == "VALID":
        pads = [0] * (2 * rank)
    return Window(kernel, strides, dilations, tuple(pads[:rank]), tuple(pads[rank:]))
