"""Where the class scores are: the logits, under what turns them into the model's answer.

The output is chosen, what it holds is measured on a few pictures, and the scores are read from the
tensor that this points to.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Probabilities, Task
from leap_audit.errors import ModelRefused
from leap_audit.ingest.behind import tensors_behind
from leap_audit.ingest.bounds import bounds_of
from leap_audit.ingest.canonical import static_shape
from leap_audit.ingest.choosing import (
    FLOATS,
    SHAPE_ONLY,
    Chosen,
    choose_output,
    chosen_from,
    leading_to,
    only_arranged,
)
from leap_audit.ingest.meaning import Meaning, meaning_of, share_total
from leap_audit.ingest.reading import Reading, Step, stepped
from leap_audit.ingest.task import Asked, infer_task, refuse_detector
from leap_audit.ingest.trial import NOISE, Trial
from leap_audit.run.session import Array

__all__ = ["FLOATS", "SHAPE_ONLY", "Head", "as_asked", "find_head"]

LITERAL = {"Softmax": -1, "LogSoftmax": -1, "Sigmoid": None}
"""Operators that make probabilities -> the axis of the classes unless an attribute says it."""
CHOOSING = {"ArgMax": 0, "TopK": -1, "Hardmax": -1}
"""Operators that choose among classes -> their axis unless an attribute says it."""
ROWS = 16
"""Of a map of scores, so many rows are looked at."""
BATCH = 1


@dataclass(frozen=True)
class Head:
    """The tensor that holds the scores, and what its numbers mean."""

    reading: Reading
    task: Task
    why: str
    """Why it was taken for this task, for the report."""
    classes: int
    places: tuple[int, int]
    """(height, width) of the map of answers; (1, 1) where the picture as a whole gets one."""
    axis: int
    """Of the classes, in the tensor that is read."""
    single: bool
    """Whether one score stands for two classes: p of the second is its sigmoid."""
    independent: bool
    """Whether each class has a probability of its own, instead of one softmax over all."""
    probabilities: Probabilities
    constant: bool
    """Whether every picture got the same answer."""
    text: str
    """What was read as the logits, for the report."""
    meaning: str
    """What the output's numbers are, as measured, for the report."""


@dataclass(frozen=True)
class _End:
    value: ir.Value
    back: tuple[Step, ...]
    """From the output to it."""
    axis: int | None
    """Of the classes, where an operator says it."""
    taken: tuple[str, ...] = ()
    """Operators taken off, the last first."""

    def before(self, index: int, axis: int | None, *, taken: bool) -> "_End":
        """The same one operator farther back."""
        node = self.value.producer()
        assert node is not None
        step = (node.op_type, index)
        more = (node.op_type,) if taken and node.op_type not in self.taken else ()
        return _End(stepped(self.value, [step]), (*self.back, step), axis, (*self.taken, *more))


def find_head(model: ir.Model, asked: Asked, trial: Trial) -> Head:
    """Return where a canonical graph of one picture holds its scores, and what they are.

    The graph is run on the pictures of `trial`, and keeps of its nodes what that needs.

    Raises ModelRefused: no scores, or what they are cannot be audited or contradicts `asked`.
    """
    graph = model.graph
    chosen = choose_output(graph, BATCH, asked)
    output, others = chosen.output, len(graph.outputs)
    end = _answer(chosen)
    shape = static_shape(end.value)
    listed, guessed = _is_list(shape), end.axis is None
    if not listed:
        end = _upright(end, asked) if _literal(end.value) is None else end
        shape = static_shape(end.value)
    way = leading_to(chosen.scores)
    beside = [v for v in graph.outputs if v.dtype in FLOATS and v is not output and v not in way]
    sides = (math.prod(shape[1:]),) if listed else _map_sides(shape, end.axis)
    refuse_detector(output, end.value, beside, sides, asked)

    axis = 1 if listed else _settled_axis(end.axis, len(shape))
    end, meaning = _measured(
        model, str(output.name), replace(end, axis=axis), listed, guessed, trial, asked
    )
    sides = sides if listed else _map_sides(shape, end.axis)
    if not listed and meaning.change == "none":
        end = _upright(_enlargements_off(end), asked)
        sides = _map_sides(static_shape(end.value), end.axis)
    task, why = infer_task(output, end.value, sides, meaning, end.taken, asked)
    meaning = as_asked(meaning, asked)
    single, places = meaning.single, sides[1:] or (1, 1)
    text = f"output {output.name!r}"
    if others > 1:
        text += f" ({chosen.why})"
    if end.taken:
        text += f", with the trailing {' and '.join(reversed(end.taken))} taken off"
    if places != (1, 1):
        text += f", a map of {places[0]} × {places[1]} places"
    return Head(
        reading=Reading(str(output.name), end.back, meaning.change, meaning.total),
        task=task,
        why=why,
        classes=2 if single else sides[0],
        places=(places[0], places[1]),
        axis=end.axis or 1,
        single=single,
        independent=meaning.probabilities == "sigmoid",
        probabilities=meaning.probabilities,
        constant=meaning.constant,
        text=text,
        meaning=f"{meaning.sentence[0].upper()}{meaning.sentence[1:]}.",
    )


def _answer(chosen: Chosen) -> _End:
    """The model's own numbers: what it chooses from, before an enlargement, and not arranged."""
    axis = None
    if chosen.choosing:
        node = stepped(chosen.output, chosen.back[:-1]).producer()
        if node is not None and node.op_type in CHOOSING:
            axis = _axis(node, CHOOSING[node.op_type], None)
    taken = tuple(dict.fromkeys(chosen.choosing))
    end = _enlargements_off(_End(chosen.scores, chosen.back, axis, taken))
    under = _arranged_off(end)
    node = under.value.producer()
    if node is None or node.op_type not in LITERAL:
        return end
    if _is_list(static_shape(end.value)) and not _is_list(static_shape(under.value)):
        return end  # a softmax over groups of the classes
    return replace(under, axis=_axis(node, LITERAL[node.op_type], under.axis))


def _enlargements_off(end: _End) -> _End:
    """The map of scores before it is enlarged, which adds no information."""
    while True:
        under = _arranged_off(end)
        node = under.value.producer()
        if node is None or node.op_type != "Resize" or not _enlarges(node):
            return end
        end = under.before(0, under.axis, taken=True)


def _arranged_off(end: _End) -> _End:
    """The numbers before they were only arranged; the axis of the classes is lost in a reshape."""
    while (node := end.value.producer()) is not None and node.op_type in SHAPE_ONLY:
        axis = end.axis
        if axis is not None and node.op_type == "Transpose":
            axis = node.attributes["perm"].as_ints()[axis]
        elif node.op_type not in ("Identity", "Cast"):
            axis = None
        end = end.before(0, axis, taken=False)
    return end


def _measured(
    model: ir.Model,
    name: str,
    end: _End,
    listed: bool,
    guessed: bool,
    trial: Trial,
    asked: Asked,
) -> tuple[_End, Meaning]:
    """What the numbers of the answer are, and the tensor that the scores are read from.

    name: of the output. guessed: the axis of the classes is only likely, so that the numbers may
    show another.
    """
    axis = end.axis or 1
    shape = static_shape(end.value)
    count = math.prod(shape[1:])
    counts = {count, 1} if listed and count == 2 else {count}
    behind = tensors_behind(end.value, counts, shape=not listed)
    for each in behind:
        if math.prod(static_shape(each.value)[1:]) == count and (choice := chosen_from(each.value)):
            raise ModelRefused(
                f"output {name!r} is computed from what "
                f"{choice[2]} chose from tensor {choice[0].name!r}, and so does not say of which "
                f"class; name that tensor with --output, or export the model without {choice[2]}."
            )
    bounds = bounds_of(end.value)
    kinds = [end.value.dtype, *(each.value.dtype for each in behind)]
    halves = (ir.DataType.BFLOAT16, ir.DataType.FLOAT16)
    coarsest = next((kind for kind in halves if kind in kinds), ir.DataType.FLOAT)
    values = trial.run(model, [end.value, *(each.value for each in behind)], rows=ROWS)
    telling = np.array([not np.isnan(x).any() for x in values[0]])
    if not telling[NOISE]:
        raise ModelRefused(_not_finite(end.value))
    # Black divided by its own length is no number, and no fault of the model.
    answer, *others = (np.asarray(x[telling], np.float64) for x in values)
    if not listed and guessed:
        axis = _adding_up(answer, coarsest) or axis
        end = replace(end, axis=axis)
    kept = [
        (each, _columns(x, axis, listed))
        for each, x in zip(behind, others, strict=True)
        if np.isfinite(x).all()
    ]
    meaning = meaning_of(_columns(answer, axis, listed), kept, bounds, coarsest)
    read = next((x for b, x in kept if b.back == meaning.back), answer)
    if not np.isfinite(read).all():
        raise ModelRefused(_not_finite(end.value))
    if not _as_it_is(meaning, asked):
        return end, meaning
    taken = [*end.taken, *(op for op in meaning.taken if op not in end.taken)]
    value, back = stepped(end.value, meaning.back), (*end.back, *meaning.back)
    return _End(value, back, end.axis, tuple(taken)), meaning


def _as_it_is(meaning: Meaning, asked: Asked) -> bool:
    """Whether the scores are read as they were found, and `asked` says nothing else of them."""
    if not meaning.probable or meaning.single:
        return True
    return asked.task not in ("multi-label", "classification") or meaning.exclusive == (
        asked.task == "classification"
    )


def as_asked(meaning: Meaning, asked: Asked) -> Meaning:
    """Return what was measured, with classes that share 100 % or do not, as `asked` says.

    Probabilities stay the model's own.
    """
    if _as_it_is(meaning, asked):
        own = asked.task == "multi-label" and not meaning.probable
        return replace(meaning, probabilities="sigmoid", exclusive=False) if own else meaning
    shared = asked.task == "classification"
    return replace(
        meaning,
        back=(),
        change="log" if shared else "logit",
        probabilities="given" if shared else "sigmoid",
        exclusive=shared,
    )


def _columns(x: Array, axis: int, listed: bool) -> Array:
    """(pictures, 1, ...) -> (pictures, classes, places)"""
    x = x[:, 0]
    if listed:
        return x.reshape(len(x), -1, 1)
    return np.moveaxis(x, axis, 1).reshape(len(x), x.shape[axis], -1)


def _adding_up(answer: Array, dtype: ir.DataType) -> int | None:
    """The one axis along which a map's numbers add up to 1 or 100; None if not one alone does."""
    found = [
        axis
        for axis in range(1, answer.ndim - 1)
        if answer.shape[axis + 1] > 1
        and share_total(_columns(answer, axis, False), dtype, together=False) in (1, 100)
    ]
    return found[0] if len(found) == 1 else None


def _not_finite(value: ir.Value) -> str:
    return (
        f"tensor {value.name!r}: the model gives NaN or infinite scores for random pictures; its "
        "weights are damaged or its preprocessing is far off."
    )


def _is_list(shape: Sequence[int]) -> bool:
    return math.prod(shape[1:]) == max(shape[1:], default=1)


def _literal(value: ir.Value) -> str | None:
    """The operator that makes probabilities of a tensor right behind this one."""
    node = only_arranged(value)[0].producer()
    return node.op_type if node is not None and node.op_type in LITERAL else None


def _axis(node: ir.Node, default: int | None, known: int | None) -> int | None:
    """The axis an operator works along, counted from the front."""
    if default is None:
        return known
    attribute = node.attributes.get("axis")
    axis = default if attribute is None else attribute.as_int()
    before = node.inputs[0]
    assert before is not None
    return axis % len(static_shape(before))


def _enlarges(node: ir.Node) -> bool:
    """Whether a Resize makes a map of scores larger, or leaves its size."""
    given = node.inputs[0]
    assert given is not None
    before, after = static_shape(given), static_shape(node.outputs[0])
    return len(before) == 4 and all(a <= b for a, b in zip(before, after, strict=True))


def _upright(end: _End, asked: Asked) -> _End:
    """The map before it is transposed, with the axis of its classes if four dimensions show it."""
    shape = static_shape(end.value)
    axis = end.axis
    if axis is None and len(shape) == 4:
        axis = 1 if asked.layout == "NCHW" else 3
        if asked.names is not None and asked.names == shape[4 - axis] != shape[axis]:
            axis = 4 - axis
    end = replace(end, axis=axis)
    while (node := end.value.producer()) is not None and node.op_type == "Transpose":
        if axis is not None:
            axis = node.attributes["perm"].as_ints()[axis]
        end = end.before(0, axis, taken=False)
    return end


def _settled_axis(axis: int | None, rank: int) -> int:
    return axis if axis is not None and 0 < axis < rank else 1


def _map_sides(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    """(classes, height, width) of a map; anything else as it is, without the batch."""
    if axis in (None, 0) or len(shape) not in (3, 4):
        return shape[1:]
    assert axis is not None
    places = [side for i, side in enumerate(shape) if i not in (0, axis)]
    return (shape[axis], *places, *[1] * (2 - len(places)))
