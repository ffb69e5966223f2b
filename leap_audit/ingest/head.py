"""Where the class scores are: the logits, under what turns them into the model's answer."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from leap_audit.artifacts import Task
from leap_audit.errors import ModelRefused
from leap_audit.ingest.canonical import static_shape
from leap_audit.ingest.task import Asked, infer_task

__all__ = ["FLOATS", "SHAPE_ONLY", "Head", "find_head"]

SHAPE_ONLY = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Transpose"}
)
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)
PROBABILITIES = {"Softmax": -1, "LogSoftmax": -1, "Sigmoid": None}
"""What turns logits into probabilities -> the axis of the classes unless an attribute says it."""


@dataclass(frozen=True)
class Head:
    """The tensor that holds the logits, and what its numbers mean."""

    logits: ir.Value
    """One row of scores for the picture in any shape, or a map of them of four dimensions."""
    task: Task
    why: str
    """Why it was taken for this task, for the report."""
    classes: int
    places: tuple[int, int]
    """(height, width) of the map of answers; (1, 1) where the picture as a whole gets one."""
    axis: int
    """Of the classes, in `logits`."""
    single: bool
    """Whether one score stands for two classes: p of the second is its sigmoid."""
    independent: bool
    """Whether each class has a sigmoid of its own, instead of one softmax over all."""
    text: str
    """What was read as the logits, for the report."""


@dataclass(frozen=True)
class _End:
    value: ir.Value
    axis: int | None
    """Of the classes, where an operator says it."""
    taken: tuple[str, ...] = ()
    """Operators taken off, the last first."""


def find_head(graph: ir.Graph, batch: int, asked: Asked) -> Head:
    """Return the logits of a canonical graph.

    The first floating-point output counts; without one, what an ArgMax at the end of an output
    chooses from. A Softmax, LogSoftmax or Sigmoid at the end, whether or not reshaped
    afterwards, is taken off: the objective of an audit is the logit. So is the enlargement of a
    map of scores: it adds no information, only memory and time.

    Raises ModelRefused: no scores, or what they are cannot be audited or contradicts `asked`.
    """
    numbers = [value for value in graph.outputs if value.dtype in FLOATS]
    output = numbers[0] if numbers else _chosen_from(graph)
    end = _peeled(output)
    shape = static_shape(end.value)
    if not shape or shape[0] != batch:
        raise ModelRefused(
            f"output {output.name!r} has shape {list(shape)}, which is not one score per class "
            f"for each of {batch} pictures; give a model whose first dimension is the batch."
        )
    items = math.prod(shape[1:])
    if items == max(shape[1:], default=1):
        sides: tuple[int, ...] = (items,)
    else:
        end = _upright(end, asked)
        shape = static_shape(end.value)
        sides = _map_sides(shape, end.axis)
    task, why = infer_task(output, numbers[1:], end.value, sides, end.taken, asked)
    single, places = sides[0] == 1, sides[1:] or (1, 1)
    text = f"output {output.name!r}"
    if len(graph.outputs) > 1:
        text += f", the first of {len(graph.outputs)} that holds scores"
    if end.taken:
        text += f", with the trailing {' and '.join(reversed(end.taken))} taken off"
    if places != (1, 1):
        text += f", a map of {places[0]} × {places[1]} places"
    return Head(
        logits=end.value,
        task=task,
        why=why,
        classes=2 if single else sides[0],
        places=(places[0], places[1]),
        axis=end.axis or 1,
        single=single,
        independent=not single
        and (task == "multi-label" or (task == "segmentation" and "Sigmoid" in end.taken)),
        text=text,
    )


def _chosen_from(graph: ir.Graph) -> ir.Value:
    """The output of whole numbers that an ArgMax over scores gives."""
    for output in graph.outputs:
        node = _across(output, None)[0].producer()
        if node is not None and node.op_type == "ArgMax":
            return output
    kinds = ", ".join(f"{v.name!r} ({v.dtype})" for v in graph.outputs)
    raise ModelRefused(
        f"no output holds floating-point class scores ({kinds}); export the model without its "
        "final label lookup."
    )


def _peeled(output: ir.Value) -> _End:
    """Take off, from the end, what comes after the logits."""
    end = _End(output, None)
    while True:
        value, axis = _across(end.value, end.axis)
        node = value.producer()
        if node is None:
            return end
        given = _first_input(node)
        probability = any(op in PROBABILITIES for op in end.taken)
        if node.op_type in PROBABILITIES and not probability:
            axis = _axis(node, PROBABILITIES[node.op_type], axis)
        elif node.op_type == "ArgMax" and not end.taken:
            axis = _axis(node, 0, None)
        elif not (node.op_type == "Resize" and _enlarges(node)):
            return end
        repeated = node.op_type in end.taken
        end = _End(given, axis, end.taken if repeated else (*end.taken, node.op_type))


def _across(value: ir.Value, axis: int | None) -> tuple[ir.Value, int | None]:
    """Go back over what only arranges numbers; the axis of the classes is lost in a reshape."""
    while (node := value.producer()) is not None and node.op_type in SHAPE_ONLY:
        if axis is not None and node.op_type == "Transpose":
            axis = node.attributes["perm"].as_ints()[axis]
        elif node.op_type not in ("Identity", "Cast"):
            axis = None
        value = _first_input(node)
    return value, axis


def _axis(node: ir.Node, default: int | None, known: int | None) -> int | None:
    """The axis an operator works along, counted from the front."""
    if default is None:
        return known
    attribute = node.attributes.get("axis")
    axis = default if attribute is None else attribute.as_int()
    return axis % len(static_shape(_first_input(node)))


def _enlarges(node: ir.Node) -> bool:
    """Whether a Resize makes a map of scores larger, or leaves its size."""
    before, after = static_shape(_first_input(node)), static_shape(node.outputs[0])
    return len(before) == 4 and all(a <= b for a, b in zip(before, after, strict=True))


def _upright(end: _End, asked: Asked) -> _End:
    """The map before it is transposed, with the axis of its classes if four dimensions show it."""
    shape = static_shape(end.value)
    axis = end.axis
    if axis is None and len(shape) == 4:
        axis = 1 if asked.layout == "NCHW" else 3
        if asked.names is not None and asked.names == shape[4 - axis] != shape[axis]:
            axis = 4 - axis
    value = end.value
    while (node := value.producer()) is not None and node.op_type == "Transpose":
        if axis is not None:
            axis = node.attributes["perm"].as_ints()[axis]
        value = _first_input(node)
    return _End(value, axis, end.taken)


def _map_sides(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    """(classes, height, width) of a map; anything else as it is, without the batch."""
    if axis in (None, 0) or len(shape) not in (3, 4):
        return shape[1:]
    assert axis is not None
    places = [side for i, side in enumerate(shape) if i not in (0, axis)]
    return (shape[axis], *places, *[1] * (2 - len(places)))


def _first_input(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value
