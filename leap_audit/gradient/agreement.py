"""Check a gradient graph against difference quotients of its own outputs.

The gradient's projection on a direction is held against the difference quotient of the outputs
along it. Random directions say little: in a picture's many dimensions the outputs hardly change
along nearly all of them. So the directions are random halves of the gradient itself, where the
slope is steep and a wrong part shows. Numbers whose gradient is 0 are moved at random, all of them
together.

A difference quotient counts only where it has converged: at several lengths of a step it is the
same, and it is the mean of the gradient between its two ends no more than the gradient itself.
Where the outputs are rough, it has not, and says nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from leap_audit.errors import GradientUnavailable, ModelRefused, UsageError
from leap_audit.gradient.build import OF
from leap_audit.gradient.rulesets import METADATA
from leap_audit.graph.operators import ROUNDING
from leap_audit.graph.weights import numbers_of
from leap_audit.ingest.inputs.integers import floating_input
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array, Session

__all__ = ["AGREES", "Agreement", "check_gradient"]

Numbers = dict[str, NDArray[np.float64]]
"""Of each input that is moved."""

AGREES = 0.02
"""Largest relative difference that single precision and the kinks of a network explain."""
DIRECTIONS = 3
STEP_LENGTHS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
"""Lengths of a step, relative to the input: long ones meet kinks, short ones rounding."""


CONVERGED = 0.04
"""Largest relative difference between quotients that count as the same."""
IN_A_ROW = 3
"""Steps, one after the other, at which they must be."""
BETWEEN = 12
"""Places between two ends at which the gradient is taken for its mean."""
ERRORS = 6.0
"""Standard errors by which a mean may be off."""
STILL = 0.2
"""Slope along what has gradient 0 that shows it to be wrong, relative to what a random direction
would have on average."""


@dataclass(frozen=True)
class Agreement:
    """How far a gradient is from the difference quotients, relative to their size."""

    error: float
    """The largest, of the directions along which the quotients say something."""
    directions: int
    """How many these are."""
    unclear: int = 0
    """Directions along which the quotients do not converge, and say nothing."""

    @property
    def agrees(self) -> bool:
        """Nothing speaks against the gradient; whether anything speaks for it, `checked` says."""
        return self.error <= AGREES

    @property
    def checked(self) -> bool:
        return self.directions > 0

    @property
    def sentence(self) -> str:
        rough = (
            "difference quotients do not converge at any length of a step: the outputs are "
            "rough in single precision"
        )
        if not self.checked:
            return (
                f"The gradient could not be checked: along all {self.unclear} directions the "
                f"{rough}. Nothing speaks against it."
            )
        text = (
            f"Checked against difference quotients along {self.directions} directions: "
            f"{self.error:.1e} apart at most; single precision and kinks explain {AGREES:g}."
        )
        return f"{text} Along {self.unclear} more, the {rough}." if self.unclear else text


def check_gradient(gradient: onnx.ModelProto, *, seed: int = 0, threads: int = 0) -> Agreement:
    """Return how a gradient graph agrees with difference quotients of its own outputs.

    gradient: from `build_gradient`, with respect to inputs and weights of the model. Inputs and
    cotangent are random, uniform in 0..1 and normal; weights are moved from their numbers.

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
    gradient, weights = _with_weights_as_inputs(_with_floating_pixels(gradient))
    rng = np.random.default_rng(seed)
    output = said[OF]
    session = Session(gradient, choose_provider("cpu"), threads)
    inputs = {v.name: _random(v, rng) for v in gradient.graph.input if v.name not in weights}
    inputs |= weights
    names = [name.removesuffix("_grad") for name in session.outputs if name.endswith("_grad")]
    moved = [name for name in names if name in inputs]
    if not moved:
        raise GradientUnavailable("a gradient of tensors inside the graph cannot be checked here.")
    line = _Line(session, inputs, output, moved)
    full = line.gradient(inputs)
    differences: list[float | None] = []
    for _ in range(DIRECTIONS):
        kept = {name: rng.random(slope.shape) < 0.5 for name, slope in full.items()}
        for side in (True, False):
            direction = {name: np.where(kept[name] == side, g, 0) for name, g in full.items()}
            differences.append(_error(line, full, direction, rng))
    if still := {n: np.where(g == 0, rng.choice([-1.0, 1.0], g.shape), 0) for n, g in full.items()}:
        differences.append(_moves(line, full, still))
    errors = [error for error in differences if error is not None]
    return Agreement(max(errors, default=0.0), len(errors), len(differences) - len(errors))


@dataclass(frozen=True)
class _Line:
    """The outputs and the gradient near the inputs."""

    session: Session
    inputs: dict[str, Array]
    output: str
    moved: list[str]

    def at(self, direction: Numbers, step: float) -> dict[str, Array]:
        """The inputs after a step."""
        ends = {
            name: (self.inputs[name] + step * d).astype(self.inputs[name].dtype)
            for name, d in direction.items()
        }
        return {**self.inputs, **ends}

    def value(self, inputs: dict[str, Array]) -> float:
        (y,) = self.session.run(inputs, [self.output])
        return float((y.astype(np.float64) * inputs["cotangent"]).sum())

    def gradient(self, inputs: dict[str, Array]) -> Numbers:
        slopes = self.session.run(inputs, [f"{name}_grad" for name in self.moved])
        return dict(zip(self.moved, (np.asarray(s, np.float64) for s in slopes), strict=True))

    def quotients(self, direction: Numbers) -> list[tuple[float, float]]:
        """Step and difference quotient, from the longest step to the shortest."""
        size = _length({name: self.inputs[name].astype(np.float64) for name in direction})
        steps = [relative * max(size, 1e-6) for relative in STEP_LENGTHS]
        return [
            (h, (self.value(self.at(direction, h)) - self.value(self.at(direction, -h))) / (2 * h))
            for h in steps
        ]


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


def _with_weights_as_inputs(gradient: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The graph with inputs for the weights that it differentiates by, and their numbers."""
    differentiated = {value.name.removesuffix("_grad") for value in gradient.graph.output}
    wanted = [t for t in gradient.graph.initializer if t.name in differentiated]
    numbers = {tensor.name: numbers_of(tensor) for tensor in wanted}
    if not wanted:
        return gradient, numbers
    moved = onnx.ModelProto()
    moved.CopyFrom(gradient)
    for tensor in wanted:
        moved.graph.initializer.remove(tensor)
        moved.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    return moved, numbers


def _error(
    line: _Line, full: Numbers, direction: Numbers, rng: np.random.Generator
) -> float | None:
    """The relative error along one direction; None where the quotients do not converge."""
    length = _length(direction)
    if length == 0:
        return None
    if not math.isfinite(length):
        return math.inf
    unit = {name: d / length for name, d in direction.items()}
    predicted = _along(full, unit)
    quotients = line.quotients(unit)
    error = min(abs(q - predicted) / abs(predicted) for _, q in quotients)
    if error <= AGREES:
        return error
    plateau = _plateau(quotients)
    if plateau is None:
        return None
    step, slope = plateau
    # Of a right gradient the quotient is the mean between the two ends, however rough it is there.
    places = step * (2 * (np.arange(BETWEEN) + rng.random(BETWEEN)) / BETWEEN - 1)
    between = [_along(line.gradient(line.at(unit, float(t))), unit) for t in places]
    mean, spread = float(np.mean(between)), float(np.std(between, ddof=1)) / math.sqrt(BETWEEN)
    off = abs(mean - slope)
    if off <= AGREES * abs(slope):
        return off / max(abs(slope), abs(predicted)) if spread * ERRORS <= abs(slope) else None
    return off / abs(predicted) if off > ERRORS * spread else None


def _moves(line: _Line, full: Numbers, direction: Numbers) -> float | None:
    """The error along what has gradient 0: 0 where nothing moves, infinite where something does."""
    count = sum(int((d != 0).sum()) for d in direction.values())
    everything = sum(g.size for g in full.values())
    if count == 0 or not math.isfinite(_length(full)):
        return None
    unit = {name: d / math.sqrt(count) for name, d in direction.items()}
    plateau = _plateau(line.quotients(unit))
    if plateau is None:
        return None
    step, slope = plateau
    usual = _length(full) / math.sqrt(everything)
    noise = np.finfo(np.float32).eps * abs(line.value(line.inputs)) / step
    return math.inf if abs(slope) > STILL * usual + 10 * noise else 0.0


def _plateau(quotients: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """The step and the quotient where several in a row are the same, at the shortest such steps."""
    for last in range(len(quotients), IN_A_ROW - 1, -1):
        row = quotients[last - IN_A_ROW : last]
        slopes = [q for _, q in row]
        if not np.isfinite(slopes).all():
            continue
        if max(slopes) - min(slopes) <= CONVERGED * max(map(abs, slopes)):
            return sorted(row)[IN_A_ROW // 2][0], float(np.median(slopes))
    return None


def _length(numbers: Numbers) -> float:
    return math.sqrt(sum(float((n**2).sum()) for n in numbers.values()))


def _along(gradient: Numbers, unit: Numbers) -> float:
    return sum(float((gradient[name] * d).sum()) for name, d in unit.items())


def _random(value: onnx.ValueInfoProto, rng: np.random.Generator) -> Array:
    tensor = value.type.tensor_type
    shape = [d.dim_value for d in tensor.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if not np.issubdtype(dtype, np.floating):
        return np.asarray(rng.integers(0, 2, shape).astype(dtype))
    numbers = rng.standard_normal(shape) if value.name == "cotangent" else rng.random(shape)
    return np.asarray(numbers.astype(dtype))
