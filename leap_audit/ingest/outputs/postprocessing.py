"""Undo post-processing: find the scores behind ArgMax, upsampling, reshapes and transposes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from leap_audit.graph.operators import SHAPE_ONLY
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.outputs.reading import Step, stepped
from leap_audit.ingest.outputs.selection import OutputCandidate, undo_reshapes
from leap_audit.ingest.outputs.task import DeclaredAnswer

__all__ = [
    "ScoreTensor",
    "answer_tensor",
    "class_axis",
    "is_list",
    "map_shape",
    "probability_operator",
    "undo_transposes",
    "undo_upsampling",
]

LITERAL = {"Softmax": -1, "LogSoftmax": -1, "Sigmoid": None}
"""Operators that make probabilities -> the axis of the classes unless an attribute says it."""
CHOOSING = {"ArgMax": 0, "TopK": -1, "Hardmax": -1}
"""Operators that choose among classes -> their axis unless an attribute says it."""


@dataclass(frozen=True)
class ScoreTensor:
    value: ir.Value
    back: tuple[Step, ...]
    """From the output to it."""
    axis: int | None
    """The class axis, where an operator gives it."""
    taken: tuple[str, ...] = ()
    """Operators that were undone, the last first."""

    def before(self, index: int, axis: int | None, *, taken: bool) -> "ScoreTensor":
        """Return the tensor one operator farther back."""
        node = self.value.producer()
        assert node is not None
        step = (node.op_type, index)
        more = (node.op_type,) if taken and node.op_type not in self.taken else ()
        return ScoreTensor(
            stepped(self.value, [step]), (*self.back, step), axis, (*self.taken, *more)
        )


def answer_tensor(chosen: OutputCandidate) -> ScoreTensor:
    """Return the model's own scores: before selection, upsampling and reshapes."""
    axis = None
    if chosen.choosing:
        node = stepped(chosen.output, chosen.back[:-1]).producer()
        if node is not None and node.op_type in CHOOSING:
            axis = _axis(node, CHOOSING[node.op_type], None)
    taken = tuple(dict.fromkeys(chosen.choosing))
    end = undo_upsampling(ScoreTensor(chosen.scores, chosen.back, axis, taken))
    under = _arranged_off(end)
    node = under.value.producer()
    if node is None or node.op_type not in LITERAL:
        return end
    if is_list(static_shape(end.value)) and not is_list(static_shape(under.value)):
        return end  # a softmax over groups of the classes
    return replace(under, axis=_axis(node, LITERAL[node.op_type], under.axis))


def undo_upsampling(end: ScoreTensor) -> ScoreTensor:
    """Return the score map before it is upsampled, which adds no information."""
    while True:
        under = _arranged_off(end)
        node = under.value.producer()
        if node is None or node.op_type != "Resize" or not _enlarges(node):
            return end
        end = under.before(0, under.axis, taken=True)


def _arranged_off(end: ScoreTensor) -> ScoreTensor:
    """Undo reshapes, transposes and casts; a reshape loses the axis of the classes."""
    while (node := end.value.producer()) is not None and node.op_type in SHAPE_ONLY:
        axis = end.axis
        if axis is not None and node.op_type == "Transpose":
            axis = node.attributes["perm"].as_ints()[axis]
        elif node.op_type not in ("Identity", "Cast"):
            axis = None
        end = end.before(0, axis, taken=False)
    return end


def is_list(shape: Sequence[int]) -> bool:
    return math.prod(shape[1:]) == max(shape[1:], default=1)


def probability_operator(value: ir.Value) -> str | None:
    """Return the operator right before this tensor if it makes probabilities."""
    node = undo_reshapes(value)[0].producer()
    return node.op_type if node is not None and node.op_type in LITERAL else None


def _axis(node: ir.Node, default: int | None, known: int | None) -> int | None:
    """Return the axis of an operator, counted from the front."""
    if default is None:
        return known
    attribute = node.attributes.get("axis")
    axis = default if attribute is None else attribute.as_int()
    before = node.inputs[0]
    assert before is not None
    return axis % len(static_shape(before))


def _enlarges(node: ir.Node) -> bool:
    """Return whether a Resize does not shrink a map of scores."""
    x = node.inputs[0]
    assert x is not None
    before, after = static_shape(x), static_shape(node.outputs[0])
    return len(before) == 4 and all(a <= b for a, b in zip(before, after, strict=True))


def undo_transposes(end: ScoreTensor, declared: DeclaredAnswer) -> ScoreTensor:
    """Return the map before transposes, with its class axis if four dimensions show it."""
    shape = static_shape(end.value)
    axis = end.axis
    if axis is None and len(shape) == 4:
        axis = 1 if declared.layout == "NCHW" else 3
        if declared.names is not None and declared.names == shape[4 - axis] != shape[axis]:
            axis = 4 - axis
    end = replace(end, axis=axis)
    while (node := end.value.producer()) is not None and node.op_type == "Transpose":
        if axis is not None:
            axis = node.attributes["perm"].as_ints()[axis]
        end = end.before(0, axis, taken=False)
    return end


def class_axis(axis: int | None, rank: int) -> int:
    return axis if axis is not None and 0 < axis < rank else 1


def map_shape(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    """Return the (classes, height, width) of a map; any other shape as it is, without the batch."""
    if axis in (None, 0) or len(shape) not in (3, 4):
        return shape[1:]
    assert axis is not None
    places = [side for i, side in enumerate(shape) if i not in (0, axis)]
    return (shape[axis], *places, *[1] * (2 - len(places)))
