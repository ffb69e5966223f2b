"""From a loss to a training step: its gradient and Adam's update, appended to the same graph.

The parameter and Adam's two moments are inputs and outputs of the graph, so that a loop can feed
them back without their leaving the device.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from leap_audit.gradient.walk import backpropagate
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.run.session import Array

__all__ = ["BETA1", "BETA2", "adam_draws", "adam_state", "adam_update", "append_adam"]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
CORRECTIONS = "adam_corrections"


def append_adam(
    op: Emitter,
    parameter: ir.Value,
    cotangents: Mapping[ir.Value, ir.Value],
    *,
    lr: float,
    stop: Collection[ir.Value] = (),
) -> None:
    """Append one step of Adam on `parameter` that lowers sum(cotangent * output).

    Kingma and Ba 2015. Adds the inputs `adam_m`, `adam_v` (the parameter's shape) and
    `adam_corrections` (2 numbers), and the outputs `parameter_next`, `adam_m_next`,
    `adam_v_next`. Raises what `backpropagate` raises.
    """
    (slope,) = backpropagate(op, cotangents, [parameter], stop=stop)
    graph, shape = op.graph, static_shape(parameter)
    m, v = (_input(graph, name, shape, parameter.type) for name in ("adam_m", "adam_v"))
    corrections = _input(graph, CORRECTIONS, (2,), parameter.type)
    first, second = (op.Slice(corrections, [i], [i + 1], [0]) for i in (0, 1))
    after = adam_update(op, parameter, slope, m, v, (first, second), lr)
    parameter_next, m_next, v_next = after
    for name, value in (
        ("parameter_next", parameter_next),
        ("adam_m_next", m_next),
        ("adam_v_next", v_next),
    ):
        value.name = name
        graph.outputs.append(value)


def adam_update(
    op: Emitter,
    parameter: ir.Value,
    slope: ir.Value,
    m: ir.Value,
    v: ir.Value,
    corrections: tuple[ir.Value, ir.Value],
    lr: float,
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Append Adam's update of one parameter, and return it with its two moments after the step.

    slope: the gradient of what is lowered. m, v: the moments before. corrections: 1 / (1 - beta^t)
    of each moment, t the number of the step from 1.
    """
    first, second = corrections
    m_next = op.Add(op.Mul(m, BETA1), op.Mul(slope, 1 - BETA1))
    v_next = op.Add(op.Mul(v, BETA2), op.Mul(op.Mul(slope, slope), 1 - BETA2))
    step = op.Div(op.Mul(m_next, first), op.Add(op.Sqrt(op.Mul(v_next, second)), EPSILON))
    return op.Sub(parameter, op.Mul(step, lr)), m_next, v_next


def adam_state(parameter: str, first: Array) -> dict[str, tuple[str, Array]]:
    """Return the loop's state: the parameter from its first value, the moments from zero."""
    zeros = np.zeros_like(first)
    return {
        parameter: ("parameter_next", first),
        "adam_m": ("adam_m_next", zeros),
        "adam_v": ("adam_v_next", zeros),
    }


def adam_draws(step: int, rate: float = 1.0) -> dict[str, Array]:
    """Return what Adam needs to know of the step number (from 0): its bias corrections.

    rate: what the learning rate is multiplied by at this step.
    """
    t = step + 1
    numbers = [rate / (1 - BETA1**t), 1 / (1 - BETA2**t)]
    return {CORRECTIONS: np.asarray(numbers, np.float32)}


def _input(
    graph: ir.Graph, name: str, shape: tuple[int, ...], kind: ir.TypeProtocol | None
) -> ir.Value:
    value = ir.Value(name=name, shape=ir.Shape(shape), type=kind)
    graph.inputs.append(value)
    return value
