"""Select the input of a model that takes the picture, and fix the other inputs."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from leap_audit.artifacts import FixedInput, ModelIdentity, TensorInfo
from leap_audit.errors import ModelRefused
from leap_audit.graph.protos import opset_of, real_inputs, tensor_info
from leap_audit.ingest.inputs.values import NUMERIC, Value, array_for, describe_input, read_values

__all__ = [
    "Inputs",
    "fix_inputs",
    "inputs_in_words",
    "read_inputs",
    "recorded_value",
    "select_picture",
]

SHOWN = 16
"""Numbers of a value that audit.json holds in full."""
TRAINING = re.compile(r"train|phase|learning", re.IGNORECASE)
KEEPING = re.compile(r"keep_?prob", re.IGNORECASE)
DROPPING = re.compile(r"drop", re.IGNORECASE)


@dataclass(frozen=True)
class Inputs:
    """The user's choice of the picture's input and values for the others."""

    picture: str | None = None
    """Name of the input that takes the picture; None: it is chosen where only one can be it."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """Name of another input -> the value that it always gets."""
    signature: str | None = None
    """Which function of a SavedModel is meant; None: the one that it serves by default."""

    @property
    def specified(self) -> bool:
        """Whether anything was said of the inputs themselves."""
        return self.picture is not None or bool(self.values)


def read_inputs(picture: str | None, values: Mapping[str, Any], signature: str | None) -> Inputs:
    """Read the user's options for the inputs, .npy files included.

    values: name -> a number, a truth value, a list of numbers, an array, or the path of a .npy
    file. Raises UsageError as `read_values` does.
    """
    return Inputs(picture, read_values(values), signature)


def inputs_in_words(identity: ModelIdentity) -> tuple[str, ...]:
    """Return in plain lines which function and input were audited, and what the others hold."""
    lines = [f"Signature {identity.signature!r}."] if identity.signature else []
    if identity.fixed_inputs:
        held = ", ".join(
            f"{each.name!r} is {each.value or ' × '.join(map(str, each.shape)) + ' numbers'}"
            for each in identity.fixed_inputs
        )
        lines.append(f"The picture goes in at {identity.picture!r}; throughout, {held}.")
    return tuple(lines)


def select_picture(
    inputs: Sequence[TensorInfo],
    chosen: Inputs,
    label: str,
    unread: Sequence[str] = (),
    *,
    partly: bool = False,
) -> TensorInfo:
    """Return the input that takes the picture, when every other input has a value.

    inputs: all inputs of the model. label: what to call it in a message. unread: inputs that
    nothing reads, which need no value. partly: others need none either; the first one is returned.

    Raises ModelRefused: the picture is not clear, an input has no value, or a name is unknown.
    """
    names = [each.name for each in inputs]
    for flag, name in (
        *((f"--input {chosen.picture}", each) for each in (chosen.picture,) if each is not None),
        *((f"--set {each}", each) for each in chosen.values),
    ):
        if name not in names:
            listed = ", ".join(map(repr, names)) or "none"
            raise ModelRefused(f"{flag}: {label} has no input of that name; its inputs: {listed}.")
    if chosen.picture in chosen.values:
        raise ModelRefused(
            f"--set {chosen.picture}: this input is the picture, which --input names; set others."
        )
    open_ = [each for each in inputs if each.name not in chosen.values]
    if not open_:
        raise ModelRefused(
            f"{label}: every input has a value from --set, so none is left to take the picture."
        )
    if partly:
        return open_[0]
    picture = _picture_among(open_, chosen, label, unread)
    missing = [e for e in open_ if e.name != picture.name and e.name not in unread]
    if missing:
        listed = " and ".join(describe_input(each) for each in missing)
        flags = " ".join(_suggestion(each) for each in missing)
        raise ModelRefused(
            f"{label} has {len(inputs)} inputs; beside the picture {picture.name!r} it takes "
            f"{listed}: pass {flags}."
        )
    return picture


def fix_inputs(
    proto: onnx.ModelProto, chosen: Inputs, label: str = "the model", *, partly: bool = False
) -> tuple[onnx.ModelProto, str, tuple[FixedInput, ...]]:
    """Return the model with the picture as its only input, the picture's name, and the values.

    The other inputs become constants; one whose batch is free, like the picture's, is repeated
    for every picture. The model itself is returned where it has one input. partly: inputs without
    a value stay beside the picture, which is the first of them.

    Raises ModelRefused as `select_picture` does, and where a value does not fit its input.
    """
    inputs = real_inputs(proto)
    # An input with a default value is an input too where the user gives it another value.
    inputs += [v for v in proto.graph.input if v not in inputs and v.name in chosen.values]
    unread = _unread(proto)
    infos = [tensor_info(value) for value in inputs]
    picture = select_picture(infos, chosen, label, unread, partly=partly)
    if len(inputs) == 1:
        return proto, picture.name, ()
    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    arrays = {
        info.name: array_for(info, chosen.values[info.name], picture)
        for info in infos
        if info.name in chosen.values
    }
    gone = {i.name for i in infos if i.name in arrays or not (partly or i.name == picture.name)}
    for i in reversed([i for i, v in enumerate(fixed.graph.input) if v.name in gone]):
        del fixed.graph.input[i]
    for i in reversed([i for i, t in enumerate(fixed.graph.initializer) if t.name in gone]):
        del fixed.graph.initializer[i]
    nodes: list[onnx.NodeProto] = []
    for info in infos:
        if info.name in arrays:
            nodes += _write_constant(fixed, picture, info, arrays[info.name])
    later = list(fixed.graph.node)
    del fixed.graph.node[:]
    fixed.graph.node.extend([*nodes, *later])
    return fixed, picture.name, tuple(recorded_value(n, array) for n, array in arrays.items())


def _picture_among(
    inputs: Sequence[TensorInfo], chosen: Inputs, label: str, unread: Sequence[str]
) -> TensorInfo:
    """Return the picture's input: the named one, the only one left, or the only one in 4-D."""
    if chosen.picture is not None:
        return next(each for each in inputs if each.name == chosen.picture)
    if len(inputs) == 1:
        return inputs[0]
    like = [
        each
        for each in inputs
        if len(each.shape) == 4
        and NUMERIC.fullmatch(each.dtype)
        and each.dtype != "bool"
        and each.name not in unread
    ]
    if len(like) == 1:
        return like[0]
    listed = " and ".join(describe_input(each) for each in like or inputs)
    if not like:
        raise ModelRefused(
            f"{label} has {len(inputs)} inputs, of which none has the 4 dimensions of a batch of "
            f"pictures: {listed}; an audit needs one that takes a picture."
        )
    raise ModelRefused(
        f"{label} has {len(like)} inputs that could take the picture, {listed}: name the picture "
        "with --input NAME, and give each other input a value with --set NAME=VALUE or "
        "--set NAME=FILE.npy."
    )


def _unread(proto: onnx.ModelProto) -> list[str]:
    """Return the inputs that no node reads."""
    read = {value.name for value in proto.graph.output}
    _read_by(proto.graph, read)
    return [value.name for value in real_inputs(proto) if value.name not in read]


def _read_by(graph: onnx.GraphProto, read: set[str]) -> None:
    for node in graph.node:
        read.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                read.update(value.name for value in inner.output)
                _read_by(inner, read)


def _write_constant(
    model: onnx.ModelProto, picture: TensorInfo, info: TensorInfo, array: NDArray[Any]
) -> list[onnx.NodeProto]:
    """Put a constant in the place of an input; return the nodes that repeat it for a batch."""
    name = info.name
    opset = opset_of(model)
    free = [not isinstance(each.shape[0], int) if each.shape else False for each in (picture, info)]
    if not all(free) or array.shape[:1] != (1,) or opset < 6:
        model.graph.initializer.append(numpy_helper.from_array(array, name))
        return []
    one, sides, first, batch, whole = (
        f"{name}/{part}" for part in ("one_item", "sides", "first", "batch", "whole")
    )
    tile = opset < 8  # which has no Expand yet
    rest = np.array([1] * (array.ndim - 1) if tile else array.shape[1:], np.int64)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(array, one),
            numpy_helper.from_array(np.array([0], np.int64), f"{name}/zero"),
            numpy_helper.from_array(rest, f"{name}/rest"),
        ]
    )
    return [
        helper.make_node("Shape", [picture.name], [sides], name=sides),
        helper.make_node("Gather", [sides, f"{name}/zero"], [first], name=first),
        helper.make_node("Concat", [first, f"{name}/rest"], [batch], axis=0, name=batch),
        helper.make_node("Tile" if tile else "Expand", [one, batch], [name], name=whole),
    ]


def recorded_value(name: str, array: NDArray[Any]) -> FixedInput:
    """Return the record of an input's value in audit.json."""
    numbers = array.reshape(-1)
    alike = numbers.size > 0 and bool((numbers == numbers[0]).all())
    shown = numbers[:1] if alike else numbers if numbers.size <= SHOWN else numbers[:0]
    return FixedInput(
        name=name,
        dtype=str(array.dtype),
        shape=array.shape,
        value=", ".join(str(number).lower() for number in shown.tolist()),
        sha256=hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
    )


def _suggestion(info: TensorInfo) -> str:
    """Return the flag that sets the value of an input."""
    known = [side for side in info.shape[1:] if not isinstance(side, int)]
    count = math.prod(side for side in info.shape if isinstance(side, int))
    single = not known and count == 1
    if info.dtype == "bool" or (single and TRAINING.search(info.name)):
        example = "false" if info.dtype == "bool" else "0"
    elif single and KEEPING.search(info.name):
        example = "1"
    elif single and DROPPING.search(info.name):
        example = "0"
    else:
        example = ",".join("ABCD"[:count]) if not known and 1 < count <= 4 else "FILE.npy"
        example = "VALUE" if single else example
    return f"--set {info.name}={example}"
