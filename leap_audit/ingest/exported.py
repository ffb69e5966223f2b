"""What a framework exported, held against the framework itself."""

from collections.abc import Sequence

import numpy as np
import onnx

from leap_audit.errors import ModelRefused
from leap_audit.ingest.agreement import agree
from leap_audit.ingest.onnx import real_inputs
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array, Session

__all__ = ["CHECKED", "EXAMPLE", "examples", "ran", "reason", "require_agreement"]

EXAMPLE = 2
"""Pictures that are traced; of one an exporter makes a batch fixed at 1."""
CHECKED = 3
"""Pictures on which the graph is held against the framework: another batch than was traced."""


def examples(batch: int, shape: Sequence[int]) -> Array:
    """Return the same random pictures in 0..1 at each call: (batch, *shape), float32."""
    return np.random.default_rng(0).random((batch, *shape), np.float32)


def require_agreement(
    proto: onnx.ModelProto, pictures: Array, want: Array, label: str, framework: str = "PyTorch"
) -> None:
    """Raise ModelRefused where the graph gives other numbers than `want`, the framework's own."""
    have = ran(proto, pictures, f"{label}, as {framework} exports it,")
    if not agree(want, have.astype(want.dtype)):
        raise ModelRefused(
            f"{label}: what {framework} exports gives other numbers than {framework} itself; take "
            "out what is drawn at random or depends on the values of a picture."
        )


def ran(model: onnx.ModelProto, x: Array, label: str) -> Array:
    """Return the first output of a model with one input. Raises ModelRefused: it does not run."""
    provider = choose_provider("cpu")
    try:
        session = Session(model, provider, often=False)
        return session.run({real_inputs(model)[0].name: x})[0]
    except Exception as error:  # ONNX Runtime has no one class for what can go wrong
        raise ModelRefused(f"{label} does not run: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """Return the first line of what went wrong at first, at most 200 characters."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0][:200].rstrip('.')}."
