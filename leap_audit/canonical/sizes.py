"""Sizes that ONNX does not infer: those that a run shows, and those that depend on the pixels."""

import numpy as np
import onnx
import onnx_ir as ir

from leap_audit.canonical.rewrites.control import CONTROL, why_left
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.shapes import WHY_OPEN, shape_of
from leap_audit.graph.values import constant_of
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array, Session

__all__ = ["explain_open_shapes", "measure_sizes"]

COUNTING = frozenset({"Compress", "NonMaxSuppression", "NonZero", "StringSplit", "Unique"})
"""Operators whose output is as large as there are numbers of a kind in their input."""
SIZED_BY = {
    "AffineGrid": (1,),
    "CenterCropPad": (1,),
    "ConstantOfShape": (0,),
    "DFT": (1, 2),
    "Expand": (1,),
    "MaxUnpool": (2,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
    **dict.fromkeys(
        (
            *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
            *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        ),
        (1,),
    ),
}
"""Operator -> its inputs whose numbers, and not whose shapes, give the size of its output."""
LARGEST = 1 << 24
"""Numbers in the inputs of a node up to which it is run to see its output's size."""


def measure_sizes(model: ir.Model) -> bool:
    """Give outputs that ONNX infers no size for the one they have in a run; return whether any.

    A node is run by itself, on random numbers and on zeros, if the sizes of all of its inputs are
    known and its output's size does not depend on what they hold.
    """
    found = False
    for node in model.graph:
        read = (value for value in node.outputs if value.uses() or value.is_graph_output())
        if all(shape_of(value) is not None for value in read):
            continue
        if _cause(node) or any(v is not None and shape_of(v) is None for v in node.inputs):
            continue
        if (shapes := _measured(model, node)) is None:
            continue
        for value, shape in zip(node.outputs, shapes, strict=True):
            value.shape = ir.Shape(shape)
        found = True
    return found


def explain_open_shapes(graph: ir.Graph) -> None:
    """Note at each value without a static shape why it has none, for `static_shape` to say."""
    for node in graph:
        for value in node.outputs:
            if shape_of(value) is None:
                value.meta[WHY_OPEN] = _why_open(value)


def _why_open(value: ir.Value) -> str:
    """Return a sentence, after a space, that names the node that leaves a tensor without a size."""
    waiting, seen = [value], {value}
    while waiting:
        node = waiting.pop().producer()
        if node is None:
            continue
        if (
            all(v is None or shape_of(v) is not None for v in node.inputs)
            or node.op_type in CONTROL
        ):
            if node.op_type in CONTROL:
                return f" {why_left(node)}"
            named = f"{node.op_type} (node {node.name!r})"
            cause = _cause(node) or "ONNX does not say how large its output is"
            return f" {named}: {cause}."
        new = [x for x in node.inputs if x is not None and x not in seen and shape_of(x) is None]
        seen.update(new)
        waiting.extend(new)
    return ""


def _cause(node: ir.Node) -> str:
    """Return why the size of a node's output depends on the pixels; nothing if it does not."""
    if node.op_type in CONTROL:
        return "what it runs depends on the input"
    if node.domain not in ONNX_DOMAIN:
        return ""
    if node.op_type in COUNTING:
        return "how much it returns depends on the values in the picture"
    sizing = [node.inputs[i] for i in SIZED_BY.get(node.op_type, ()) if i < len(node.inputs)]
    computed = [v for v in sizing if v is not None and constant_of(v) is None]
    if computed:
        return f"its size {computed[0].name!r} is computed from the values in the picture"
    return ""


def _measured(model: ir.Model, node: ir.Node) -> list[tuple[int, ...]] | None:
    """Return the shapes of a node's outputs in a run; None where runs differ, or there is none."""
    values = {str(v.name): v for v in node.inputs if v is not None}
    if sum(int(np.prod(shape_of(v) or ())) for v in values.values()) > LARGEST:
        return None
    if any(v.dtype is None or v.dtype == ir.DataType.STRING for v in values.values()):
        return None
    graph = onnx.GraphProto(name="one", node=[ir.to_proto(node)])
    for name, value in values.items():
        assert value.dtype is not None
        graph.input.append(
            onnx.helper.make_tensor_value_info(name, value.dtype.value, shape_of(value))
        )
    graph.output.extend(onnx.ValueInfoProto(name=str(v.name)) for v in node.outputs)
    opsets = [onnx.helper.make_opsetid(*item) for item in model.opset_imports.items()]
    proto = onnx.ModelProto(ir_version=model.ir_version, graph=graph, opset_import=opsets)
    rng = np.random.default_rng(0)
    runs = []
    try:
        session = Session(proto, choose_provider("cpu"), often=False)
        for scale in (1.0, 0.0):
            numbers = {
                name: _numbers(v, scale * rng.random(shape_of(v))) for name, v in values.items()
            }
            runs.append([array.shape for array in session.run(numbers)])
    except Exception:  # ONNX Runtime has no one class of error; the size stays unknown, and is said
        return None
    return runs[0] if runs[0] == runs[1] else None


def _numbers(value: ir.Value, otherwise: Array) -> Array:
    known = constant_of(value)
    assert value.dtype is not None
    return known if known is not None else otherwise.astype(value.dtype.numpy())
