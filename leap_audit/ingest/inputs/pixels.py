"""Black and white of each integer type, and the range in which float32 is exact."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from leap_audit.canonical.agreement import STEPS
from leap_audit.canonical.layers import TOLERANCE, agree
from leap_audit.errors import LeapAuditError, ModelRefused, reason_of
from leap_audit.graph.operators import ROUNDING
from leap_audit.run.providers import Provider
from leap_audit.run.session import Array, Session

__all__ = ["ARITHMETIC", "PIXELS", "Span", "Spans", "require_same_numbers", "within"]

Span = tuple[float, float]
"""The smallest and the largest number that can stand in a tensor."""

U8, I8, U16, I16 = (getattr(TensorProto, n) for n in ("UINT8", "INT8", "UINT16", "INT16"))
PIXELS: dict[int, Span] = {
    U8: (0.0, 255.0),
    I8: (-128.0, 127.0),
    U16: (0.0, 65535.0),
    I16: (0.0, 255.0),
    TensorProto.INT32: (0.0, 255.0),
    TensorProto.INT64: (0.0, 255.0),
    TensorProto.UINT32: (0.0, 255.0),
    TensorProto.UINT64: (0.0, 255.0),
}
"""Integer type of a picture -> its values of black and white."""
EXACT_FLOAT = 2**24
"""Up to here float32 holds every whole number."""


Spans = Callable[[list[Span]], Span]


def _product(spans: list[Span]) -> Span:
    (a, b), (c, d) = spans
    corners = (a * c, a * d, b * c, b * d)
    return min(corners), max(corners)


ARITHMETIC: dict[str, Spans] = {
    "Add": lambda spans: (sum(low for low, _ in spans), sum(high for _, high in spans)),
    "Sum": lambda spans: (sum(low for low, _ in spans), sum(high for _, high in spans)),
    "Sub": lambda spans: (spans[0][0] - spans[1][1], spans[0][1] - spans[1][0]),
    "Mul": _product,
    "Neg": lambda spans: (-spans[0][1], -spans[0][0]),
    "Abs": lambda spans: (0.0, max(abs(spans[0][0]), abs(spans[0][1]))),
    "Relu": lambda spans: (max(spans[0][0], 0.0), max(spans[0][1], 0.0)),
}
"""Operator -> the smallest and largest result, of the smallest and largest operands."""


def within(span: Span, kind: int) -> bool:
    """Return whether a type, and float32, represent all integers of a span."""
    limits = np.iinfo(helper.tensor_dtype_to_np_dtype(kind))
    least, most = max(limits.min, -EXACT_FLOAT), min(limits.max, EXACT_FLOAT)
    return least <= span[0] and span[1] <= most


def require_same_numbers(
    original: onnx.ModelProto,
    made: onnx.ModelProto,
    name: str,
    shape: tuple[int, ...],
    unrounded: tuple[str, ...],
    provider: Provider,
) -> None:
    """Raise ModelRefused where `made` gives other numbers than the original for a picture.

    shape: of the picture, with its batch. unrounded: what `floating_input` says is not rounded.
    """
    value = next(v for v in original.graph.input if v.name == name)
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    low, high = PIXELS[value.type.tensor_type.elem_type]
    pixels = np.random.default_rng(0).integers(int(low), int(high) + 1, shape).astype(kind)
    wants = _run(original, {name: pixels}, provider)
    haves = _run(made, {name: pixels.astype(np.float32)}, provider)
    rounds = bool(unrounded) or any(node.op_type in ROUNDING for node in original.graph.node)
    for output, want, have in zip(original.graph.output, wants, haves, strict=True):
        if want.dtype.kind == "f" and not agree(want, have, STEPS / 127 if rounds else TOLERANCE):
            raise ModelRefused(
                f"output {output.name!r}: the model gives other numbers for pixels in floating "
                f"point than for {kind}; export it with a float input."
            )


def _run(model: onnx.ModelProto, feed: Mapping[str, Array], provider: Provider) -> list[Array]:
    try:
        return Session(model, provider, often=False).run(feed)
    except LeapAuditError:
        raise
    except Exception as error:  # ONNX Runtime has no one class for what can go wrong
        raise ModelRefused(f"the model does not run: {reason_of(error)}.") from error
