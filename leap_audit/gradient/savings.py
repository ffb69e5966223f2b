"""Forms of the same gradient that take less memory and fewer passes over it.

Sums: where a tensor was cut along an axis, as queries, keys and values are, every consumer sends
back its piece with zeros around it. Pieces that lie side by side are joined: one pass over memory
in place of two for each piece and one for each sum.

Gates: an activation that gates its own input, y = x * f(x), sends dy back twice: dy * f and
(dy * x) * f'. The common factor is multiplied once, dy * (f + x * f'), two passes fewer where
x * f' follows from y (SiLU: y * (1 - f)).

Maxima: max(relu(x)) = relu(max(x)), so a Relu before a MaxPool moves behind it, to fewer numbers.
The values are the same and so is the gradient, ties included: where nothing in a window is above
zero, it is zero either way. The gradient then keeps a quarter of the Relu's output.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import permutations, product

import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

__all__ = ["relu_behind_max", "sum_gradients"]


@dataclass(frozen=True)
class _Piece:
    """A part that is zero but from `start` to `end` along `axis`, where it is `inside`."""

    part: ir.Value
    axis: int
    start: int
    end: int
    inside: ir.Value


def sum_gradients(op: Emitter, parts: Sequence[ir.Value]) -> ir.Value | None:
    """Return the sum of tensors of one shape; None of no tensor."""
    parts = _gated(op, _joined(op, parts)) if len(parts) > 1 else parts
    return reduce(op.Add, parts) if parts else None


def _joined(op: Emitter, parts: Sequence[ir.Value]) -> list[ir.Value]:
    """Return the parts, those that fill the tensor side by side as one."""
    along = defaultdict(list)
    for piece in map(_piece, parts):
        if piece is not None:
            along[piece.axis].append(piece)
    for axis, pieces in along.items():
        pieces.sort(key=lambda piece: piece.start)
        starts, ends = [piece.start for piece in pieces], [piece.end for piece in pieces]
        if [*starts, static_shape(pieces[0].part)[axis]] == [0, *ends]:
            whole = op.Concat(*(piece.inside for piece in pieces), axis=axis)
            return [whole, *(x for x in parts if all(x is not piece.part for piece in pieces))]
    return list(parts)


def _piece(part: ir.Value) -> _Piece | None:
    """Read what a rule's Pad says; None of anything else, or of zeros along several axes."""
    node = part.producer()
    if node is None or node.op_type != "Pad" or len(node.inputs) > 2 or node.attributes:
        return None
    inside, widths = node.inputs
    pads = None if widths is None else constant_of(widths)
    if inside is None or pads is None or min(pads) < 0:
        return None
    shape = static_shape(part)
    before, after = pads[: len(shape)], pads[len(shape) :]
    padded = [axis for axis in range(len(shape)) if before[axis] or after[axis]]
    if len(padded) != 1:
        return None
    (axis,) = padded
    return _Piece(part, axis, int(before[axis]), shape[axis] - int(after[axis]), inside)


def _gated(op: Emitter, parts: Sequence[ir.Value]) -> list[ir.Value]:
    """Return the parts, two that are dy * f and (dy * x) * g as dy * (f + x * g)."""
    for i, j in permutations(range(len(parts)), 2):
        for (dy, f), (sent, g) in product(_factors(parts[i]), _factors(parts[j])):
            x = next((b for a, b in _factors(sent) if a is dy), None)
            if x is not None and len(sent.uses()) == 1:
                both = op.Mul(dy, op.Add(f, _times(op, x, g)))
                return [both, *(part for k, part in enumerate(parts) if k not in (i, j))]
    return list(parts)


def _factors(value: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
    """Return the two factors of a product of tensors of one shape, in both orders."""
    node = value.producer()
    if node is None or node.op_type != "Mul" or node.domain != "":
        return []
    a, b = node.inputs
    if a is None or b is None or not static_shape(a) == static_shape(b) == static_shape(value):
        return []
    return [(a, b), (b, a)]


def _times(op: Emitter, x: ir.Value, g: ir.Value) -> ir.Value:
    """Return x * g; where g is a * b and the graph, not one inside it, has x * a, that times b."""
    for a, b in _factors(g):
        for node in a.consumers():
            if node.graph is op.graph and (a, x) in _factors(node.outputs[0]):
                return op.Mul(node.outputs[0], b)
    return op.Mul(x, g)


def relu_behind_max(op: Emitter, keep: Collection[ir.Value]) -> None:
    """Let what reads a MaxPool that alone reads a Relu read the two in the other order.

    The old ones stay for whoever holds them. keep: tensors that are read as before.
    """
    keep = {*keep, *op.graph.outputs}
    for relu in [node for node in op.graph if node.op_type == "Relu" and node.domain == ""]:
        (y,) = relu.outputs
        pool = y.consumers()[0] if len(y.consumers()) == 1 else None
        if pool is None or pool.graph is not op.graph or not _pools_what_is_there(pool):
            continue
        most = pool.outputs[0]
        if y in keep or most in keep:
            continue
        readers = list(most.uses())
        below = op.MaxPool(relu.inputs[0], **{a.name: a.value for a in pool.attributes.values()})
        above = op.Relu(below)
        new = [node for node in (below.producer(), above.producer()) if node is not None]
        op.graph.remove(new)  # from the end, where their readers would come before them
        op.graph.insert_after(pool, new)
        for node, index in readers:
            node.replace_input_with(index, above)


def _pools_what_is_there(pool: ir.Node) -> bool:
    """Whether it is a MaxPool that gives no indices, none of whose windows is all border."""
    if pool.op_type != "MaxPool" or pool.domain != "":
        return False
    if len(pool.outputs) > 1 and pool.outputs[1].uses():
        return False
    window = pool.attributes.get_ints("kernel_shape", ())
    pads = pool.attributes.get_ints("pads", ())
    if any(step > 1 for step in pool.attributes.get_ints("dilations", ())):
        return False  # every pixel of such a window may lie in the border
    return not pool.attributes.get_int("ceil_mode", 0) and all(
        pad < side for pad, side in zip(pads, [*window, *window], strict=False)
    )
