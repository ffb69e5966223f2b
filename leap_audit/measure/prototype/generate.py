"""The loop: one ONNX graph is one step of Adam on a batch of prototypes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.config import PrototypeOptions
from leap_audit.gradient import Emitter
from leap_audit.gradient.training import adam_draws, adam_state, append_adam
from leap_audit.ingest.load import Model
from leap_audit.measure.draws import generator
from leap_audit.measure.forward import new_graph, new_input, place_model
from leap_audit.measure.prototype.image import paint
from leap_audit.measure.prototype.objective import target_weights, total_variation, weighted_logit
from leap_audit.measure.prototype.transforms import view
from leap_audit.run.session import Array, Loop, Session

__all__ = ["Drawn", "Request", "make_prototypes", "step_graph"]

FIRST_SPREAD = 0.01
"""Standard deviation of the coefficients a prototype starts from."""
CURVE_POINTS = 24
SETTLING = 0.35
"""Share of the steps, at the end, over which the learning rate falls to nothing."""


@dataclass(frozen=True)
class Request:
    """One prototype to make: its target classes, and which of several for that target it is."""

    target: tuple[int, ...]
    replicate: int = 0


@dataclass(frozen=True)
class Drawn:
    """A finished prototype, before anyone has looked at it."""

    request: Request
    picture: Array
    """(channels, height, width), 0..1."""
    curve: tuple[float, ...]
    """The objective under the random views, averaged over equal parts of the run."""
    converged: bool


def step_graph(model: Model, batch: int, options: PrototypeOptions, spread: float) -> ir.Model:
    """Return one step for `batch` prototypes.

    Inputs: `coefficients` and Adam's state, `rows` and `columns` (the random views), `noise`,
    `weights` (of the logits). Outputs: the next state and `score`, the objective of each item.
    spread: the spread of the model's logits, which the total variation is weighed in.
    """
    op = Emitter(new_graph(), "prototype")
    channels, height, width = model.picture_shape
    graph = op.graph
    coefficients = new_input(graph, "coefficients", (batch, channels, height, width))
    rows = new_input(graph, "rows", (batch, 1, height, height))
    columns = new_input(graph, "columns", (batch, 1, width, width))
    noise = new_input(graph, "noise", (batch, channels, height, width))
    weights = new_input(graph, "weights", (batch, model.classes))
    picture = paint(op, coefficients, options.background or 0.0)
    seen = op.MatMul(op.MatMul(rows, picture), op.Transpose(columns, perm=[0, 1, 3, 2]))
    logits = place_model(op, model, op.Add(seen, noise))
    score = weighted_logit(op, logits, weights)
    graph.outputs.append(score)
    cotangents = {score: op.constant(-np.ones(batch))}
    if options.total_variation:
        variation = total_variation(op, picture)
        cotangents[variation] = op.constant(np.full(batch, options.total_variation * spread))
    append_adam(op, coefficients, cotangents, lr=options.lr)
    score.name = "score"
    return ir.Model(graph, ir_version=10)


def make_prototypes(
    model: Model,
    requests: Sequence[Request],
    options: PrototypeOptions,
    *,
    seed: int,
    batch: int,
    threads: int,
    spread: float,
    advance: Callable[[int], None],
) -> Iterator[Drawn]:
    """Yield one prototype per request, in their order, as each batch is finished.

    options: with nothing left open. advance: called after each step with the number of
    prototypes it moved.
    """
    if not requests:
        return
    batch = min(batch, len(requests)) if model.batchable else 1
    session = Session(step_graph(model, batch, options, spread), model.provider, threads)
    finished = _painter(model, options, threads)
    for start in range(0, len(requests), batch):
        group = list(requests[start : start + batch])
        padded = group + group[:1] * (batch - len(group))
        loop = _started(model, session, padded, seed)
        scores = []
        for step in range(options.steps):
            rate = _rate(step, options.steps)
            loop.step({**_views(model, padded, options, seed, step), **adam_draws(step, rate)})
            scores.append(loop.output("score"))
            advance(len(group))
        coefficients = loop.state("coefficients")
        for i, request in enumerate(group):
            curve = np.array([score[i] for score in scores])
            picture = finished.run({"coefficients": coefficients[i : i + 1]})[0][0]
            yield Drawn(request, picture, _parts(curve), _converged(curve))


def _rate(step: int, steps: int) -> float:
    """Full learning rate, falling to nothing over the last part, so that the picture settles."""
    left = (steps - step) / steps
    return min(1.0, left / SETTLING)


def _started(model: Model, session: Session, requests: Sequence[Request], seed: int) -> Loop:
    first = [
        generator(seed, "prototype start", *r.target, r.replicate).standard_normal(
            model.picture_shape, np.float32
        )
        for r in requests
    ]
    state = adam_state("coefficients", np.stack(first) * np.float32(FIRST_SPREAD))
    weights = target_weights([r.target for r in requests], model.classes)
    return Loop(session, state, {"weights": weights})


def _views(
    model: Model, requests: Sequence[Request], options: PrototypeOptions, seed: int, step: int
) -> dict[str, Array]:
    channels, height, width = model.picture_shape
    rows, columns, noise = [], [], []
    for request in requests:
        rng = generator(seed, "prototype step", *request.target, request.replicate, step)
        a, b = view(rng, height, width, options)
        rows.append(a[None])
        columns.append(b[None])
        noise.append(rng.standard_normal((channels, height, width), np.float32))
    scaled = np.stack(noise) * np.float32(options.noise)
    return {"rows": np.stack(rows), "columns": np.stack(columns), "noise": scaled}


def _painter(model: Model, options: PrototypeOptions, threads: int) -> Session:
    """The picture of one prototype as it is, neither moved nor noisy."""
    op = Emitter(new_graph(), "painter")
    coefficients = new_input(op.graph, "coefficients", (1, *model.picture_shape))
    op.graph.outputs.append(paint(op, coefficients, options.background or 0.0))
    return Session(ir.Model(op.graph, ir_version=10), model.provider, threads)


def _parts(curve: Array) -> tuple[float, ...]:
    parts = np.array_split(curve, min(CURVE_POINTS, len(curve)))
    return tuple(float(part.mean()) for part in parts)


def _converged(curve: Array) -> bool:
    """Whether the last eighth at full learning rate brought less than a tenth of the whole rise.

    The steps after it move less and less by design and would flatter the answer.
    """
    full = curve[: len(curve) - int(SETTLING * len(curve))]
    if len(full) < 8:
        return False
    eighth = len(full) // 8
    first, before, last = full[:eighth], full[-2 * eighth : -eighth], full[-eighth:]
    return bool(last.mean() - before.mean() < 0.1 * (last.mean() - first.mean()))
