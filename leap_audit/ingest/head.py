"""Where the class scores are: the logits, under a trailing Softmax or at the end."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from leap_audit.errors import ModelRefused
from leap_audit.ingest.canonical import static_shape

__all__ = ["FLOATS", "SHAPE_ONLY", "Head", "find_head"]

SHAPE_ONLY = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Transpose"}
)
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)


@dataclass(frozen=True)
class Head:
    """The tensor that holds the logits, of any shape with one item's classes in a row."""

    logits: ir.Value
    classes: int
    text: str
    """What was read as the logits, for the report."""


def find_head(graph: ir.Graph, batch: int) -> Head:
    """Return the logits of a canonical classifier.

    The first floating-point output counts. A Softmax or LogSoftmax at its end, whether or not
    reshaped afterwards, is taken off: the objective of an audit is the logit.

    Raises ModelRefused: no floating-point output, or one that is not a list of class scores.
    """
    outputs = [value for value in graph.outputs if value.dtype in FLOATS]
    if not outputs:
        kinds = ", ".join(f"{v.name!r} ({v.dtype})" for v in graph.outputs)
        raise ModelRefused(
            f"no output holds floating-point class scores ({kinds}); export the model without its "
            "final ArgMax or label lookup."
        )
    output = outputs[0]
    text = f"output {output.name!r}"
    if len(graph.outputs) > 1:
        text += f", the first of {len(graph.outputs)} that holds scores"
    value = output
    while (node := value.producer()) is not None and node.op_type in SHAPE_ONLY:
        value = _first_input(node)
    if node is not None and node.op_type in ("Softmax", "LogSoftmax"):
        text += f", with the trailing {node.op_type} taken off"
        output = _first_input(node)
    shape = static_shape(output)
    items = math.prod(shape) // batch
    if math.prod(shape) % batch or shape[0] != batch or items != max(shape[1:], default=1):
        raise ModelRefused(
            f"output {output.name!r} has shape {list(shape)}, which is not one score per class; "
            "only classifiers can be audited so far."
        )
    if items < 2:
        raise ModelRefused(
            f"output {output.name!r} holds a single score; an audit needs at least two classes."
        )
    return Head(output, items, text)


def _first_input(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value
