"""One form for every graph, so that a later stage meets static shapes and one opset.

Weights are taken out while the graph is worked on (folding a 500 MB weight costs minutes and
gains nothing) and put back after. The result must reproduce the model it came from.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript.optimizer
from onnx import inliner, version_converter
from onnx_ir.passes import common

from leap_audit.errors import CanonicalMismatch, LeapAuditError, ModelRefused
from leap_audit.ingest.onnx import is_float, real_inputs
from leap_audit.ingest.rewrite import resize_as_before_opset_11, unpack
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session

__all__ = ["OPSET", "canonicalise", "static_shape", "to_proto"]

OPSET = 21
IR_VERSION = 10
LARGE = 4096
"""Numbers in an initializer above which it is a weight, not part of shape arithmetic."""
TOLERANCE = 1e-3
"""Largest difference from the original's output, relative to the output's largest number."""


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
    shapes = {v.name: _input_shape(v, batch, (sizes or {}).get(v.name)) for v in real_inputs(proto)}
    fixed = {name: shape for name, shape in shapes.items() if shape[0] == 1 != batch}
    model, weights = _without_weights(proto, shapes)
    light = model.SerializeToString(deterministic=True)
    worked = _worked(light, tuple(shapes.items()), frozenset(fixed), batch)
    graph = ir.from_proto(onnx.ModelProto.FromString(worked))
    _put_back(graph, weights)
    _infer(graph)
    if provider is not None:
        full = {n: (batch, *s[1:]) if n in fixed else s for n, s in shapes.items()}
        _check(proto, graph, full, one_by_one=bool(fixed), provider=provider)
    return graph


@lru_cache(maxsize=16)
def _worked(
    light: bytes, shapes: tuple[tuple[str, tuple[int, ...]], ...], fixed: frozenset[str], batch: int
) -> bytes:
    """The work on the graph without its weights; an audit needs the same few batches repeatedly."""
    graph = ir.from_proto(_converted(_inlined(onnx.ModelProto.FromString(light))))
    _fix_inputs(graph, dict(shapes))
    _optimise(graph)
    if unpack(graph):
        _optimise(graph)
    if fixed:
        _free_batch(graph, set(fixed), batch)
    return ir.to_proto(graph).SerializeToString()


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """Return the shape of a value of a canonical graph.

    Raises ModelRefused: shape inference left a dimension open.
    """
    if value.shape is None or not all(isinstance(d, int) for d in value.shape):
        raise ModelRefused(
            f"tensor {value.name!r}: its shape depends on the data ({value.shape}); "
            "export the model with fixed sizes."
        )
    return tuple(int(d) for d in value.shape)  # type: ignore[arg-type]


def to_proto(model: ir.Model) -> onnx.ModelProto:
    """Return the graph as ONNX protobuf."""
    model.ir_version = IR_VERSION
    return ir.to_proto(model)


def _input_shape(
    value: onnx.ValueInfoProto, batch: int, size: tuple[int, ...] | None
) -> tuple[int, ...]:
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
    return tuple(int(d) for d in dims if d)


def _without_weights(
    proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[onnx.ModelProto, dict[str, ir.TensorProtocol]]:
    """Return a light copy in which large initializers are inputs, and those initializers."""
    model = ir.from_proto(proto)
    common.RemoveInitializersFromInputsPass()(model)
    for value in model.graph.inputs:  # 0 or -1 for a free size: inference would believe it
        if value.shape is not None and any(isinstance(d, int) and d < 1 for d in value.shape):
            value.shape = ir.Shape(shapes[str(value.name)])
    weights: dict[str, ir.TensorProtocol] = {}
    for name, value in list(model.graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.size > LARGE:
            # A wrapper of its own: renaming what wraps the file's tensor renames the file's tensor.
            weights[name] = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name)
            del model.graph.initializers[name]
            value.const_value = None
            value.shape, value.type = _shape_of(tensor), ir.TensorType(tensor.dtype)
            model.graph.inputs.append(value)
    model.ir_version = max(model.ir_version, 4)  # since 4, initializers need not be inputs
    return ir.to_proto(model), weights


def _shape_of(tensor: ir.TensorProtocol) -> ir.Shape:
    return ir.Shape(tensor.shape.numpy())


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    return inliner.inline_local_functions(model) if model.functions else model


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    if version == OPSET:
        return model
    try:
        converted = version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter raises whatever its adapters raise
        reason = str(error).strip().splitlines()[0][:200]
        raise ModelRefused(
            f"the model's opset {version} cannot be converted to {OPSET}: {reason}"
        ) from None
    if version < 11:
        resize_as_before_opset_11(converted)
    return converted


def _fix_inputs(model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for value in model.graph.inputs:
        if (shape := shapes.get(str(value.name))) is not None:
            value.shape = ir.Shape(shape)
    for value in model.graph.outputs:
        value.shape = None


def _optimise(model: ir.Model) -> None:
    onnxscript.optimizer.optimize(model)
    for change in (
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.TopologicalSortPass(),
        common.NameFixPass(),
    ):
        change(model)


def _free_batch(model: ir.Model, inputs: set[str], batch: int) -> None:
    """Rewrite a graph of batch 1 for `batch` items: what the input reaches has a longer axis 0."""
    reached = {value for value in model.graph.inputs if value.name in inputs}
    for value in reached:
        value.shape = ir.Shape((batch, *static_shape(value)[1:]))
    for node in model.graph:
        if not any(value in reached for value in node.inputs):
            continue
        reached.update(node.outputs)
        if node.op_type in ("Reshape", "Expand") and node.outputs[0].shape is not None:
            old = static_shape(node.outputs[0])
            target = ir.tensor(np.array([old[0] * batch, *old[1:]], np.int64))
            constant = ir.Value(
                name=f"{node.outputs[0].name}_batched",
                const_value=target,
                shape=_shape_of(target),
                type=ir.TensorType(target.dtype),
            )
            model.graph.register_initializer(constant)
            node.replace_input_with(1, constant)
    for node in model.graph:
        for value in node.outputs:
            value.shape = None


def _put_back(model: ir.Model, weights: Mapping[str, ir.TensorProtocol]) -> None:
    kept: list[ir.Value] = []
    back: list[ir.Value] = []
    for value in model.graph.inputs:
        if (tensor := weights.get(str(value.name))) is not None:
            value.const_value = tensor
            back.append(value)
        else:
            kept.append(value)
    model.graph.inputs[:] = kept
    for value in back:
        model.graph.register_initializer(value)


def _infer(model: ir.Model) -> None:
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    common.RemoveUnusedNodesPass()(model)
    model.ir_version = IR_VERSION


def _check(
    proto: onnx.ModelProto,
    canonical: ir.Model,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    one_by_one: bool,
    provider: Provider,
) -> None:
    """Run both on random inputs, small ones and ones of a picture's range."""
    types = {v.name: v.type.tensor_type.elem_type for v in real_inputs(proto)}
    original = Session(proto, provider)
    try:
        result = Session(to_proto(canonical), provider)
    except LeapAuditError as error:
        raise CanonicalMismatch(f"the canonical graph does not load: {error}") from None
    rng = np.random.default_rng(0)
    names = [value.name for value in proto.graph.output]
    floats = {value.name for value in proto.graph.output if is_float(value)}
    for scale in (1.0, 255.0):
        inputs = {
            name: (rng.random(shape) * scale).astype(
                onnx.helper.tensor_dtype_to_np_dtype(types[name])
            )
            for name, shape in shapes.items()
        }
        expected = _run_original(original, inputs, one_by_one)
        try:
            found = result.run(inputs, names)
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise CanonicalMismatch(f"the canonical graph does not run: {reason}") from None
        for name, want, have in zip(names, expected, found, strict=True):
            if name in floats and not _agree(want, have):
                raise CanonicalMismatch(
                    f"output {name!r}: the canonical graph (opset {OPSET}) gives other numbers "
                    "than the model itself, so nothing built on it could be trusted."
                )


def _run_original(session: Session, inputs: Mapping[str, Array], one_by_one: bool) -> list[Array]:
    items = next(iter(inputs.values())).shape[0] if one_by_one else 1
    each = [{n: x[i : i + 1] for n, x in inputs.items()} for i in range(items)]
    try:
        runs = [session.run(item) for item in (each if one_by_one else [inputs])]
    except Exception as error:  # ONNX Runtime has no one class for what can go wrong
        reason = str(error).strip().splitlines()[0][:200]
        raise ModelRefused(f"the model does not run: {reason}") from None
    if not one_by_one:
        return runs[0]
    return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


def _agree(want: Array, have: Array) -> bool:
    if want.shape != have.shape:
        return False
    if not np.isfinite(want).all():
        return bool(np.array_equal(np.isfinite(want), np.isfinite(have)))
    largest = float(np.abs(want).max(initial=0.0))
    return float(np.abs(want - have).max(initial=0.0)) <= TOLERANCE * largest + 1e-6
