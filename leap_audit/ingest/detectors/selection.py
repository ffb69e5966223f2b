"""Take the sorting out of boxes off a detector's end, so that every row is an output.

Exports of torchvision compute boxes and scores, then pick rows by threshold, TopK and
NonMaxSuppression. How many are picked depends on the picture, and picking has no gradient. The
operators that compute boxes of the picked rows are written again for all rows.
"""

from collections.abc import Iterator

import onnx
from onnx import helper

from leap_audit.canonical.folding import reads_of
from leap_audit.graph.protos import real_inputs, subgraphs
from leap_audit.ingest.outputs.tensor_outputs import with_outputs

__all__ = ["ALL_BOXES", "with_all_rows"]

ALL_BOXES = "leap_audit/all_boxes"
"""Name of the output that holds the boxes of all rows, (1, rows, 4), in pixels of the input."""
FIRST_AXIS = "leap_audit/first_axis"
PICKING = frozenset({"NonMaxSuppression", "NonZero"})
"""Operators whose output depends on which rows are good enough."""
SCORING = ("Sigmoid", "Softmax")
ARRANGING = frozenset(
    {"Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose"}
)


def with_all_rows(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a detector of torchvision with the scores and the boxes of all rows as its outputs.

    The scores are the outputs of the Softmax, or of the Sigmoid of each level, that rows are picked
    by. Other models are returned as they are.
    """
    ends = _ends(proto.graph)
    if ends is None:
        return proto
    boxes, scores = ends
    rows = _Rows(proto.graph)
    probabilities = rows.probabilities(scores)
    if not probabilities or any(name in rows.picked for name in probabilities):
        return proto  # of two stages, or none that is known
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    every = rows.unpicked(boxes)
    whole.graph.node.extend(rows.written)
    whole.graph.initializer.append(helper.make_tensor(FIRST_AXIS, onnx.TensorProto.INT64, [1], [0]))
    whole.graph.node.append(helper.make_node("Unsqueeze", [every, FIRST_AXIS], [ALL_BOXES]))
    _with_batch(whole)
    return with_outputs(whole, [*probabilities, ALL_BOXES])


def _with_batch(proto: onnx.ModelProto) -> None:
    """Give pictures that are exported without a batch, as a list of one, a batch of one."""
    graph = proto.graph
    for value in real_inputs(proto):
        dims = value.type.tensor_type.shape.dim
        if len(dims) != 3:
            continue
        alone = f"{value.name}/alone"
        for node in graph.node:
            node.input[:] = [alone if name == value.name else name for name in node.input]
        graph.node.insert(0, helper.make_node("Squeeze", [value.name, FIRST_AXIS], [alone]))
        sizes = [onnx.TensorShapeProto.Dimension(dim_value=1), *dims]
        value.type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto(dim=sizes))


def _ends(graph: onnx.GraphProto) -> tuple[str, str] | None:
    """The names of the outputs that hold the picked boxes and their scores; None: no such model."""
    if not any(_picks(node) == "NonMaxSuppression" for node in graph.node):
        return None
    found: dict[tuple[int, bool], list[str]] = {}
    for value in graph.output:
        kind = value.type.tensor_type
        is_float = kind.elem_type == onnx.TensorProto.FLOAT
        found.setdefault((len(kind.shape.dim), is_float), []).append(value.name)
    boxes, scores, labels = (found.get(key, []) for key in ((2, True), (1, True), (1, False)))
    if (len(boxes), len(scores), len(labels), len(graph.output)) != (1, 1, 1, 3):
        return None
    return boxes[0], scores[0]


def _picks(node: onnx.NodeProto) -> str:
    """The operator of PICKING that a node is, or has in a graph of its own; empty: none."""
    if node.op_type in PICKING:
        return node.op_type
    inner = (each for graph in subgraphs([node]) for each in graph.node)
    return next((op for each in inner if (op := _picks(each))), "")


class _Rows:
    """A detector's graph, and the nodes that compute of all rows what it computes of some."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.written: list[onnx.NodeProto] = []
        self.picked: set[str] = set()
        """The tensors that depend on which rows are picked."""
        self._makers = {name: node for node in graph.node for name in node.output}
        for node in graph.node:  # in the order in which they are computed
            if _picks(node) or not self.picked.isdisjoint(reads_of(node)):
                self.picked.update(node.output)
        self._whole: dict[str, str] = {}

    def probabilities(self, scores: str) -> list[str]:
        """Return the tensors under scores, in order, that a Softmax or a Sigmoid gives."""
        return list(dict.fromkeys(self._probabilities(scores)))

    def _probabilities(self, name: str) -> Iterator[str]:
        node = self._makers.get(name)
        if node is None:
            return
        if node.op_type in SCORING:
            yield name
        elif node.op_type == "Concat":
            for each in node.input:
                yield from self._probabilities(each)
        elif node.op_type in ARRANGING or self._selects(node):
            yield from self._probabilities(node.input[0])

    def _selects(self, node: onnx.NodeProto) -> bool:
        """Whether a node takes some of the rows of its first input."""
        if node.op_type == "Gather":
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            return axis == 0 and node.input[1] in self.picked
        return node.op_type == "GatherND" or node.op_type == "TopK"

    def unpicked(self, name: str) -> str:
        """Return the tensor that is computed of all rows as this one is of those picked."""
        if name not in self.picked:
            return name
        if name not in self._whole:
            node = self._makers[name]
            self._whole.update(zip(node.output, self._unpicked(node), strict=False))
        return self._whole[name]

    def _unpicked(self, node: onnx.NodeProto) -> list[str]:
        """What stands for the outputs of a node."""
        if self._selects(node):
            return [self.unpicked(node.input[0])]
        inputs = [self.unpicked(each) for each in node.input]
        if node.op_type == "Concat" and len(set(inputs)) == 1:
            return inputs[:1]  # of each class the same rows
        again = onnx.NodeProto()
        again.CopyFrom(node)
        again.name = f"{node.name}/all"
        again.input[:] = inputs
        again.output[:] = [f"{each}/all" for each in node.output]
        self.written.append(again)
        return list(again.output)
