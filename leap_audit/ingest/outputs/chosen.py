"""An output of a graph, and the scores that it holds or that its answer was chosen from."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from leap_audit.graph.operators import FLOATS, SHAPE_ONLY
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of
from leap_audit.ingest.outputs.reading import Step, stepped

__all__ = [
    "Chosen",
    "candidate",
    "chosen_from",
    "leading_to",
    "only_arranged",
]


@dataclass(frozen=True)
class Chosen:
    """An output, and the scores that it holds or that its answer was chosen from."""

    output: ir.Value
    scores: ir.Value
    """The output itself, or what the operators `choosing` choose from."""
    back: tuple[Step, ...]
    """From the output to the scores."""
    choosing: tuple[str, ...]
    """ArgMax, TopK and the like that stand between the two, the last first."""
    why: str = ""
    """Why this output was taken, where the graph has several."""


def only_arranged(value: ir.Value) -> tuple[ir.Value, tuple[Step, ...]]:
    """Return the tensor that a tensor only arranges anew, and the steps to it."""
    back: list[Step] = []
    while (node := value.producer()) is not None and node.op_type in SHAPE_ONLY:
        back.append((node.op_type, 0))
        value = stepped(value, back[-1:])
    return value, tuple(back)


def candidate(output: ir.Value, batch: int) -> Chosen | None:
    """An output with the scores it stands for; None where there are none for each picture."""
    value = output
    back: tuple[Step, ...] = ()
    choosing: list[str] = []
    while (found := chosen_from(value)) is not None:
        value, steps, op_type = found
        back += steps
        choosing.append(op_type)
    under, steps = only_arranged(value)
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
    return Chosen(output, value, back, tuple(choosing))


def chosen_from(value: ir.Value) -> tuple[ir.Value, tuple[Step, ...], str] | None:
    """Return what the numbers of a tensor were chosen from, the steps to it, and the operator.

    None where they are not chosen from others.
    """
    under, back = only_arranged(value)
    node = under.producer()
    if node is None:
        return None
    index = 0
    if node.op_type in ("Gather", "GatherElements", "GatherND"):
        if node.op_type == "Gather" and constant_of(node.inputs[0]) is not None:
            index = 1  # a label's number, out of a table
        ranks = node.inputs[1]
        assert ranks is not None
        if chosen_from(ranks) is None:
            return None
    elif node.op_type == "ReduceMax":
        if not _is_best(node):
            return None
    elif node.op_type not in ("ArgMax", "TopK", "Hardmax"):
        return None
    steps = (*back, (node.op_type, index))
    return stepped(value, steps), steps, node.op_type


def _is_best(node: ir.Node) -> bool:
    """Whether a ReduceMax gives the best of a picture's scores, and not the most of a map."""
    x, y = node.inputs[0], node.outputs[0]
    if x is None or x.shape is None or y.shape is None:
        return False
    if not (x.shape.is_static() and y.shape.is_static()):
        return False
    if any(use.node.op_type in ("ArgMax", "TopK") for use in x.uses()):
        return True
    sides = static_shape(x)[1:]
    return math.prod(static_shape(y)[1:]) == 1 and max(sides, default=1) == math.prod(sides) > 1


def leading_to(value: ir.Value) -> set[ir.Value]:
    """Return all tensors that a tensor is computed from, itself included."""
    found, waiting = {value}, [value]
    while waiting:
        node = waiting.pop().producer()
        for x in () if node is None else node.inputs:
            if x is not None and x not in found:
                found.add(x)
                waiting.append(x)
    return found
