"""What constants and stabilisers keep of the relevance that a graph sends back."""

from collections.abc import Collection
from dataclasses import dataclass, field

import onnx_ir as ir

from leap_audit.gradient.table import Node
from leap_audit.graph.emit import Emitter

__all__ = ["Ledger", "stabilised"]


@dataclass
class Ledger:
    """The relevance that constants and stabilisers kept, as numbers at the nodes that kept any."""

    shares: list[tuple[ir.Value, ir.Value]] = field(default_factory=list)
    """(the first output of a node, a number that it kept)."""

    def enter(self, op: Emitter, node: Node, share: ir.Value, sign: float = 1.0) -> None:
        """Add up a tensor and keep the sum, times `sign`."""
        total = op.ReduceSum(share, keepdims=0)
        self.shares.append((node.outputs[0], total if sign == 1 else op.Mul(total, sign)))

    def total(self, op: Emitter, nodes: Collection[ir.Node] | None = None) -> ir.Value:
        """Return what the nodes kept together, one float32; None: all of them."""
        shares = [share for y, share in self.shares if nodes is None or y.producer() in nodes]
        if not shares:
            return op.constant(0.0)
        return op.Sum(*(op.Cast(share, to=ir.DataType.FLOAT.value) for share in shares))


def stabilised(op: Emitter, y: ir.Value, epsilon: float) -> ir.Value:
    """Return y + epsilon · sign(y), where the sign of 0 is 1.

    Without an epsilon: y, and 1 where y is 0.
    """
    if epsilon == 0:
        return op.Where(op.Equal(y, 0.0), op.Sub(1.0, y), y)
    return op.Where(op.Less(y, 0.0), op.Sub(y, epsilon), op.Add(y, epsilon))
