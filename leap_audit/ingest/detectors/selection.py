"""Take the sorting out of boxes off a detector's end, so that every row is an output.

Exports of torchvision compute boxes and scores, then pick rows by threshold, TopK and
NonMaxSuppression. How many are picked depends on the picture, and picking has no gradient. The
operators that compute boxes of the picked rows are written again for all rows.

Detectors of two stages pick regions first, and score these. So many regions as they keep at most
are held where they are found, as if they were not computed from the picture.
"""

from collections.abc import Iterator, Sequence

import onnx
from onnx import helper

from leap_audit.canonical.folding import reads_of
from leap_audit.graph.operators import ARRANGING, PICKING
from leap_audit.graph.protos import real_inputs, subgraphs
from leap_audit.ingest.outputs.tensor_outputs import with_outputs

__all__ = ["ALL_BOXES", "with_all_rows"]

ALL_BOXES = "leap_audit/all_boxes"
"""Name of the output that holds the boxes of all rows, (1, rows, 4), in the unit of the model."""
FIRST_AXIS = "leap_audit/first_axis"
SUPPRESSING = frozenset({"NonMaxSuppression", "NonZero"})
"""Operators whose output depends on which rows are good enough."""
SCORING = ("Sigmoid", "Softmax")
FINENESS = 65536.0
"""Parts of a pixel to which regions are rounded."""
PASSED = ARRANGING | PICKING
"""Operators between rows and what they are picked by."""


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
    if not probabilities or (not rows.regions and not rows.picked.isdisjoint(probabilities)):
        return proto
    try:
        every = rows.unpicked(boxes)
        probabilities = [rows.unpicked(name) for name in probabilities]
    except _UnknownError:
        return proto
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    whole.graph.node.extend(rows.written)
    whole.graph.initializer.extend(rows.constants.values())
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
    """The operator of SUPPRESSING that a node is, or has in a graph of its own; empty: none."""
    if node.op_type in SUPPRESSING:
        return node.op_type
    inner = (each for graph in subgraphs([node]) for each in graph.node)
    return next((op for each in inner if (op := _picks(each))), "")


class _UnknownError(Exception):
    """The graph picks rows in another way than torchvision's detectors."""


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
        self.constants: dict[str, onnx.TensorProto] = {}
        self.regions = self._regions(graph)
        """The tensor of the regions that a second stage scores; empty: there is none."""

    def _regions(self, graph: onnx.GraphProto) -> str:
        """The rows that suppression picked, behind the regions of a RoiAlign."""
        front = [node.input[1] for node in graph.node if node.op_type == "RoiAlign"]
        seen: set[str] = set()
        while front:
            node = self._makers.get(name := front.pop(0))
            if node is None or name in seen:
                continue
            seen.add(name)
            if self._selects(node) and self._suppression(node.input[-1]) is not None:
                return name
            front += node.input
        return ""

    def _suppression(self, index: str) -> tuple[onnx.NodeProto, str] | None:
        """The node that suppresses rows and what limits their number, behind their numbers."""
        limit = ""
        while (node := self._makers.get(index)) is not None:
            if _picks(node) == "NonMaxSuppression":
                return node, limit
            if node.op_type not in PASSED:
                break
            limit = node.input[2] if node.op_type == "Slice" else limit
            index = node.input[0]
        return None

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
        elif node.op_type in PASSED or self._selects(node):
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
            held = name == self.regions
            found = [self._held(node)] if held else self._unpicked(node)
            self._whole.update(zip(node.output, found, strict=False))
        return self._whole[name]

    def _unpicked(self, node: onnx.NodeProto) -> list[str]:
        """What stands for the outputs of a node."""
        if self._selects(node):
            return [self.unpicked(node.input[0])]
        if node.op_type == "ScatterElements":
            return [self._merged(node)]
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

    def _merged(self, node: onnx.NodeProto) -> str:
        """All rows of which some are put among others: those that the condition is true of."""
        condition = self.unpicked(self._condition(node.input[1]))
        over = self._call("Reshape", condition, self._integers(-1, 1, 1, 1))
        return self._call("Where", over, self.unpicked(node.input[2]), self.unpicked(node.input[0]))

    def _held(self, node: onnx.NodeProto) -> str:
        """As many regions as are kept at most: behind the last, the first again.

        They are rounded, which passes no gradient on: torchvision passes none to them either.
        """
        suppression = self._suppression(node.input[1])
        assert suppression is not None  # so `_regions` found it
        found, limit = suppression
        for inner in subgraphs([found]):
            self._makers |= {name: each for each in inner.node for name in each.output}
            self.picked.update(name for each in inner.node for name in each.output)
        nodes = (found, *(each for inner in subgraphs([found]) for each in inner.node))
        own = [each for each in nodes if each.op_type == "NonMaxSuppression"]
        if len(own) != 1 or len(own[0].input) < 4 or not limit:
            raise _UnknownError
        boxes, scores, _, overlap = map(self.unpicked, own[0].input[:4])
        for condition in self._conditions(node.input[0]):
            scores = self._call("Where", self.unpicked(condition), scores, self._floats(-1.0))
        least = self._floats(0.0)
        rows = self._call("NonMaxSuppression", boxes, scores, limit, overlap, least)
        column = self._call("Gather", rows, self._integers(2), axis=1)
        kept = self._call("Reshape", column, self._integers(-1))
        some = self._call("Concat", kept, self._integers(0), axis=0)  # where nothing is kept
        first = self._call("Slice", some, self._integers(0), self._integers(1))
        enough = self._call("Concat", kept, self._call("Expand", first, limit), axis=0)
        cut = self._call("Slice", enough, self._integers(0), limit)
        regions = self._call(
            "Gather", self.unpicked(node.input[0]), self._call("Reshape", cut, limit)
        )
        fine = self._floats(FINENESS)
        return self._call("Div", self._call("Round", self._call("Mul", regions, fine)), fine)

    def _conditions(self, name: str) -> Iterator[str]:
        """Yield what is true of the rows that were picked, one condition after the other."""
        while (node := self._makers.get(name)) is not None and self._selects(node):
            yield self._condition(node.input[1])
            name = node.input[0]

    def _condition(self, index: str) -> str:
        """The tensor that a NonZero behind the numbers of rows looks at."""
        while (node := self._makers.get(index)) is not None:
            if node.op_type == "NonZero":
                return node.input[0]
            index = node.input[0] if node.input else ""
        raise _UnknownError

    def _call(self, op_type: str, *inputs: str, **attributes: int) -> str:
        """Write a node, and return the name of what it gives."""
        name = f"leap_audit/{op_type}_{len(self.written)}"
        node = helper.make_node(op_type, inputs, [name], name)
        node.attribute.extend(helper.make_attribute(*each) for each in attributes.items())
        self.written.append(node)
        return name

    def _integers(self, *numbers: int) -> str:
        return self._constant(onnx.TensorProto.INT64, numbers)

    def _floats(self, *numbers: float) -> str:
        return self._constant(onnx.TensorProto.FLOAT, numbers)

    def _constant(self, kind: int, numbers: Sequence[float]) -> str:
        name = f"leap_audit/constant_{len(self.constants)}"
        self.constants[name] = helper.make_tensor(name, kind, [len(numbers)], numbers)
        return name
