"""Where the class scores are: the logits, under what turns them into the model's answer.

The output is chosen, what it holds is measured on a few pictures, and the scores are read from the
tensor that this points to.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Probabilities, Task
from leap_audit.errors import ModelRefused
from leap_audit.graph.operators import FLOATS
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.outputs.bounds import bounds_of
from leap_audit.ingest.outputs.logit_candidates import is_part_of_softmax, logit_candidates
from leap_audit.ingest.outputs.meaning import Meaning, meaning_of
from leap_audit.ingest.outputs.postprocessing import (
    ScoreTensor,
    answer_tensor,
    class_axis,
    is_list,
    map_shape,
    probability_operator,
    undo_transposes,
    undo_upsampling,
)
from leap_audit.ingest.outputs.probabilities import share_total
from leap_audit.ingest.outputs.reading import Reading, stepped
from leap_audit.ingest.outputs.selection import ancestors, select_output, undo_selection
from leap_audit.ingest.outputs.task import DeclaredAnswer, infer_task, refuse_detector
from leap_audit.ingest.outputs.trial import NOISE, OutputTrial
from leap_audit.run.session import Array

__all__ = ["Head", "as_declared", "find_head"]

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


def find_head(model: ir.Model, declared: DeclaredAnswer, trial: OutputTrial) -> Head:
    """Return where a canonical graph of one picture holds its scores, and what they are.

    The graph is run on the pictures of `trial`, and keeps of its nodes what that needs.

    Raises ModelRefused: no scores, or what they are cannot be audited or contradicts `declared`.
    """
    graph = model.graph
    chosen = select_output(graph, BATCH, declared)
    output, others = chosen.output, len(graph.outputs)
    end = answer_tensor(chosen)
    shape = static_shape(end.value)
    listed, guessed = is_list(shape), end.axis is None
    if not listed:
        end = undo_transposes(end, declared) if probability_operator(end.value) is None else end
        shape = static_shape(end.value)
    way = ancestors(chosen.scores)
    beside = [v for v in graph.outputs if v.dtype in FLOATS and v is not output and v not in way]
    sides = (math.prod(shape[1:]),) if listed else map_shape(shape, end.axis)
    refuse_detector(output, end.value, beside, sides, declared)

    axis = 1 if listed else class_axis(end.axis, len(shape))
    end, meaning = _measured(
        model, str(output.name), replace(end, axis=axis), listed, guessed, trial, declared
    )
    sides = sides if listed else map_shape(shape, end.axis)
    if not listed and meaning.change == "none":
        end = undo_transposes(undo_upsampling(end), declared)
        sides = map_shape(static_shape(end.value), end.axis)
    task, why = infer_task(output, end.value, sides, meaning, end.taken, declared)
    meaning = as_declared(
        meaning, replace(declared, task=task) if task == "embedding" else declared
    )
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


def _measured(
    model: ir.Model,
    name: str,
    end: ScoreTensor,
    listed: bool,
    guessed: bool,
    trial: OutputTrial,
    declared: DeclaredAnswer,
) -> tuple[ScoreTensor, Meaning]:
    """What the numbers of the answer are, and the tensor that the scores are read from.

    name: of the output. guessed: the axis of the classes is only likely, so that the numbers may
    show another.
    """
    axis = end.axis or 1
    shape = static_shape(end.value)
    count = math.prod(shape[1:])
    counts = {count, 1} if listed and count == 2 else {count}
    behind = logit_candidates(end.value, counts, shape=not listed)
    for each in behind:
        if math.prod(static_shape(each.value)[1:]) == count and (
            choice := undo_selection(each.value)
        ):
            raise ModelRefused(
                f"output {name!r} is computed from what "
                f"{choice[2]} chose from tensor {choice[0].name!r}, and so does not say of which "
                f"class; name that tensor with --output, or export the model without {choice[2]}."
            )
    bounds, part = bounds_of(end.value), is_part_of_softmax(end.value, count)
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
    columns = _columns(answer, axis, listed)
    meaning = meaning_of(columns, kept, bounds, coarsest, part=part)
    read = next((x for b, x in kept if b.back == meaning.back), answer)
    if not np.isfinite(read).all():
        raise ModelRefused(_not_finite(end.value))
    if not _as_it_is(meaning, declared):
        return end, meaning
    taken = [*end.taken, *(op for op in meaning.taken if op not in end.taken)]
    value, back = stepped(end.value, meaning.back), (*end.back, *meaning.back)
    return ScoreTensor(value, back, end.axis, tuple(taken)), meaning


def _as_it_is(meaning: Meaning, declared: DeclaredAnswer) -> bool:
    """Whether the scores are read as they were found, and `declared` says nothing else of them."""
    if declared.task == "embedding":
        return False
    if not meaning.probable or meaning.single:
        return True
    return declared.task not in ("multi-label", "classification") or meaning.exclusive == (
        declared.task == "classification"
    )


def as_declared(meaning: Meaning, declared: DeclaredAnswer) -> Meaning:
    """Return what was measured, with classes that share 100 % or do not, as `declared` says.

    Probabilities stay the model's own.
    """
    if declared.task == "embedding":
        return replace(
            meaning,
            back=(),
            change="none",
            single=False,
            probabilities="softmax",
            exclusive=True,
            probable=False,
            sentence="its numbers are read as a vector",
        )
    if _as_it_is(meaning, declared):
        own = declared.task == "multi-label" and not meaning.probable
        return replace(meaning, probabilities="sigmoid", exclusive=False) if own else meaning
    shared = declared.task == "classification"
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
