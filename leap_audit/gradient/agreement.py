"""Whether a gradient graph is right, seen from outside: its forward half against its backward half.

The gradient's projection on a direction is held against the difference quotient of the outputs
along it. Random directions say little: in a picture's many dimensions nearly all of them are
almost level. So the directions are random halves of the gradient itself, where the slope is
steep and a wrong part shows.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx

from leap_audit.errors import GradientUnavailable, ModelRefused, UsageError
from leap_audit.gradient.build import OF
from leap_audit.gradient.overlays import METADATA
from leap_audit.gradient.path import ROUNDING
from leap_audit.ingest.integers import floating_input
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array, Session

__all__ = ["AGREES", "Agreement", "check_gradient"]

AGREES = 0.02
"""Largest relative difference that single precision and the kinks of a network explain."""
HALVES = 3
STEPS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
"""Lengths of a step, relative to the input: long ones meet kinks, short ones rounding."""


@dataclass(frozen=True)
class Agreement:
    """How far a gradient is from the difference quotients, relative to their size."""

    error: float
    directions: int

    @property
    def agrees(self) -> bool:
        return self.error <= AGREES

    @property
    def sentence(self) -> str:
        return (
            f"Checked against difference quotients along {self.directions} directions: "
            f"{self.error:.1e} apart at most; single precision and kinks explain {AGREES:g}."
        )


def check_gradient(gradient: onnx.ModelProto, *, seed: int = 0, threads: int = 0) -> Agreement:
    """Return how a gradient graph agrees with difference quotients of its own outputs.

    gradient: from `build_gradient`, with respect to inputs of the model. Inputs and cotangent are
    random, uniform in 0..1 and normal.

    Raises GradientUnavailable: a gradient with respect to a tensor inside the graph, which
    cannot be moved from outside. UsageError: a graph made with a rule set, or one that rounds,
    whose answer is not the slope of its outputs.
    """
    said = {prop.key: prop.value for prop in gradient.metadata_props}
    if METADATA in said:
        raise UsageError(
            f"what the rule set {said[METADATA]!r} gives is not the gradient, so that difference "
            "quotients cannot check it; leave out the one or the other."
        )
    if any(node.op_type in ROUNDING for node in gradient.graph.node):
        raise UsageError(
            "the graph rounds, so that it has steps and no slopes, and difference quotients cannot "
            "check its gradient; leave out the check."
        )
    gradient = _with_floating_pixels(gradient)
    rng = np.random.default_rng(seed)
    output = said[OF]
    session = Session(gradient, choose_provider("cpu"), threads)
    inputs = {v.name: _random(v, rng) for v in gradient.graph.input}
    names = [name.removesuffix("_grad") for name in session.outputs if name.endswith("_grad")]
    moved = [name for name in names if name in inputs]
    if not moved:
        raise GradientUnavailable("a gradient of tensors inside the graph cannot be checked here.")
    slopes = session.run(inputs, [f"{name}_grad" for name in moved])
    full = dict(zip(moved, (np.asarray(s, np.float64) for s in slopes), strict=True))
    errors: list[float] = []
    for _ in range(HALVES):
        kept = {name: rng.random(slope.shape) < 0.5 for name, slope in full.items()}
        for side in (True, False):
            direction = {name: np.where(kept[name] == side, g, 0) for name, g in full.items()}
            errors.append(_error(session, inputs, output, full, direction))
    return Agreement(max(errors), len(errors))


def _with_floating_pixels(gradient: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with floating-point inputs for pictures of whole numbers, which have no slope."""
    differentiated = {value.name.removesuffix("_grad") for value in gradient.graph.output}
    for name in [v.name for v in gradient.graph.input if v.name in differentiated]:
        try:
            gradient, *_ = floating_input(gradient, name)
        except ModelRefused as error:
            raise UsageError(
                f"{error} So difference quotients cannot check its gradient."
            ) from None
    return gradient


def _error(
    session: Session,
    inputs: dict[str, Array],
    output: str,
    full: dict[str, Array],
    direction: dict[str, Array],
) -> float:
    """The relative error along one direction, at the step where it is least."""
    length = math.sqrt(sum(float((d**2).sum()) for d in direction.values()))
    if length == 0:
        return 0.0
    size = math.sqrt(sum(float((inputs[name].astype(np.float64) ** 2).sum()) for name in direction))
    predicted = sum(float((full[name] * d).sum()) for name, d in direction.items()) / length

    def value(step: float) -> float:
        moved = {
            name: (inputs[name] + step / length * d).astype(inputs[name].dtype)
            for name, d in direction.items()
        }
        (y,) = session.run({**inputs, **moved}, [output])
        return float((y.astype(np.float64) * inputs["cotangent"]).sum())

    found: list[float] = []
    for relative in STEPS:
        step = relative * max(size, 1e-6)
        quotient = (value(step) - value(-step)) / (2 * step)
        found.append(abs(quotient - predicted) / abs(predicted))
    return min(found)


def _random(value: onnx.ValueInfoProto, rng: np.random.Generator) -> Array:
    tensor = value.type.tensor_type
    shape = [d.dim_value for d in tensor.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if not np.issubdtype(dtype, np.floating):
        return np.asarray(rng.integers(0, 2, shape).astype(dtype))
    numbers = rng.standard_normal(shape) if value.name == "cotangent" else rng.random(shape)
    return np.asarray(numbers.astype(dtype))
