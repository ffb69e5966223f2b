"""Undo the layout that ONNX Runtime's optimiser writes for one processor: channels in blocks.

A tensor in blocks becomes a plain one with as many channels, rounded up to whole blocks; the
channels behind the real ones are zero in the weights that make them and that read them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from leap_audit.errors import LeapAuditError, ModelRefused
from leap_audit.graph.opset import IR_VERSION, OPSET
from leap_audit.graph.protos import opset_of
from leap_audit.graph.weights import numbers_of
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Session

__all__ = ["BLOCKED", "without_blocks"]

BLOCKED = "com.microsoft.nchwc"
OLDEST = 11
"""The opset from which paddings may be computed."""


@dataclass
class _Work:
    """What has been written so far."""

    graph: onnx.GraphProto
    size: int
    """Channels in a block, on this processor."""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inside: set[str] = field(default_factory=set)
    """Tensors in blocks."""
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op_type, inputs, [output], output, **attributes))

    def constant(self, name: str, data: NDArray[Any]) -> str:
        if name not in self.weights:
            self.weights[name] = data
            self.graph.initializer.append(numpy_helper.from_array(data, name))
        return name


def without_blocks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without blocks, itself if it has none.

    Raises ModelRefused: a part of it cannot be written without them.
    """
    found = next((node for node in model.graph.node if node.domain == BLOCKED), None)
    if found is None:
        return model
    if opset_of(model) < OLDEST:
        raise _refused(found, f"has no plain form before opset {OLDEST}")
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    work = _Work(plain.graph, _block_size())
    work.weights.update((t.name, numbers_of(t)) for t in plain.graph.initializer)
    for node in model.graph.node:
        if node.domain == BLOCKED:
            write = _WRITTEN.get(node.op_type)
            if write is None:
                raise _refused(node, "has no plain form")
            write(work, node)
        else:
            work.nodes.append(node)
        if node.op_type != "ReorderOutput" and (
            node.domain == BLOCKED or work.inside & set(node.input)
        ):
            work.inside.update(node.output)
    del plain.graph.node[:]
    plain.graph.node.extend(work.nodes)
    if not any(o.domain == "com.microsoft" for o in plain.opset_import):
        plain.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return plain


def _refused(node: onnx.NodeProto, reason: str) -> ModelRefused:
    return ModelRefused(
        f"{BLOCKED}.{node.op_type} (node {node.name!r}): {reason}. The file was optimised for one "
        "processor; give the one before ONNX Runtime's optimisation, or optimise it at the level "
        "'extended' at most."
    )


def _block_size() -> int:
    """Return how many channels stand together on this processor, asked of ONNX Runtime itself."""
    shape = [1, 64, 1, 2]
    graph = helper.make_graph(
        [helper.make_node("ReorderInput", ["x"], ["y"], domain=BLOCKED)],
        "blocks",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(BLOCKED, 1)]
    probe = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    pixel = np.broadcast_to(np.arange(2, dtype=np.float32), shape)
    try:
        (found,) = Session(probe, choose_provider("cpu"), threads=1).run({"x": pixel})
    except LeapAuditError:
        return 1  # this processor has no blocks, and every node of them is refused
    return int(np.flatnonzero(found.ravel())[0])


def _conv(work: _Work, node: onnx.NodeProto) -> None:
    """FusedConv, its kernel out of its blocks: (O, I, h, w, i, o) or, of plain pixels, without i"""
    x, name = node.input[:2]
    kernel, size = work.weights.get(name), work.size
    if kernel is None or kernel.shape[0] % size:
        raise _refused(
            node, f"its kernel is not in blocks of {size} channels, as on this processor"
        )
    group = next((a.i for a in node.attribute if a.name == "group"), 1)
    out, read, *spatial = kernel.shape
    if x in work.inside and (group == 1 or read > 1):
        blocks = kernel.reshape(out // size, read // size, *spatial, size, size)
        plain = np.moveaxis(blocks, (-1, -2), (1, 3))
    else:
        plain = np.moveaxis(kernel.reshape(out // size, read, *spatial, size), -1, 1)
    weight = work.constant(f"{name}_plain", np.ascontiguousarray(plain.reshape(kernel.shape)))
    kept = onnx.NodeProto()
    kept.CopyFrom(node)
    kept.op_type, kept.domain = "FusedConv", "com.microsoft"
    kept.input[1] = weight
    work.nodes.append(kept)


def _reorder_input(work: _Work, node: onnx.NodeProto) -> None:
    """The channels first, and zeros behind them up to whole blocks: (-channels) mod size"""
    x, y = node.input[0], node.output[0]
    if any(a.name == "channels_last" and a.i for a in node.attribute):
        work.add("Transpose", [x], f"{y}_channels_first", perm=[0, 3, 1, 2])
        x = f"{y}_channels_first"
    before, behind, one, size = (
        work.constant(f"{y}_{what}", np.array(numbers, np.int64))
        for what, numbers in (
            ("before", [0] * 5),
            ("behind", [0] * 2),
            ("one", [1]),
            ("size", [work.size]),
        )
    )
    steps = [f"{y}_{what}" for what in ("shape", "channels", "negative", "missing", "pads")]
    work.add("Shape", [x], steps[0])
    work.add("Gather", [steps[0], one], steps[1])
    work.add("Neg", [steps[1]], steps[2])
    work.add("Mod", [steps[2], size], steps[3])
    work.add("Concat", [before, steps[3], behind], steps[4], axis=0)
    work.add("Pad", [x, steps[4]], y)


def _reorder_output(work: _Work, node: onnx.NodeProto) -> None:
    """The real channels, perhaps last"""
    x, y = node.input[0], node.output[0]
    given = {a.name: a.i for a in node.attribute}
    ends = [
        work.constant(f"{y}_{what}", np.array([number], np.int64))
        for what, number in (("first", 0), ("last", given["channels"]), ("axis", 1))
    ]
    last = bool(given.get("channels_last"))
    work.add("Slice", [x, *ends], f"{y}_first_channels" if last else y)
    if last:
        work.add("Transpose", [f"{y}_first_channels"], y, perm=[0, 2, 3, 1])


def _same(work: _Work, node: onnx.NodeProto) -> None:
    """The operator of ONNX that bears the name"""
    kept = onnx.NodeProto()
    kept.CopyFrom(node)
    kept.domain = ""
    work.nodes.append(kept)


def _upsample(work: _Work, node: onnx.NodeProto) -> None:
    """Resize by whole numbers"""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    scales = np.array(given.pop("scales", [1, 1, 1, 1]), np.float32)
    if "mode" not in given or given["mode"] == b"nearest":
        given |= {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    name = work.constant(f"{node.output[0]}_scales", scales)
    work.add("Resize", [node.input[0], "", name], node.output[0], **given)


_WRITTEN: dict[str, Callable[[_Work, onnx.NodeProto], None]] = {
    "AveragePool": _same,
    "Conv": _conv,
    "GlobalAveragePool": _same,
    "GlobalMaxPool": _same,
    "MaxPool": _same,
    "ReorderInput": _reorder_input,
    "ReorderOutput": _reorder_output,
    "Upsample": _upsample,
}
