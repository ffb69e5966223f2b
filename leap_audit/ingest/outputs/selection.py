"""Select the output that holds the class scores, and give the reason in words."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from leap_audit.errors import ModelRefused
from leap_audit.graph.operators import FLOATS, SHAPE_ONLY
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of
from leap_audit.ingest.outputs.reading import Step, stepped
from leap_audit.ingest.outputs.task import DeclaredAnswer, is_embedding, refuse_boxes_beside

__all__ = [
    "OutputCandidate",
    "ancestors",
    "output_candidate",
    "select_output",
    "undo_reshapes",
    "undo_selection",
]

WEIGHTED = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum"})
"""Operators with weights: what a network is deep in."""
BACKGROUND = 1
"""A list of names may leave out the background, or have it in excess."""


@dataclass(frozen=True)
class OutputCandidate:
    """An output, and the scores that it holds or that its answer was chosen from."""

    output: ir.Value
    scores: ir.Value
    """The output itself, or the tensor that the operators `choosing` select from."""
    back: tuple[Step, ...]
    """From the output to the scores."""
    choosing: tuple[str, ...]
    """ArgMax, TopK and the like that stand between the two, the last first."""
    why: str = ""
    """The reason for this output, where the graph has several."""


def select_output(graph: ir.Graph, batch: int, declared: DeclaredAnswer) -> OutputCandidate:
    """Select the output that holds the class scores.

    The one that `declared` names. Else, of the outputs with the batch as first dimension:
    those with as many scores as there are names of classes; lists before maps; not what another
    list is computed from, as the features under the logits are; not features divided by their
    length; the end of the network, not of a branch in its middle. An output of labels, of the
    largest scores or of their ranks stands for the scores that it was chosen from.

    Raises ModelRefused: there is none, none is called so, or several are left.
    """
    if declared.output is not None:
        return _named(graph, batch, declared.output)
    every = [c for value in graph.outputs if (c := output_candidate(value, batch)) is not None]
    if not every:
        kinds = ", ".join(f"{v.name!r} ({v.dtype}, {_shape_text(v)})" for v in graph.outputs)
        raise ModelRefused(
            f"no output holds floating-point class scores for each of {batch} pictures ({kinds}); "
            "export the model without its final label lookup, or name a tensor inside the graph "
            "with --output."
        )
    if len(graph.outputs) == 1:
        return every[0]
    left = every
    reasons = ["it alone holds class scores"] if len(every) == 1 else []
    for reason, keep in _criteria(declared):
        kept = keep(left)
        if kept and len(kept) < len(left):
            left = kept
            reasons.append(reason)
        if len(left) == 1:
            break
    if len(left) > 1:
        refuse_boxes_beside(left[0].output, [v for v in graph.outputs if v.dtype in FLOATS])
        shapes = ", ".join(f"{c.output.name!r} ({_shape_text(c.output)})" for c in left)
        raise ModelRefused(
            f"{len(left)} outputs may hold the class scores: {shapes}; choose one with --output, "
            f"such as --output {left[0].output.name}."
        )
    (only,) = left
    why = f"chosen of {len(graph.outputs)} outputs: {', '.join(reasons)}"
    return replace(only, why=why)


def _named(graph: ir.Graph, batch: int, name: str) -> OutputCandidate:
    (output,) = [value for value in graph.outputs if value.name == name]
    found = output_candidate(output, batch)
    if found is None:
        raise ModelRefused(
            f"output {name!r} ({output.dtype}, {_shape_text(output)}) holds no class scores for "
            f"each of {batch} pictures; name another output with --output."
        )
    return replace(found, why="said with --output")


Keep = Callable[[Sequence[OutputCandidate]], list[OutputCandidate]]


def _criteria(declared: DeclaredAnswer) -> list[tuple[str, Keep]]:
    """Return the criteria for outputs, each with its reason in words, in their order."""
    names = declared.names
    return [
        (
            f"it has as many scores as there are class names ({names})",
            lambda left: [c for c in left if names is not None and names in _counts(c)],
        ),
        (
            f"it has a score for each of the {names} class names but for the background",
            lambda left: [c for c in left if names is not None and _with_background(c, names)],
        ),
        ("it is a list of scores, not a map", _lists),
        ("it holds the scores, not one number computed from them", _not_sums),
        ("others lead to it", _last),
        (
            "it holds scores, not features",
            lambda left: [c for c in left if not is_embedding(c.scores)],
        ),
        ("others hold the same scores", _first_of_same),
        ("the network goes on to it where others have branched off", _deepest),
        (
            "it holds probabilities",
            lambda left: [c for c in left if _under_probability(c)[1]],
        ),
        (
            "others are called auxiliary",
            lambda left: [c for c in left if "aux" not in str(c.output.name).lower()],
        ),
    ]


def _sides(choice: OutputCandidate) -> tuple[int, ...]:
    return static_shape(choice.scores)[1:]


def _is_list(choice: OutputCandidate) -> bool:
    sides = _sides(choice)
    return math.prod(sides) == max(sides, default=1)


def _counts(choice: OutputCandidate) -> set[int]:
    """Return how many classes an output may distinguish."""
    sides = _sides(choice)
    if _is_list(choice):
        count = math.prod(sides)
        return {1, 2} if count == 1 else {count}
    if len(sides) == 3:
        return {1, 2} if 1 in (sides[0], sides[2]) else {sides[0], sides[2]}
    return {sides[-1]} if len(sides) == 2 else set()


def _with_background(choice: OutputCandidate, names: int) -> bool:
    return _is_list(choice) and abs(math.prod(_sides(choice)) - names) == BACKGROUND


def _lists(left: Sequence[OutputCandidate]) -> list[OutputCandidate]:
    found = [c for c in left if _is_list(c)]
    return found or [c for c in left if len(_sides(c)) == 3]


def _not_sums(left: Sequence[OutputCandidate]) -> list[OutputCandidate]:
    """Remove single numbers that are computed from a list of scores, such as their entropy."""
    several = {_source(c) for c in left if math.prod(_sides(c)) > 1}
    return [c for c in left if math.prod(_sides(c)) > 1 or not several & ancestors(c.scores)]


def _last(left: Sequence[OutputCandidate]) -> list[OutputCandidate]:
    """Remove those that another of them is computed from."""
    before = {c: ancestors(_source(c)) for c in left}
    return [
        c
        for c in left
        if not any(_source(c) in before[o] for o in left if _source(o) is not _source(c))
    ]


def _first_of_same(left: Sequence[OutputCandidate]) -> list[OutputCandidate]:
    """Keep one of those that hold the same scores, with or without a Softmax.

    The one with a Softmax goes first: its probabilities are the model's own. A Softmax and a
    Sigmoid of the same scores mean different things, so both are kept.
    """
    ends = {c: _under_probability(c) for c in left}
    if len({end for end, _ in ends.values()}) != 1:
        return list(left)
    kinds = {op for _, op in ends.values()}
    if {"Softmax", "Sigmoid"} <= kinds or {"LogSoftmax", "Sigmoid"} <= kinds:
        return list(left)
    order = ("Softmax", "Sigmoid", "LogSoftmax", "")
    return [min(left, key=lambda c: order.index(ends[c][1]))]


def _under_probability(choice: OutputCandidate) -> tuple[ir.Value, str]:
    value = _source(choice)
    node = value.producer()
    if node is None or node.op_type not in ("Softmax", "LogSoftmax", "Sigmoid"):
        return value, ""
    return undo_reshapes(stepped(value, [(node.op_type, 0)]))[0], node.op_type


def _deepest(left: Sequence[OutputCandidate]) -> list[OutputCandidate]:
    """Keep the output that the network continues to, where the others have branched off.

    Counted are layers with weights at more than one place that lead to it and not to the other:
    heads side by side on the same features have none, or as many.
    """
    return [c for c in left if all(_goes_on(c, o) for o in left if o is not c)]


def _goes_on(choice: OutputCandidate, other: OutputCandidate) -> bool:
    own, others = ancestors(choice.scores), ancestors(other.scores)
    return _layers(own - others, choice) > 2 * _layers(others - own, other)


def _layers(values: set[ir.Value], choice: OutputCandidate) -> int:
    nodes = {node for value in values if (node := value.producer()) is not None}
    layers = sum(1 for node in nodes if node.op_type in WEIGHTED and _has_places(node.outputs[0]))
    return layers if _is_list(choice) else max(0, layers - 1)  # the scores of a map are a layer


def _has_places(value: ir.Value) -> bool:
    if value.shape is None or not value.shape.is_static():
        return False
    sides = static_shape(value)[1:]
    if len(sides) == 3:
        return sides[1] * sides[2] > 1
    return len(sides) == 2 and sides[0] > 1


def _source(choice: OutputCandidate) -> ir.Value:
    return undo_reshapes(choice.scores)[0]


def _shape_text(value: ir.Value) -> str:
    if value.shape is None:
        return "of unknown shape"
    return " × ".join(str(side) for side in value.shape) or "one number"


def undo_reshapes(value: ir.Value) -> tuple[ir.Value, tuple[Step, ...]]:
    """Return the tensor before reshapes, transposes and casts, and the steps back to it."""
    back: list[Step] = []
    while (node := value.producer()) is not None and node.op_type in SHAPE_ONLY:
        back.append((node.op_type, 0))
        value = stepped(value, back[-1:])
    return value, tuple(back)


def output_candidate(output: ir.Value, batch: int) -> OutputCandidate | None:
    """Return an output with its scores; None where it has no scores for each picture."""
    value = output
    back: tuple[Step, ...] = ()
    choosing: list[str] = []
    while (found := undo_selection(value)) is not None:
        value, steps, op_type = found
        back += steps
        choosing.append(op_type)
    under, steps = undo_reshapes(value)
    node = under.producer()
    if value.dtype not in FLOATS and node is not None and node.op_type == "QuantizeLinear":
        back += (*steps, (node.op_type, 0))
        value = stepped(under, back[-1:])
        choosing.append(node.op_type)
    if value.dtype not in FLOATS or value.shape is None or not value.shape.is_static():
        return None
    shape = static_shape(value)
    if not shape or shape[0] != batch:
        return None
    return OutputCandidate(output, value, back, tuple(choosing))


def undo_selection(value: ir.Value) -> tuple[ir.Value, tuple[Step, ...], str] | None:
    """Return the tensor before an ArgMax, TopK or the like, the steps to it, and the operator.

    None where they are not chosen from others.
    """
    under, back = undo_reshapes(value)
    node = under.producer()
    if node is None:
        return None
    index = 0
    if node.op_type in ("Gather", "GatherElements", "GatherND"):
        if node.op_type == "Gather" and constant_of(node.inputs[0]) is not None:
            index = 1  # a label's number, out of a table
        ranks = node.inputs[1]
        assert ranks is not None
        if undo_selection(ranks) is None:
            return None
    elif node.op_type == "ReduceMax":
        if not _is_best(node):
            return None
    elif node.op_type not in ("ArgMax", "TopK", "Hardmax"):
        return None
    steps = (*back, (node.op_type, index))
    return stepped(value, steps), steps, node.op_type


def _is_best(node: ir.Node) -> bool:
    """Return whether a ReduceMax gives the highest class score, and not the maximum of a map."""
    x, y = node.inputs[0], node.outputs[0]
    if x is None or x.shape is None or y.shape is None:
        return False
    if not (x.shape.is_static() and y.shape.is_static()):
        return False
    if any(use.node.op_type in ("ArgMax", "TopK") for use in x.uses()):
        return True
    sides = static_shape(x)[1:]
    return math.prod(static_shape(y)[1:]) == 1 and max(sides, default=1) == math.prod(sides) > 1


def ancestors(value: ir.Value) -> set[ir.Value]:
    """Return all tensors that a tensor is computed from, itself included."""
    found, waiting = {value}, [value]
    while waiting:
        node = waiting.pop().producer()
        for x in () if node is None else node.inputs:
            if x is not None and x not in found:
                found.add(x)
                waiting.append(x)
    return found
