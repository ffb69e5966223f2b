"""Find tensors that may hold the logits: ancestors of the output of the same size."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import onnx_ir as ir

from leap_audit.graph.operators import FLOATS, SHAPE_ONLY
from leap_audit.ingest.outputs.reading import Step

__all__ = ["LogitCandidate", "farthest_reachable", "is_part_of_softmax", "logit_candidates"]

MOST = 48
"""Tensors that are looked at."""
EACH_ALONE = frozenset(
    {
        *("Abs", "Add", "Clip", "Concat", "DequantizeLinear", "Div", "Elu", "Exp", "Expand"),
        *("HardSigmoid", "Log", "Max", "Min", "Mul", "Neg", "Pow", "QuantizeLinear", "Reciprocal"),
        *(
            "Round",
            "Floor",
            "Ceil",
            "Relu",
            "Sigmoid",
            "Softplus",
            "Sqrt",
            "Sub",
            "Sum",
            "Tanh",
            "Where",
            "Mean",
        ),
        *SHAPE_ONLY,
    }
)
"""Operators that compute each number from the numbers at its own place."""
ROUNDING = frozenset({"QuantizeLinear", "Round", "Floor", "Ceil"})
TOGETHER = frozenset(
    {
        *("Softmax", "LogSoftmax", "ReduceMax", "ReduceSum", "ReduceLogSumExp", "ReduceMean"),
        *("ReduceL1", "Slice", "Gather", "Split"),
    }
)
"""Operators that compute numbers from several at once, as a softmax is written."""


@dataclass(frozen=True)
class LogitCandidate:
    """A tensor from which the answer is computed."""

    value: ir.Value
    back: tuple[Step, ...]
    """From the answer to it."""
    operators: tuple[str, ...]
    """The operators from it to the answer, in any order."""
    rounded: bool = False
    """Whether values are rounded on the way."""

    @property
    def together(self) -> bool:
        """Return whether values are computed from several of its elements at once."""
        return not set(self.operators) <= EACH_ALONE

    @property
    def literal(self) -> bool:
        """Return whether a softmax or sigmoid operator follows it."""
        return not {"Softmax", "LogSoftmax", "Sigmoid"}.isdisjoint(self.operators)

    @property
    def exponential(self) -> bool:
        """Whether its numbers go through an operator that one can be made of."""
        parts = {"Exp", "Pow", "Tanh", "Softplus", "ReduceLogSumExp"}
        return self.literal or not parts.isdisjoint(self.operators)

    @property
    def rounding(self) -> str:
        """How the way rounds, in words; empty where it does not."""
        return ", which the output gives rounded" if self.rounded else ""

    @property
    def taken(self) -> tuple[str, ...]:
        """The operators on the way, the last first, without those that only arrange."""
        return tuple(op_type for op_type, _ in self.back if op_type not in SHAPE_ONLY)


def logit_candidates(
    answer: ir.Value, counts: Collection[int], shape: bool
) -> list[LogitCandidate]:
    """Return the ancestors of an answer that have as many elements as it, the nearest first.

    counts: how many numbers they may hold. shape: whether they must have the shape of the answer
    too, and nothing that arranges numbers anew between. Layers with weights are not looked behind.
    """
    crossed = EACH_ALONE | TOGETHER
    if shape:
        crossed -= SHAPE_ONLY - {"Identity", "Cast"}
    found: list[LogitCandidate] = []
    visited = {answer}
    waiting: list[tuple[ir.Value, tuple[Step, ...]]] = [(answer, ())]
    while waiting and len(visited) < MOST:
        value, back = waiting.pop(0)
        node = value.producer()
        if node is None or node.op_type not in crossed:
            continue
        for index, x in enumerate(node.inputs):
            if x is None or x in visited or x.producer() is None:
                continue
            visited.add(x)
            steps = (*back, (node.op_type, index))
            waiting.append((x, steps))
            if x.dtype in FLOATS and _fits(x, answer, counts, shape):
                nodes = _between(answer, x)
                operators = tuple(node.op_type for node in nodes)
                rounded = not ROUNDING.isdisjoint(operators)
                found.append(LogitCandidate(x, steps, operators, rounded))
    return found


def is_part_of_softmax(answer: ir.Value, count: int) -> bool:
    """Return whether a tensor of `count` elements is part of the output of a Softmax."""
    waiting, visited = [answer], {answer}
    while waiting and len(visited) < MOST:
        node = waiting.pop().producer()
        if node is None or node.op_type not in {*SHAPE_ONLY, "Slice", "Gather", "Split", "Softmax"}:
            continue
        if node.op_type == "Softmax":
            shape = node.outputs[0].shape
            return shape is not None and shape.is_static() and math.prod(shape.numpy()) > count
        x = node.inputs[0]
        if x is not None and x not in visited:
            visited.add(x)
            waiting.append(x)
    return False


def farthest_reachable(
    found: Iterable[LogitCandidate], start: LogitCandidate, across: Collection[str]
) -> LogitCandidate:
    """Return the farthest candidate that only these operators separate from `start`."""
    by_value = {each.value: each for each in found}
    farthest, waiting, visited = start, [start.value], {start.value}
    while waiting:
        value = waiting.pop(0)
        node = value.producer()
        if node is None or node.op_type not in {*across, *SHAPE_ONLY}:
            continue
        for x in node.inputs:
            if x is not None and x not in visited:
                visited.add(x)
                waiting.append(x)
                farthest = by_value.get(x, farthest)
    return farthest


def _fits(value: ir.Value, answer: ir.Value, counts: Collection[int], shape: bool) -> bool:
    if value.shape is None or not value.shape.is_static():
        return False
    if shape:
        return value.shape == answer.shape
    sides = value.shape.numpy()
    size = 1
    for side in sides:
        size *= side
    return size in counts


def _between(answer: ir.Value, start: ir.Value) -> list[ir.Node]:
    """Return the nodes between `start` and the answer."""
    reaches: dict[ir.Value, bool] = {start: True}
    found: list[ir.Node] = []
    order: list[ir.Value] = [answer]
    while order:
        value = order[-1]
        node = value.producer()
        if value in reaches or node is None:
            reaches.setdefault(value, False)
            order.pop()
            continue
        inputs = [x for x in node.inputs if x is not None]
        missing = [x for x in inputs if x not in reaches]
        if missing:
            order.extend(missing)
            continue
        order.pop()
        reaches[value] = any(reaches[x] for x in inputs)
        if reaches[value]:
            found.append(node)
    return found
