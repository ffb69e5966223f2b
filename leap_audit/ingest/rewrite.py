"""Rewrites that the canonical form needs and no library does.

Sequences whose positions are constants become the tensors they hold, a Compress by a constant
becomes a Gather, and an Upsample keeps its meaning.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx_ir as ir

__all__ = ["resize_as_before_opset_11", "unpack"]


def resize_as_before_opset_11(model: onnx.ModelProto) -> None:
    """Say of every Resize what Upsample and Resize meant up to opset 10, where nothing is said.

    The version converter leaves the attributes at today's defaults, which are other ones.
    """
    scales = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].type == onnx.AttributeProto.TENSOR:
            scales[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        if node.op_type != "Resize":
            continue
        given = {a.name for a in node.attribute}
        scale = scales.get(node.input[2]) if len(node.input) > 2 else None
        smaller = scale is not None and bool((scale < 1).any())
        for name, value in (
            ("coordinate_transformation_mode", "asymmetric"),
            ("nearest_mode", "ceil" if smaller else "floor"),
        ):
            if name not in given:
                node.attribute.append(onnx.helper.make_attribute(name, value))


def unpack(model: ir.Model) -> bool:
    """Rewrite sequences and Compress in the graph and return whether there was one.

    A sequence of which anything is computed (its length, a position) stays as it is.
    """
    sequences: dict[ir.Value, list[ir.Value]] = {}
    found = False
    for node in list(model.graph):
        write = _REWRITES.get(node.op_type)
        if write is None or node.domain not in ("", "ai.onnx"):
            continue
        step = _Step(model.graph, node, sequences)
        made = write(step)
        if made is None:
            continue
        found = True
        if isinstance(made, list):
            sequences[node.outputs[0]] = made
        else:
            _replace(step, made)
    return found


class _Step:
    """A node on its way out of the graph: what it reads, and where its replacements go."""

    def __init__(
        self, graph: ir.Graph, node: ir.Node, sequences: dict[ir.Value, list[ir.Value]]
    ) -> None:
        self.graph, self.node, self._sequences = graph, node, sequences

    def value(self, position: int) -> ir.Value | None:
        inputs = self.node.inputs
        return inputs[position] if position < len(inputs) else None

    def sequence(self) -> list[ir.Value] | None:
        value = self.value(0)
        return None if value is None else self._sequences.get(value)

    def number(self, position: int, default: int) -> int | None:
        """Return a constant whole number, the default for an absent input, None if computed."""
        value = self.value(position)
        if value is None:
            return default
        return None if value.const_value is None else int(value.const_value.numpy().ravel()[0])

    def attribute(self, name: str, default: int) -> int:
        attribute = self.node.attributes.get(name)
        return default if attribute is None else int(attribute.value)

    def constant(self, numbers: int | Sequence[int]) -> ir.Value:
        array = np.asarray(numbers, np.int64)
        name = f"{self.node.outputs[0].name}_constant_{len(self.graph.initializers)}"
        value = ir.Value(
            name=name,
            const_value=ir.tensor(array, name=name),
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.INT64),
        )
        self.graph.register_initializer(value)
        return value

    def emit(
        self, op_type: str, inputs: Sequence[ir.Value], outputs: int = 1, **attributes: int
    ) -> list[ir.Value]:
        node = ir.node(op_type, inputs, attributes, num_outputs=outputs)
        self.graph.insert_before(self.node, node)
        return list(node.outputs)


def _construct(step: _Step) -> list[ir.Value] | None:
    return [value for value in step.node.inputs if value is not None]


def _insert(step: _Step) -> list[ir.Value] | None:
    held, new = step.sequence(), step.value(1)
    if held is None or new is None:
        return None
    at = step.number(2, len(held))
    if at is None:
        return None
    at += len(held) if at < 0 else 0
    return [*held[:at], new, *held[at:]]


def _erase(step: _Step) -> list[ir.Value] | None:
    held, at = step.sequence(), step.number(1, -1)
    if held is None or at is None:
        return None
    return [value for i, value in enumerate(held) if i != at % len(held)]


def _at(step: _Step) -> ir.Value | None:
    held, at = step.sequence(), step.number(1, 0)
    return None if held is None or at is None else held[at]


def _length(step: _Step) -> ir.Value | None:
    held = step.sequence()
    if held is None:
        return None
    return step.constant(len(held))


def _split(step: _Step) -> list[ir.Value] | None:
    x, split = step.value(0), step.value(1)
    if x is None or x.shape is None or (split is not None and split.const_value is None):
        return None
    axis = step.attribute("axis", 0)
    length = x.shape[axis]
    if not isinstance(length, int):
        return None
    widths = [1] * length
    if split is not None and split.const_value is not None:
        given = split.const_value.numpy()
        if given.ndim:
            widths = [int(width) for width in given]
        else:
            whole, rest = divmod(length, int(given))
            widths = [int(given)] * whole + [rest] * bool(rest)
    parts = step.emit("Split", [x, step.constant(widths)], len(widths), axis=axis)
    if split is None and not step.attribute("keepdims", 1):
        axes = step.constant([axis])
        parts = [step.emit("Squeeze", [part, axes])[0] for part in parts]
    return parts


def _join(step: _Step) -> ir.Value | None:
    held = step.sequence()
    if held is None:
        return None
    axis = step.attribute("axis", 0)
    if step.attribute("new_axis", 0):
        axes = step.constant([axis])
        held = [step.emit("Unsqueeze", [value, axes])[0] for value in held]
    return step.emit("Concat", held, axis=axis)[0]


def _compress(step: _Step) -> ir.Value | None:
    x, condition = step.node.inputs
    if x is None or condition is None or condition.const_value is None:
        return None
    kept = step.constant(np.flatnonzero(condition.const_value.numpy()).tolist())
    if "axis" in step.node.attributes:
        return step.emit("Gather", [x, kept], axis=step.attribute("axis", 0))[0]
    (flat,) = step.emit("Reshape", [x, step.constant([-1])])
    return step.emit("Gather", [flat, kept], axis=0)[0]


_REWRITES: dict[str, Callable[[_Step], list[ir.Value] | ir.Value | None]] = {
    "SequenceEmpty": _construct,
    "SequenceConstruct": _construct,
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "SplitToSequence": _split,
    "ConcatFromSequence": _join,
    "Compress": _compress,
}


def _replace(step: _Step, new: ir.Value) -> None:
    """Let everything read the new value; what nothing reads any more is removed later."""
    old = step.node.outputs[0]
    if old.is_graph_output():  # its name stays
        (copy,) = step.emit("Identity", [new])
        name = old.name
        old.name = f"{name}_before"
        copy.name, copy.type, copy.shape = name, old.type, old.shape
        new = copy
    old.replace_all_uses_with(new, replace_graph_outputs=True)
