"""What kind of answer a model gives: read off the end of its graph, or said by the user."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from leap_audit.artifacts import Layout, Task
from leap_audit.errors import ModelRefused
from leap_audit.graph.operators import ARRANGING, PICKING
from leap_audit.graph.protos import every_graph
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of
from leap_audit.ingest.outputs.tokens import tokens_hint

if TYPE_CHECKING:
    from leap_audit.ingest.outputs.meaning import Meaning

__all__ = [
    "DeclaredAnswer",
    "infer_task",
    "is_embedding",
    "refuse_boxes",
    "refuse_boxes_beside",
    "refuse_detector",
]

POOLS = frozenset({"GlobalAveragePool", "AveragePool", "ReduceMean", "GlobalMaxPool", "MaxPool"})
SCORING = frozenset({"Conv", "Gemm", "MatMul", "Add", "BatchNormalization"})
"""What gives scores of any sign; a pool over anything else averages activations."""
NORMALISED = frozenset({"LayerNormalization", "BatchNormalization", "LpNormalization"})
NORMS = frozenset({"ReduceL2", "ReduceSumSquare", "ReduceSum", "LpNormalization"})
BETWEEN = frozenset({"Sqrt", "Clip", "Max", "Add", "Pow", "Expand", "Reshape", "Unsqueeze"})
IMAGENET = (1000, 1001)
"""As many scores as ImageNet has classes, without or with one for the background."""
REGIONS = frozenset({"RoiAlign", "MaxRoiPool"})
BOXES = frozenset({"NonMaxSuppression"}) | REGIONS


@dataclass(frozen=True)
class DeclaredAnswer:
    """What the user and the input declare of the answer, before the graph is read."""

    task: Task | None = None
    """The task; None: inferred."""
    names: int | None = None
    """Number of class names; None: no names."""
    layout: Layout = "NCHW"
    """Of the input: an output that does not say where its classes are has the same."""
    output: str | None = None
    """The output, or tensor inside the graph, that holds the scores; None: chosen."""
    tokens: str = ""
    """How one vector was made of those of a transformer's tokens, in words; empty: it was not."""


def infer_task(
    output: ir.Value,
    end: ir.Value,
    shape: tuple[int, ...],
    meaning: "Meaning",
    taken: Sequence[str],
    declared: DeclaredAnswer,
) -> tuple[Task, str]:
    """Return the task, and the reason for it in words.

    output: as the file names it; end: the tensor that is read, once the operators `taken` are off;
    shape: of one picture's scores, (classes,) of one answer to it, or (classes, height, width) of a
    map of answers; meaning: what the numbers are.

    Raises ModelRefused: what `declared` says does not fit.
    """
    where = f"output {output.name!r}"
    if declared.task is not None:
        _require_fit(output, declared.task, shape)
        return declared.task, "said with --task"
    last = f" under its {taken[0]}" if taken and taken[0] != "Resize" else ""
    if len(shape) == 3:
        if shape[0] == 1 and not meaning.probable:
            raise ModelRefused(
                f"{where} is a map of one number for each place, which is not one score per "
                "class; pass --task segmentation if that is the logit of one class."
            )
        return "segmentation", f"{where} is a map with {_scores(shape[0])} for each place{last}"
    if shape[0] == 1:
        under = " under a Sigmoid" if "Sigmoid" in taken else ""
        what = "probability" if meaning.probable and not under else "score"
        return "binary", f"{where} is a single {what}{under}"
    if meaning.single:
        return "binary", f"{where} is a probability and what it leaves of 1"
    if not meaning.exclusive:
        a_sigmoid = "a Sigmoid gives each of the" if "Sigmoid" in taken else "each of the"
        own = "its own probability" if "Sigmoid" in taken else "is a probability of its own"
        return "multi-label", f"{a_sigmoid} {shape[0]} scores {own}"
    named = declared.names == shape[0] or shape[0] in IMAGENET
    reason = declared.tokens or _embedding(end)
    if not meaning.probable and not taken and not named and reason:
        return "embedding", reason
    return "classification", f"{where} is one list of {shape[0]} scores"


def refuse_detector(
    output: ir.Value,
    end: ir.Value,
    others: Sequence[ir.Value],
    shape: tuple[int, ...],
    declared: DeclaredAnswer,
) -> None:
    """Raise ModelRefused where scores look like a detector's, unless `declared` says what they are.

    others: the other outputs of numbers that are not on the way to these. The rest as `infer_task`.
    """
    if declared.task is None and (reason := _detector(end, others, shape)):
        raise _refused_detector(output, reason, _of_tokens(output))


def refuse_boxes_beside(output: ir.Value, others: Sequence[ir.Value]) -> None:
    """Raise ModelRefused where another output holds boxes."""
    if reason := _boxes_in(others):
        raise _refused_detector(output, reason)


def _refused_detector(output: ir.Value, reason: str, hint: str = "") -> ModelRefused:
    return ModelRefused(
        f"output {output.name!r} is taken for a detector's boxes and scores ({reason}). "
        "It has no format that is known (docs/detectors.md): name its format with --detector, give "
        "the classifier it was built on, or pass --task if it is no detector."
        f"{hint}"
    )


def refuse_boxes(proto: onnx.ModelProto) -> None:
    """Raise ModelRefused for a graph that proposes or sorts out boxes, before working on it."""
    found = {node.op_type for graph in every_graph(proto) for node in graph.node} & BOXES
    if not found:
        return
    has = f"it has {', '.join(sorted(found))}"
    if found & REGIONS:
        raise ModelRefused(
            f"the model is taken for a detector of two stages ({has}): the regions that it scores "
            "are others in each picture, which is read of torchvision's Faster R-CNN alone, "
            "exported for one picture; give this, a detector of one stage, or the classifier it "
            "was built on."
        )
    raise ModelRefused(
        f"the model is taken for a detector ({has}), but has no format that is known "
        "(docs/detectors.md). It cannot be audited. Export it for one picture, without its own "
        "non-maximum suppression. Or give the classifier it was built on."
    )


def _scores(count: int) -> str:
    return "one score" if count == 1 else f"{count} scores"


def _require_fit(output: ir.Value, task: Task, shape: tuple[int, ...]) -> None:
    fits = {
        "segmentation": len(shape) == 3,
        "binary": shape == (1,),
        "classification": len(shape) == 1 and shape[0] > 1,
        "multi-label": len(shape) == 1 and shape[0] > 1,
        "embedding": len(shape) == 1 and shape[0] > 1,
    }
    if not fits[task]:
        wanted = {
            "segmentation": "a map of scores",
            "binary": "a single score",
            "embedding": "one list of numbers",
        }
        action = "leave --task out, or give another model"
        if task == "embedding":
            action = "name a tensor with one vector for a picture with --output"
        raise ModelRefused(
            f"--task {task} does not fit: it needs {wanted.get(task, 'one list of scores')}, and "
            f"output {output.name!r} gives {' × '.join(map(str, shape))} for a picture; {action}."
            f"{_of_tokens(output)}"
        )


def _of_tokens(output: ir.Value) -> str:
    """How to read an output that may hold the vectors of tokens; nothing of another shape."""
    return f" {tokens_hint(str(output.name))}" if len(static_shape(output)) == 3 else ""


def _detector(end: ir.Value, others: Sequence[ir.Value], shape: tuple[int, ...]) -> str:
    """Why the scores look like a detector's; nothing where they do not."""
    if len(shape) == 2:
        return f"it is a list of {shape[0]} × {shape[1]} numbers for a picture"
    if len(shape) > 3:
        return (
            f"it has {len(shape)} dimensions beside the batch, as the raw maps of YOLOv5 and v7; "
            "export these decoded, v7 with --grid"
        )
    if reason := _boxes_in(others):
        return reason
    if len(shape) == 3 and (node := end.producer()) is not None and node.op_type == "Concat":
        parts = [static_shape(v)[1] for v in node.inputs if v is not None]
        axis = node.attributes["axis"].as_int()
        if axis == 1 and len(set(parts)) > 1:
            return f"its {sum(parts)} channels are {' + '.join(map(str, parts))} joined"
    return ""


def _boxes_in(others: Sequence[ir.Value]) -> str:
    for other in others:
        sides = list(other.shape or ())
        if len(sides) >= 3 and sides[-1] == 4:
            return f"output {other.name!r} beside it holds four numbers each, as of boxes"
    return ""


def is_embedding(value: ir.Value) -> bool:
    """Return whether the operators before a list of numbers give features, and no scores."""
    return bool(_embedding(value))


def _embedding(end: ir.Value) -> str:
    """Why the numbers look like features and not like scores; nothing where they do not."""
    node = _below(end)
    if node is None:
        return ""
    if node.op_type in NORMALISED:
        return f"{node.op_type} stands at the end, and no layer of scores"
    if node.op_type == "Div" and _comes_from(node.inputs[1], NORMS):
        return "they are divided by their length"
    under = _unscaled(node)
    if (
        under is not None
        and under.op_type == "Div"
        and _comes_from(under.inputs[1], {"ReduceMean"})
    ):
        return "they are divided by their deviation, as in a layer normalisation"
    if node.op_type in POOLS:
        under = _below(node.inputs[0])
        if under is not None and under.op_type not in SCORING:
            return f"{node.op_type} over {under.op_type} stands at the end, and no layer of scores"
    return ""


def _unscaled(node: ir.Node | None) -> ir.Node | None:
    """The node under a constant scale and shift."""
    while node is not None and node.op_type in ("Add", "Mul"):
        others = [value for value in node.inputs if constant_of(value) is None]
        if len(others) != 1:
            return node
        node = _below(others[0])
    return node


def _comes_from(value: ir.Value | None, origins: Collection[str]) -> bool:
    """Return whether a divisor is computed from what one of these operators gives."""
    while value is not None and constant_of(value) is None:
        node = value.producer()
        if node is None or node.op_type in origins:
            return node is not None
        if node.op_type not in BETWEEN:
            return False
        value = node.inputs[0]
    return False


def _below(value: ir.Value | None) -> ir.Node | None:
    """The node that computes a value, under what only arranges it."""
    while value is not None and (node := value.producer()) is not None:
        if node.op_type not in ARRANGING | PICKING:
            return node
        value = node.inputs[0]
    return None
