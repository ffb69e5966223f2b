"""Whether the canonical graph gives the numbers of the model that it came from."""

from collections.abc import Mapping

import numpy as np
import onnx

from leap_audit.errors import CanonicalMismatch, LeapAuditError, ModelRefused
from leap_audit.ingest.onnx import is_float, real_inputs
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session

__all__ = ["SCALES", "agree", "require_agreement"]

SCALES = (1.0, 255.0)
"""Random inputs are uniform in 0..scale: small ones, and ones of a picture's range."""
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
    """Run both on random inputs of each scale.

    one_by_one: the original takes one item at a time. Raises CanonicalMismatch, or ModelRefused
    where the original itself does not run.
    """
    types = {v.name: v.type.tensor_type.elem_type for v in real_inputs(proto)}
    original = Session(proto, provider)
    try:
        result = Session(canonical, provider)
    except LeapAuditError as error:
        raise CanonicalMismatch(f"the canonical graph does not load: {error}") from None
    rng = np.random.default_rng(0)
    names = [value.name for value in proto.graph.output]
    floats = {value.name for value in proto.graph.output if is_float(value)}
    for scale in SCALES:
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
            if name in floats and not agree(want, have):
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


def agree(want: Array, have: Array) -> bool:
    """Return whether two outputs are the same to TOLERANCE, infinities and all."""
    if want.shape != have.shape:
        return False
    if not np.isfinite(want).all():
        return bool(np.array_equal(np.isfinite(want), np.isfinite(have)))
    largest = float(np.abs(want).max(initial=0.0))
    return float(np.abs(want - have).max(initial=0.0)) <= TOLERANCE * largest + 1e-6
