"""Whether the canonical graph gives the numbers of the model that it came from."""

from collections.abc import Mapping

import numpy as np
import onnx

from leap_audit.errors import CanonicalMismatch, LeapAuditError, ModelRefused
from leap_audit.ingest.onnx import is_float, real_inputs
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session

__all__ = ["require_agreement"]

TOLERANCE = 1e-3
"""Largest difference from the original's output, relative to the output's largest number."""
ROUNDING = ("DynamicQuantizeLinear", "QuantizeLinear")
STEPS = 3
"""Largest difference in steps of 8 bits for a graph that rounds: a last digit tips a number over to
its neighbour, and of operators on whole numbers the rewritten ones sum in floating point."""


def require_agreement(
    proto: onnx.ModelProto,
    canonical: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    one_by_one: bool,
    provider: Provider,
) -> None:
    """Run both on random inputs, small ones and ones of a picture's range.

    one_by_one: the original takes one item at a time. Raises CanonicalMismatch, or ModelRefused
    where the original itself does not run.
    """
    types = {v.name: v.type.tensor_type.elem_type for v in real_inputs(proto)}
    roundings = [n for n in canonical.graph.node if n.op_type in ROUNDING]
    rounds, quantised = bool(roundings), {y for node in roundings for y in node.output}
    try:
        original = Session(proto, provider, fused=not rounds)
    except LeapAuditError as error:
        raise ModelRefused(f"the model itself does not load: {error}{_hint(proto)}") from None
    try:
        result = Session(canonical, provider, fused=not rounds)
    except LeapAuditError as error:
        raise CanonicalMismatch(f"the canonical graph does not load: {error}") from None
    rng = np.random.default_rng(0)
    names = [value.name for value in proto.graph.output]
    tolerance = STEPS / 127 if rounds else TOLERANCE
    floats = {value.name for value in proto.graph.output if is_float(value)}
    for scale in (1.0, 255.0):
        inputs = {
            name: _of_type(rng.random(shape) * scale, types[name]) for name, shape in shapes.items()
        }
        expected = _run_original(original, inputs, one_by_one)
        try:
            found = result.run(inputs, names)
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise CanonicalMismatch(f"the canonical graph does not run: {reason}") from None
        for name, want, have in zip(names, expected, found, strict=True):
            if name in floats:
                same = _agree(want, have, tolerance)
            else:  # other whole numbers, such as an ArgMax, may change by much at a tie
                same = name not in quantised or _agree_in_steps(want, have)
            if not same:
                raise CanonicalMismatch(
                    f"output {name!r}: the canonical graph gives other numbers "
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


def _hint(proto: onnx.ModelProto) -> str:
    """What is likely to be wrong with a model that does not load."""
    kinds = {tensor.data_type for tensor in proto.graph.initializer}
    kinds |= {v.type.tensor_type.elem_type for v in (*proto.graph.input, *proto.graph.output)}
    if onnx.TensorProto.BFLOAT16 not in kinds:
        return ""
    return " It holds bfloat16, in which ONNX Runtime computes little; convert it to float32."


def _of_type(numbers: Array, elem_type: int) -> Array:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(elem_type)
    if np.issubdtype(dtype, np.integer):
        numbers = np.minimum(numbers, np.iinfo(dtype).max)
    return numbers.astype(dtype)


def _agree_in_steps(want: Array, have: Array) -> bool:
    if want.shape != have.shape:
        return False
    return int(np.abs(want.astype(np.int32) - have.astype(np.int32)).max(initial=0)) <= STEPS


def _agree(want: Array, have: Array, tolerance: float) -> bool:
    if want.shape != have.shape:
        return False
    if not np.isfinite(want).all():
        return bool(np.array_equal(np.isfinite(want), np.isfinite(have)))
    largest = float(np.abs(want).max(initial=0.0))
    return float(np.abs(want - have).max(initial=0.0)) <= tolerance * largest + 1e-6
