"""Bring any ONNX graph to one form: one opset, static shapes, constants folded.

Weights are taken out while the graph is simplified on (folding a 500 MB weight costs minutes and
gains nothing) and put back after. The result must reproduce the model it came from.
"""

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.canonical.agreement import require_runs, require_same_outputs
from leap_audit.canonical.folding import fold, inlined, may_fold
from leap_audit.canonical.nchwc import without_blocks
from leap_audit.canonical.rewrites import CONTROL, UNPACKED, rewrite, unpack, unroll
from leap_audit.canonical.simplify import (
    SIZES,
    fold_all,
    infer,
    infer_anew,
    inferred,
    simplify,
    to_proto,
)
from leap_audit.canonical.sizes import explain_open_shapes
from leap_audit.canonical.unsigned import as_unsigned
from leap_audit.canonical.upgrade import UNDEFINED, upgraded
from leap_audit.errors import Defect, LeapAuditError, ModelRefused
from leap_audit.graph.opset import OPSET
from leap_audit.graph.protos import real_inputs, separate_runtime_operators
from leap_audit.graph.shapes import shape_of, static_shape
from leap_audit.graph.values import new_constant, new_node
from leap_audit.graph.weights import restore_weights, split_weights
from leap_audit.run.providers import Provider

__all__ = ["OPSET", "canonicalise", "input_shape", "to_proto"]

LARGEST_INPUT = 1 << 33
"""Numbers of an input."""
WHOLE_SHAPE = {"Expand": 1, "MaxUnpool": 2, "Reshape": 1, "Resize": 3}
"""Operator -> its input that may hold the whole shape of its output."""
WAITING = frozenset({*SIZES, *CONTROL, *UNDEFINED, *UNPACKED})
"""Operators that may go when all that can be inferred has been."""


def canonicalise(
    proto: onnx.ModelProto,
    *,
    batch: int = 1,
    sizes: Mapping[str, tuple[int, ...]] | None = None,
    provider: Provider | None = None,
) -> ir.Model:
    """Return the graph inlined, at opset 21, with constants folded and every shape static.

    batch: replaces a free leading dimension of the inputs; a leading dimension fixed at 1 is
    freed by rewriting the constants that repeat it. sizes: input name -> whole shape without the
    batch, for inputs that leave more dimensions free. provider: where the check runs; None
    skips the check.

    Raises ModelRefused: a dimension stays free, or the graph cannot be converted.
    CanonicalMismatch: the result does not give the original's outputs.
    """
    shapes = {v.name: input_shape(v, batch, (sizes or {}).get(v.name)) for v in real_inputs(proto)}
    fixed = {name: shape for name, shape in shapes.items() if shape[0] == 1 != batch}
    full = {n: (batch, *s[1:]) if n in fixed else s for n, s in shapes.items()}
    original, weights = split_weights(proto)
    _modernise(original, shapes)
    try:
        plain = without_blocks(proto)
        light, kept = (original, weights) if plain is proto else split_weights(plain)
        del proto, plain  # the weights live on without them
        graph = _canonical(light, dict(kept), shapes, frozenset(fixed), batch)
    except Exception as error:
        if isinstance(error, LeapAuditError | MemoryError) and not isinstance(error, Defect):
            raise
        # What works on a graph raises anything where the graph is wrong. Where it is not, this is
        # a defect here, and is called one.
        if provider is None:
            raise
        require_runs(original, weights, full, one_by_one=bool(fixed), provider=provider)
        if isinstance(error, Defect):
            raise
        raise Defect.at("Bringing the model to its canonical form", error) from error
    if provider is not None:
        require_same_outputs(
            original, weights, graph, full, one_by_one=bool(fixed), provider=provider
        )
    return graph


def _canonical(
    original: onnx.ModelProto,
    weights: dict[str, ir.TensorProtocol],
    shapes: Mapping[str, tuple[int, ...]],
    fixed: frozenset[str],
    batch: int,
) -> ir.Model:
    """Return the canonical graph of a model without its weights, and those, which it may change."""
    light = separate_runtime_operators(inlined(original))
    if light is original:
        light = onnx.ModelProto()
        light.CopyFrom(original)
    fold(light, weights, only_weights=True)
    simplified = onnx.ModelProto.FromString(
        _simplified(
            light.SerializeToString(deterministic=True), tuple(shapes.items()), fixed, batch
        )
    )
    graph = ir.from_proto(simplified)
    if may_fold(graph.graph, weights) and fold(simplified, weights):
        graph = ir.from_proto(inferred(simplified))
    restore_weights(graph, weights)
    common.RemoveUnusedNodesPass()(graph)
    if rewrite(graph.graph, shapes=True, within=_on_a_path(graph.graph)):
        infer(graph)
    if as_unsigned(graph.graph):
        common.RemoveUnusedNodesPass()(graph)
    explain_open_shapes(graph.graph)
    return graph


@lru_cache(maxsize=16)
def _simplified(
    light: bytes, shapes: tuple[tuple[str, tuple[int, ...]], ...], fixed: frozenset[str], batch: int
) -> bytes:
    """The work on the graph without its weights; an audit needs the same few batches repeatedly."""
    spelt_once = ir.to_proto(ir.from_proto(onnx.ModelProto.FromString(light)))  # such as ai.onnx
    graph = ir.from_proto(upgraded(inlined(separate_runtime_operators(spelt_once))))
    _fix_inputs(graph, dict(shapes))
    _rewrite(graph)
    simplify(graph)
    while True:
        waiting = _waiting(graph)
        graph, folded = fold_all(graph)
        written_out = [unpack(graph.graph), unroll(graph.graph)]
        if not waiting and not any(written_out):
            _rewrite(graph)  # some wait for constants
            break
        infer_anew(graph)
        _rewrite(graph)
        simplify(graph)
        if not folded and not any(written_out) and _waiting(graph) == waiting:
            break
    if fixed:
        infer_anew(graph)
        explain_open_shapes(graph.graph)
        _free_batch(graph, set(fixed), batch)
    infer_anew(graph)
    return to_proto(graph).SerializeToString()


def _waiting(model: ir.Model) -> int:
    return sum(1 for node in model.graph if node.op_type in WAITING)


def _rewrite(model: ir.Model) -> None:
    while rewrite(model.graph, shapes=False):  # one may wait for the rank that another gives
        common.RemoveUnusedOpsetsPass()(model)
        infer(model)


def input_shape(
    value: onnx.ValueInfoProto, batch: int, size: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Return the shape that an input gets: a free batch becomes `batch`, one fixed at 1 stays.

    Raises ModelRefused: another batch is fixed, or a size stays free.
    """
    if not value.type.tensor_type.HasField("shape"):
        raise ModelRefused(f"input {value.name!r} has no shape; export the model with one.")
    dims = [d.dim_value if d.dim_value > 0 else None for d in value.type.tensor_type.shape.dim]
    if not dims:
        raise ModelRefused(f"input {value.name!r} is a single number, not a picture.")
    if size is not None:
        dims[1:] = size
    dims[0] = dims[0] or batch
    if dims[0] not in (1, batch):
        raise ModelRefused(
            f"input {value.name!r} takes exactly {dims[0]} items at once; "
            "export the model with a batch of 1 or a free batch."
        )
    if not all(dims):
        raise ModelRefused(
            f"input {value.name!r} leaves its size free ({dims}); give it with --input-size."
        )
    if math.prod(shape := tuple(int(d) for d in dims if d)) > LARGEST_INPUT:
        raise ModelRefused(
            f"input {value.name!r} takes {list(shape)}, more than any picture holds."
        )
    return shape


def _modernise(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Take initializers from the inputs, and give inputs their shape whose size is not one.

    Some files write a free size as 0 or -1, which inference would believe.
    """
    model.ir_version = max(model.ir_version, 4)  # since 4, initializers need not be inputs
    listed = {tensor.name for tensor in model.graph.initializer}
    for i in reversed([i for i, v in enumerate(model.graph.input) if v.name in listed]):
        del model.graph.input[i]
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in shapes and any(d.HasField("dim_value") and d.dim_value < 1 for d in dims):
            del dims[:]
            for size in shapes[value.name]:
                dims.add(dim_value=size)


def _fix_inputs(model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for value in model.graph.inputs:
        if (shape := shapes.get(str(value.name))) is not None:
            value.shape = ir.Shape(shape)
    for value in model.graph.outputs:
        value.shape = None


def _free_batch(model: ir.Model, inputs: set[str], batch: int) -> None:
    """Rewrite a graph of batch 1 for `batch` items: what the input reaches has a longer axis 0."""
    graph = model.graph
    reached = {value for value in graph.inputs if value.name in inputs}
    for value in reached:
        value.shape = ir.Shape((batch, *static_shape(value)[1:]))
    for node in graph:
        if not any(value in reached for value in node.inputs):
            continue
        reached.update(node.outputs)
        at = WHOLE_SHAPE.get(node.op_type)
        if at is not None and _has_whole_shape(node, at):
            old = static_shape(node.outputs[0])
            node.replace_input_with(at, _batched(graph, node.outputs[0], old, batch))
        elif node.op_type == "Concat":  # such as a class token beside the patches of each picture
            for i, part in enumerate(node.inputs):
                if part is not None and part not in reached and shape_of(part):
                    to = _batched(graph, part, static_shape(part), batch)
                    copies = new_node("Expand", [part, to], {}, [f"{node.name}_{i}_batched"])
                    graph.insert_before(node, copies)
                    node.replace_input_with(i, copies.outputs[0])


def _has_whole_shape(node: ir.Node, at: int) -> bool:
    """Return whether an input of a node holds the shape of its output, the batch included."""
    shape, operand = shape_of(node.outputs[0]), node.inputs[at] if at < len(node.inputs) else None
    numbers = shape_of(operand)
    return shape is not None and (node.op_type != "Resize" or numbers == (len(shape),))


def _batched(graph: ir.Graph, value: ir.Value, shape: tuple[int, ...], batch: int) -> ir.Value:
    """Return a constant: this shape with an axis 0 that is `batch` times as long."""
    target = np.array([shape[0] * batch, *shape[1:]], np.int64)
    return new_constant(graph, f"{value.name}_batched_shape", target)


def _on_a_path(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that an input of numbers reaches: only they are ever differentiated."""
    reached = {v for v in graph.inputs if v.dtype not in (ir.DataType.BOOL, ir.DataType.STRING)}
    nodes: set[ir.Node] = set()
    for node in graph:
        if any(value in reached for value in node.inputs):
            reached.update(node.outputs)
            nodes.add(node)
    return nodes
