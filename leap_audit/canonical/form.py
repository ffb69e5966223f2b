"""Bring any ONNX graph to one form: one opset, static shapes, constants folded.

Weights are taken out while the graph is simplified on (folding a 500 MB weight costs minutes and
gains nothing) and put back after. The result must reproduce the model it came from.
"""

import math
from collections.abc import Collection, Mapping
from functools import lru_cache

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.canonical.agreement import require_runs, require_same_outputs
from leap_audit.canonical.batch import copied, free_batch, with_batch
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
from leap_audit.errors import CanonicalMismatch, Defect, LeapAuditError, ModelRefused
from leap_audit.graph.opset import OPSET
from leap_audit.graph.protos import real_inputs, separate_runtime_operators
from leap_audit.graph.shapes import forget_shapes, shape_of
from leap_audit.graph.weights import restore_weights, split_weights
from leap_audit.run.providers import Provider

__all__ = ["OPSET", "canonicalise", "input_shape", "require_batch", "to_proto"]

LARGEST_INPUT = 1 << 33
"""Numbers of an input."""
WAITING = frozenset({*SIZES, *CONTROL, *UNDEFINED, *UNPACKED})
"""Operators that may go when all that can be inferred has been."""


def canonicalise(
    proto: onnx.ModelProto,
    *,
    batch: int = 1,
    sizes: Mapping[str, tuple[int, ...]] | None = None,
    provider: Provider | None = None,
    weights: Collection[str] = (),
) -> ir.Model:
    """Return the graph inlined, at opset 21, with constants folded and every shape static.

    batch: replaces a free leading dimension of the inputs; a leading dimension fixed at 1 is
    freed by rewriting the constants that repeat it. sizes: input name -> whole shape without the
    batch, for inputs that leave more dimensions free. provider: where the check runs; None
    skips the check. weights: names of initializers that stay as they are, each read by the nodes
    that read it in the model: nothing is folded into them, and nothing is merged with them.

    Raises ModelRefused: a dimension stays free, or the graph cannot be converted.
    CanonicalMismatch: the result does not give the original's outputs.
    """
    shapes = {v.name: input_shape(v, batch, (sizes or {}).get(v.name)) for v in real_inputs(proto)}
    fixed = {name: shape for name, shape in shapes.items() if shape[0] == 1 != batch}
    full = {n: (batch, *s[1:]) if n in fixed else s for n, s in shapes.items()}
    original, large = split_weights(proto, also=weights)
    _modernise(original, shapes)
    try:
        plain = without_blocks(proto)
        light, numbers = (original, large) if plain is proto else split_weights(plain, also=weights)
        del proto, plain  # the weights live on without them
        held = {name: numbers[name] for name in weights if name in numbers}
        foldable = {name: tensor for name, tensor in numbers.items() if name not in held}
        graph = _canonical(light, foldable, shapes, frozenset(fixed), batch)
        restore_weights(graph, held)
    except Exception as error:
        if isinstance(error, LeapAuditError | MemoryError) and not isinstance(error, Defect):
            raise
        # What works on a graph raises anything where the graph is wrong. Where it is not, this is
        # a defect here, and is called one.
        if provider is None:
            raise
        require_runs(original, large, full, one_by_one=bool(fixed), provider=provider)
        if isinstance(error, Defect):
            raise
        raise Defect.at("Bringing the model to its canonical form", error) from error
    if provider is not None:
        require_same_outputs(
            original, large, graph, full, one_by_one=bool(fixed), provider=provider
        )
    return graph


def require_batch(
    proto: onnx.ModelProto,
    canonical: ir.Model,
    batch: int,
    *,
    sizes: Mapping[str, tuple[int, ...]],
    provider: Provider,
) -> None:
    """Run `with_batch(canonical, batch)` beside the model that the canonical graph came from.

    canonical: the graph of one item, with the model's outputs. sizes: as in `canonicalise`.

    Raises ModelRefused or CanonicalMismatch: the batch does not lead in every tensor, or the
    numbers are others.
    """
    wider = with_batch(canonical, batch)
    again = copied(wider)
    forget_shapes(value for node in again.graph for value in node.outputs)
    infer(again)
    shapes = {y.name: shape for n in again.graph for y in n.outputs if (shape := shape_of(y))}
    for node in wider.graph:
        for value in node.outputs:
            if shapes.get(value.name, shape_of(value)) != shape_of(value):
                raise CanonicalMismatch(
                    f"tensor {value.name!r}: its first axis is not that of the batch."
                )
    taken = {v.name: input_shape(v, batch, sizes.get(v.name)) for v in real_inputs(proto)}
    full = {name: (batch, *shape[1:]) for name, shape in taken.items()}
    original, weights = split_weights(proto)
    _modernise(original, taken)
    require_same_outputs(
        original, weights, wider, full, one_by_one=full != taken, provider=provider
    )


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
        free_batch(graph.graph, fixed, batch)
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


def _on_a_path(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that an input of numbers reaches: only they are ever differentiated."""
    reached = {v for v in graph.inputs if v.dtype not in (ir.DataType.BOOL, ir.DataType.STRING)}
    nodes: set[ir.Node] = set()
    for node in graph:
        if any(value in reached for value in node.inputs):
            reached.update(node.outputs)
            nodes.add(node)
    return nodes
