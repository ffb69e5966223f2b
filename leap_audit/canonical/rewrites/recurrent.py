"""Recurrent layers, unrolled over their static number of steps.

The gates of all steps that depend on the input alone are one product; each step adds that of the
state. A step is written with a leading axis of length 1, so that steps are split and joined along
it. Weights must be constants.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.canonical.rewrite import Writer, Written, rewriting
from leap_audit.graph.shapes import shape_of
from leap_audit.graph.values import constant_of

_ALPHA = {
    "affine": 0.0,
    "elu": 1.0,
    "hardsigmoid": 0.2,
    "leakyrelu": 0.01,
    "scaledtanh": 0.0,
    "thresholdedrelu": 0.0,
}
"""ONNX Runtime's defaults; ONNX gives none for Affine and ScaledTanh."""
_BETA = {"affine": 0.0, "hardsigmoid": 0.5, "scaledtanh": 0.0}
_PLAIN = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}

Activation = Callable[[ir.Value], ir.Value]
LayerState = tuple[ir.Value, ...]
LayerStep = Callable[["LayerDirection", ir.Value, LayerState], LayerState]


@dataclass(frozen=True)
class LayerDirection:
    """One direction of a layer: its weights as the products want them, and its activations."""

    op: Writer
    hidden: int
    w: ir.Value
    """(input, gates * hidden)"""
    r: tuple[ir.Value, ...]
    """(hidden, gates * hidden), for GRU the new state's apart from the gates'"""
    bias: ir.Value
    inner_bias: ir.Value
    """What linear_before_reset adds before the reset."""
    peepholes: tuple[ir.Value, ...]
    """Those of i, o, f, or none."""
    activations: tuple[Activation, ...]

    def gates(self, x: ir.Value, count: int) -> tuple[ir.Value, ...]:
        return self.op.emit("Split", [x], {"axis": -1, "num_outputs": count}, count)

    def bounded(self, x: ir.Value) -> ir.Value:
        """Return what goes into an activation: within the clip threshold, if there is one."""
        clip = self.op.attribute("clip")
        return self.op.Clip(x, -float(clip), float(clip)) if clip else x


@rewriting("LSTM", shapes=True)
def lstm(op: Writer) -> Written:
    """c = f * c + i * g(...), h = o * h(c); the gates are i, o, f, c"""
    return _unrolled(op, 4, _lstm_step, ("Sigmoid", "Tanh", "Tanh"), states=2)


@rewriting("GRU", shapes=True)
def gru(op: Writer) -> Written:
    """h = (1 - z) * n + z * h; the gates are z, r, n"""
    return _unrolled(op, 3, _gru_step, ("Sigmoid", "Tanh"), states=1)


@rewriting("RNN", shapes=True)
def rnn(op: Writer) -> Written:
    """h = f(x W + h R + b)"""
    return _unrolled(op, 1, _rnn_step, ("Tanh",), states=1)


def _lstm_step(layer: LayerDirection, x: ir.Value, state: LayerState) -> LayerState:
    op = layer.op
    h, c = state
    f_function, g_function, h_function = layer.activations
    i, o, f, g = layer.gates(op.Add(x, op.MatMul(h, layer.r[0])), 4)
    p = layer.peepholes
    if p:
        i, f = op.Add(i, op.Mul(c, p[0])), op.Add(f, op.Mul(c, p[2]))
    i = f_function(layer.bounded(i))
    coupled = bool(op.attribute("input_forget", 0))
    f = op.Sub(1.0, i) if coupled else f_function(layer.bounded(f))
    c = op.Add(op.Mul(f, c), op.Mul(i, g_function(layer.bounded(g))))
    if p:
        o = op.Add(o, op.Mul(c, p[1]))
    return op.Mul(f_function(layer.bounded(o)), h_function(c)), c


def _gru_step(layer: LayerDirection, x: ir.Value, state: LayerState) -> LayerState:
    op, n = layer.op, layer.hidden
    (h,) = state
    f_function, g_function = layer.activations
    x_zr, x_n = op.emit("Split", [x, [2 * n, n]], {"axis": -1}, 2)
    r_zr, r_n = layer.r
    zr = f_function(layer.bounded(op.Add(x_zr, op.MatMul(h, r_zr))))
    z, r = layer.gates(zr, 2)
    if op.attribute("linear_before_reset", 0):
        past = op.Mul(r, op.Add(op.MatMul(h, r_n), layer.inner_bias))
    else:
        past = op.MatMul(op.Mul(r, h), r_n)
    new = g_function(layer.bounded(op.Add(x_n, past)))
    return (op.Add(op.Mul(op.Sub(1.0, z), new), op.Mul(z, h)),)


def _rnn_step(layer: LayerDirection, x: ir.Value, state: LayerState) -> LayerState:
    op = layer.op
    (h,) = state
    (function,) = layer.activations
    return (function(layer.bounded(op.Add(x, op.MatMul(h, layer.r[0])))),)


def _unrolled(
    op: Writer, gates: int, step: LayerStep, default: Sequence[str], *, states: int
) -> Written:
    x, w, r, b, lengths = (op.input(i) for i in range(5))
    shape = shape_of(x)
    peepholes = op.input(7)
    weights = [constant_of(v) for v in (w, r, b, peepholes)]
    computed = [v for v, a in zip((w, r, b, peepholes), weights, strict=True) if v and a is None]
    w_array, r_array, b_array, p_array = weights
    if x is None or shape is None or computed or w_array is None or r_array is None:
        return None
    layout = op.attribute("layout", 0)
    if layout:
        x, shape = op.Transpose(x, perm=[1, 0, 2]), (shape[1], shape[0], shape[2])
    layers = list(_directions(op, gates, default, w_array, r_array, b_array, p_array))
    first = [_initial(op, op.input(5 + k), layout, len(layers)) for k in range(states)]
    masks = _masks(op, lengths, shape[0])
    whole: list[ir.Value] = []
    last: list[LayerState] = []
    way = op.attribute("direction", "forward")
    for d, layer in enumerate(layers):
        zero = np.zeros((1, shape[1], layer.hidden), w_array.dtype)
        state = tuple(op.constant(zero) if s is None else s[d] for s in first)
        y, state = _run(layer, step, x, state, masks, backward=way == "reverse" or d == 1)
        whole.append(op.Unsqueeze(y, [1]))
        last.append(state)
    return _outputs(op, whole, last, layout)


def _directions(
    op: Writer,
    gates: int,
    default: Sequence[str],
    w: NDArray[Any],
    r: NDArray[Any],
    b: NDArray[Any] | None,
    p: NDArray[Any] | None,
) -> Iterator[LayerDirection]:
    n = r.shape[2]
    activations = _activations(op, tuple(default) * len(w))
    for d in range(len(w)):
        both = np.zeros((2, gates * n), w.dtype) if b is None else b[d].reshape(2, gates * n)
        inner = np.zeros(n, w.dtype)
        if op.attribute("linear_before_reset", 0):  # the last bias of R is inside the reset
            inner, both = both[1, 2 * n :], both.copy()
            both[1, 2 * n :] = 0
        pieces = np.split(r[d].T, [2 * n], axis=1) if gates == 3 else [r[d].T]
        yield LayerDirection(
            op,
            n,
            op.constant(w[d].T),
            tuple(op.constant(piece) for piece in pieces),
            op.constant(both.sum(axis=0)),
            op.constant(inner.copy()),
            () if p is None else tuple(op.constant(piece) for piece in np.split(p[d], 3)),
            activations[d * len(default) : (d + 1) * len(default)],
        )


def _run(
    layer: LayerDirection,
    step: LayerStep,
    x: ir.Value,
    state: LayerState,
    masks: Sequence[ir.Value | None],
    *,
    backward: bool,
) -> tuple[ir.Value, LayerState]:
    """Return the states h of all steps, in the order of the input, and the last state."""
    op, steps = layer.op, len(masks)
    projected = op.Add(op.MatMul(x, layer.w), layer.bias)
    parts = op.emit("Split", [projected], {"axis": 0, "num_outputs": steps}, steps)
    found: dict[int, ir.Value] = {}
    for t in reversed(range(steps)) if backward else range(steps):
        new = step(layer, parts[t], state)
        h = new[0]
        if (mask := masks[t]) is not None:  # past an item's end its state stays and its output is 0
            new = tuple(op.Where(mask, a, b) for a, b in zip(new, state, strict=True))
            h = op.Where(mask, h, 0.0)
        found[t], state = h, new
    return op.Concat(*(found[t] for t in range(steps)), axis=0), state


def _initial(
    op: Writer, value: ir.Value | None, layout: int, directions: int
) -> tuple[ir.Value, ...] | None:
    """Return the first state of each direction, None for zeros."""
    if value is None:
        return None
    if layout:
        value = op.Transpose(value, perm=[1, 0, 2])
    if directions == 1:
        return (value,)
    return op.emit("Split", [value], {"axis": 0, "num_outputs": directions}, directions)


def _masks(op: Writer, lengths: ir.Value | None, steps: int) -> list[ir.Value | None]:
    """Return for each step which items (batch, 1) it belongs to; None where to all of them."""
    known = constant_of(lengths)
    if lengths is None or (known is not None and (known >= steps).all()):
        return [None] * steps
    column = op.Unsqueeze(lengths, [1])
    return [op.Greater(column, np.array(t, np.int32)) for t in range(steps)]


def _outputs(
    op: Writer, whole: Sequence[ir.Value], last: Sequence[LayerState], layout: int
) -> list[ir.Value | None]:
    """Return Y, Y_h (and Y_c), those that are used."""
    found: list[ir.Value | None] = []
    y = None
    if op.is_read(0):
        y = op.Concat(*whole, axis=1) if len(whole) > 1 else whole[0]
        y = op.Transpose(y, perm=[2, 0, 1, 3]) if layout else y
    found.append(y)
    for k in range(len(last[0])):
        end = None
        if op.is_read(1 + k):
            parts = [state[k] for state in last]
            end = op.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]
            end = op.Transpose(end, perm=[1, 0, 2]) if layout else end
        found.append(end)
    return found


def _activations(op: Writer, default: Sequence[str]) -> tuple[Activation, ...]:
    """Return the activations; alphas and betas are taken in turn by those that have one."""
    alphas = iter(op.attribute("activation_alpha", ()))
    betas = iter(op.attribute("activation_beta", ()))
    found = []
    for name in op.attribute("activations", default):
        kind = str(name).lower()
        alpha = float(next(alphas, _ALPHA[kind])) if kind in _ALPHA else 0.0
        beta = float(next(betas, _BETA[kind])) if kind in _BETA else 0.0
        found.append(_activation(op, kind, alpha, beta))
    return tuple(found)


def _activation(op: Writer, kind: str, alpha: float, beta: float) -> Activation:
    if kind in _PLAIN:
        return lambda x: op.emit(_PLAIN[kind], [x], {}, 1)[0]
    special: dict[str, Activation] = {
        "affine": lambda x: op.Add(op.Mul(x, alpha), beta),
        "elu": lambda x: op.Elu(x, alpha=alpha),
        "hardsigmoid": lambda x: op.HardSigmoid(x, alpha=alpha, beta=beta),
        "leakyrelu": lambda x: op.LeakyRelu(x, alpha=alpha),
        "scaledtanh": lambda x: op.Mul(op.Tanh(op.Mul(x, beta)), alpha),
        "thresholdedrelu": lambda x: op.Where(op.Greater(x, alpha), x, 0.0),
    }
    return special[kind]
