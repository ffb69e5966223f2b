"""Whether the canonical graph gives the numbers of the model that it came from."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from leap_audit.errors import CanonicalMismatch, LeapAuditError, ModelRefused
from leap_audit.ingest.onnx import ONNX_DOMAIN, is_float, opset_of, real_inputs
from leap_audit.ingest.upgrade import OPSET
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session

__all__ = ["require_agreement"]

Run = Callable[[Mapping[str, Array]], list[Array]]
TOLERANCE = 1e-3
"""Largest difference from the original's output, relative to the output's largest number."""


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
    original = _original(proto, provider)
    try:
        result = Session(canonical, provider)
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
                    f"output {name!r}: the canonical graph gives other numbers "
                    "than the model itself, so nothing built on it could be trusted."
                )


def _original(proto: onnx.ModelProto, provider: Provider) -> Run:
    """Return what runs the original: ONNX's reference, where ONNX Runtime is older than it."""
    try:
        return Session(proto, provider).run
    except LeapAuditError:
        if opset_of(proto) <= OPSET or {o.domain for o in proto.opset_import} - set(ONNX_DOMAIN):
            raise
        return _by_reference(proto)


def _by_reference(proto: onnx.ModelProto) -> Run:
    evaluator = ReferenceEvaluator(proto)
    return lambda inputs: list(evaluator.run(None, dict(inputs)))


def _run_original(run: Run, inputs: Mapping[str, Array], one_by_one: bool) -> list[Array]:
    items = next(iter(inputs.values())).shape[0] if one_by_one else 1
    each = [{n: x[i : i + 1] for n, x in inputs.items()} for i in range(items)]
    try:
        runs = [run(item) for item in (each if one_by_one else [inputs])]
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
