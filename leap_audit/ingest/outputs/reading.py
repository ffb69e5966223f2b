"""How scores are read out of a model: from which tensor, and what is done to its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

from leap_audit.errors import ModelRefused
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_constant, new_node

__all__ = ["LEAST", "NEAREST", "Reading", "ScoreChange", "Step", "stepped", "written"]

Step = tuple[str, int]
"""From a tensor back to an input of the node that computes it: the operator, and which input."""
ScoreChange = Literal["none", "negative", "log", "logit"]
LEAST = 1e-30
"""A probability counts as no smaller than this before its logarithm is taken."""
LEAST_HALF = 2.0**-15
"""The same in half precision, where one divided by less is infinite."""
NEAREST = 2.0**-24
"""How near to 1 a probability comes at most, of which log p - log(1 - p) is taken: as near as
float32 can tell."""


@dataclass(frozen=True)
class Reading:
    """From an output of the graph back to its scores, the same for every batch."""

    output: str
    """The output's name in the canonical graph."""
    back: tuple[Step, ...] = ()
    """From that output to the tensor that is read."""
    change: ScoreChange = "none"
    """What makes scores of its numbers. none: they are; negative: they count the other way round;
    log: they are probabilities p, and log p is the score; logit: log p - log(1 - p) is."""
    total: float = 1.0
    """What a probability of 1 is written as: 100 for percentages."""


def stepped(value: ir.Value, back: Sequence[Step]) -> ir.Value:
    """Return the tensor that the steps lead back to.

    Raises ModelRefused: the graph is not the one that they were found in.
    """
    for op_type, index in back:
        node = value.producer()
        if node is None or node.op_type != op_type or node.inputs[index] is None:
            found = "no operator" if node is None else node.op_type
            raise ModelRefused(
                f"tensor {value.name!r}: {found} stands where {op_type} stands for one picture; "
                "export the model with a batch of 1."
            )
        before = node.inputs[index]
        assert before is not None
        value = before
    return value


def written(graph: ir.Graph, reading: Reading) -> ir.Value:
    """Return the scores, appended to a canonical graph where they are not in it already.

    Computed ones are float32, and their gradient is finite everywhere: zero where p lies outside
    what the logarithm is taken of.
    """
    (output,) = [value for value in graph.outputs if value.name == reading.output]
    value = stepped(output, reading.back)
    if reading.change == "none":
        return value
    write = _Written(graph, static_shape(value))
    if reading.change == "negative":
        return write("Neg", value)
    least = LEAST_HALF if value.dtype == ir.DataType.FLOAT16 else LEAST
    if value.dtype != ir.DataType.FLOAT:
        value = write("Cast", value, to=ir.DataType.FLOAT.value)
    if reading.total != 1:
        value = write("Mul", value, write.constant(1 / reading.total))
    log_p = write("Log", write("Max", value, write.constant(least)))
    if reading.change == "log":
        return log_p
    rest = write("Max", write("Sub", write.constant(1.0), value), write.constant(NEAREST))
    return write("Sub", log_p, write("Log", rest))


class _Written:
    """Appends nodes whose results all have one shape."""

    def __init__(self, graph: ir.Graph, shape: tuple[int, ...]) -> None:
        self._graph, self._shape, self._count = graph, shape, 0

    def constant(self, number: float) -> ir.Value:
        return new_constant(self._graph, self._name(), np.array(number, np.float32))

    def __call__(self, op_type: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        node = new_node(op_type, inputs, attributes, [self._name()])
        self._graph.append(node)
        (value,) = node.outputs
        first = inputs[0].dtype if op_type == "Neg" else ir.DataType.FLOAT
        value.type = ir.TensorType(first or ir.DataType.FLOAT)
        value.shape = ir.Shape(self._shape)
        return value

    def _name(self) -> str:
        self._count += 1
        return f"leap_audit/score_{self._count}"
