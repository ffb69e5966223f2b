"""Make one vector of the vectors that a transformer gives to the tokens of a picture.

The last hidden state of a vision transformer has a vector for each token: (batch, tokens,
features). Which of them stands for the picture depends on the training, so that the user says it,
as a suffix of the name in `--output`.
"""

import onnx

from leap_audit.errors import ModelRefused
from leap_audit.graph.protos import opset_of
from leap_audit.ingest.outputs.tensor_outputs import with_outputs, with_types

__all__ = ["TOKENS", "tokens_hint", "tokens_said", "with_one_vector"]

TOKENS = {
    "first": "the vector of the first token was read for the picture, as --output says",
    "mean": "the mean of the vectors of all tokens was read for the picture, as --output says",
}
"""Suffix of a name in `--output` -> what was read, in words."""
AXES_AS_INPUT = 18
"""Opset from which on ReduceMean has its axes as an input."""


def tokens_said(proto: onnx.ModelProto, wanted: str | None) -> tuple[str, str] | None:
    """Return the tensor and the suffix of NAME:first or NAME:mean; None where that is no suffix.

    A tensor that is called so itself is no other one with a suffix.
    """
    name, colon, suffix = (wanted or "").rpartition(":")
    if not colon or suffix not in TOKENS:
        return None
    values = {value for node in proto.graph.node for value in node.output}
    return (name, suffix) if name in values and wanted not in values else None


def with_one_vector(proto: onnx.ModelProto, name: str, suffix: str) -> onnx.ModelProto:
    """Return the model with one output, `name:suffix`: a vector made of those of the tokens.

    Raises ModelRefused: the tensor is not (batch, tokens, features).
    """
    cut = with_types(with_outputs(proto, [name]))
    if cut is proto:
        cut = onnx.ModelProto()
        cut.CopyFrom(proto)
    graph, output = cut.graph, f"{name}:{suffix}"
    kind = graph.output[0].type.tensor_type
    if kind.HasField("shape") and len(kind.shape.dim) != 3:
        sides = " × ".join(str(d.dim_value or d.dim_param or "?") for d in kind.shape.dim)
        raise ModelRefused(
            f"--output {output} is of a tensor with the vectors of tokens, batch × tokens × "
            f"features; {name!r} is {sides or 'one number'}."
        )
    graph.node.append(_node(cut, name, output, suffix))
    del graph.output[:]
    graph.output.append(onnx.ValueInfoProto(name=output))
    return with_types(cut)


def _node(model: onnx.ModelProto, name: str, output: str, suffix: str) -> onnx.NodeProto:
    """The node that takes one vector; its constant, if it has one, is put into the model."""
    if suffix == "mean" and opset_of(model) < AXES_AS_INPUT:
        return onnx.helper.make_node("ReduceMean", [name], [output], axes=[1], keepdims=0)
    place, sides, value = f"{output}/place", [], [0]
    if suffix == "mean":
        sides, value = [1], [1]
    constant = onnx.helper.make_tensor(place, onnx.TensorProto.INT64, sides, value)
    model.graph.initializer.append(constant)
    if suffix == "mean":
        return onnx.helper.make_node("ReduceMean", [name, place], [output], keepdims=0)
    return onnx.helper.make_node("Gather", [name, place], [output], axis=1)


def tokens_hint(name: str) -> str:
    """Return the sentence that says how to read the vectors of tokens in output `name`."""
    return (
        "If these are the vectors of a transformer's tokens, say which one to read. The first is "
        f"often the class token: --output {name}:first. The mean of all: --output {name}:mean."
    )
