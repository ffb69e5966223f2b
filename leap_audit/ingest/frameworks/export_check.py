"""Check an export: run it and its source on the same random pictures."""

import re
from collections.abc import Sequence

import numpy as np
import onnx

from leap_audit.canonical.layers import agree
from leap_audit.errors import ExportFailed
from leap_audit.graph.protos import real_inputs
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array, Session

__all__ = [
    "CHECKED",
    "EXAMPLE",
    "random_pictures",
    "reason",
    "require_same_as_source",
    "run_graph",
    "shape_text",
]

EXAMPLE = 2
"""Pictures that are traced; of one an exporter makes a batch fixed at 1."""
CHECKED = 3
"""Pictures on which an export is compared with its source: another batch size than was traced."""


def random_pictures(batch: int, shape: Sequence[int]) -> Array:
    """Return random pictures, float32 in 0..1, of (batch, *shape): the same at every call."""
    return np.random.default_rng(0).random((batch, *shape), np.float32)


def require_same_as_source(
    proto: onnx.ModelProto, pictures: Array, want: Array, label: str, framework: str = "PyTorch"
) -> None:
    """Raise ExportFailed where the graph gives other numbers than `want`, the framework's own."""
    have = run_graph(proto, pictures, f"{label}, as {framework} exports it,")[0]
    if not agree(want, have.astype(want.dtype)):
        raise ExportFailed(
            f"{label}: what {framework} exports gives other numbers than {framework} itself; take "
            "out what is drawn at random or depends on the values of a picture."
        )


def run_graph(model: onnx.ModelProto, x: Array, label: str) -> list[Array]:
    """Return the outputs of a model with one input, as it is written.

    Raises ExportFailed: it does not run; `label` says what it is.
    """
    provider = choose_provider("cpu")
    try:
        return Session(model, provider, often=False).run({real_inputs(model)[0].name: x})
    except Exception as error:  # ONNX Runtime has no one class for what can go wrong
        raise ExportFailed(f"{label} does not run: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """Return the first line of what went wrong at first, at most 200 characters."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r"\x1b\[\d*m", "", str(error))  # Keras sets its messages in bold
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        del lines[0]
    lines = lines or [type(error).__name__]
    return f"{lines[0][:200].rstrip('.')}."


def shape_text(shape: Sequence[int | str | None]) -> str:
    """Return a shape in words: 3 × 224 × 224, with ? for a side that is free."""
    return " × ".join("?" if side is None else str(side) for side in shape) or "single numbers"
