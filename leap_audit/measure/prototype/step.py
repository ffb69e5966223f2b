"""One step of Adam on a batch of prototypes, as one ONNX graph.

A step may see each prototype in several random views: the model answers all of them, and the
prototype follows the average of their gradients.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir

from leap_audit.config import PrototypeOptions
from leap_audit.gradient import Emitter
from leap_audit.gradient.training import append_adam
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import BOXES, Detections, ScoreMap
from leap_audit.measure.draws import generator
from leap_audit.measure.matching_graph import one_object
from leap_audit.measure.prototype.image import Painted, coefficient_channels, ground, over, paint
from leap_audit.measure.prototype.middle import place_weights
from leap_audit.measure.prototype.objective import (
    averaged,
    coverage,
    distance,
    evenness,
    likeness,
    standardised_logits,
    total_variation,
    weighted_logit,
)
from leap_audit.measure.prototype.transforms import blur_at, light, view
from leap_audit.measure.run import mean_over_places, place_model
from leap_audit.run.session import Array

__all__ = ["Key", "Objective", "step_draws", "step_graph", "weighed_places"]

Objective = Literal["target", "even"]
Key = tuple[int, ...]
"""What an item's random numbers belong to."""


def step_graph(
    model: Model,
    batch: int,
    options: PrototypeOptions,
    spread: float,
    objective: Objective = "target",
) -> ir.Model:
    """Return one step for `batch` prototypes.

    Inputs: `coefficients` and Adam's state, what `step_draws` returns (`rows`, `columns`, `noise`,
    and with alpha `behind`, each of `options.views` a prototype), and for the objective target
    `weights` (of the logits, per item), of a map `where` (see `middle.place_weights`) and with a
    diversity `same` (see `objective.alike`).
    Outputs: the next state and `score`, the objective of each item, averaged over its views.
    spread: the spread of the model's logits, which penalties are weighed in; standardised ones
    have a spread of 1. objective: the target's logit as the options want it, or that all classes
    be equally probable.
    """
    op = Emitter(new_graph(), "prototype")
    graph = op.graph
    channels, height, width = model.picture_shape
    planes = coefficient_channels(channels, options)
    coefficients = new_input(graph, "coefficients", (batch, planes, height, width))
    assert options.views is not None
    views, pictures_at_once = options.views, batch * options.views
    rows = new_input(graph, "rows", (pictures_at_once, 1, height, height))
    columns = new_input(graph, "columns", (pictures_at_once, 1, width, width))
    noise = new_input(graph, "noise", (pictures_at_once, channels, height, width))
    painted = paint(op, coefficients, channels, options)
    picture = _repeated(op, painted.colour, views)
    if painted.alpha is not None:
        behind = new_input(graph, "behind", (pictures_at_once, channels, 1, 1))
        picture = over(op, Painted(picture, _repeated(op, painted.alpha, views)), behind)
    viewed = _viewed(op, picture, rows, columns, options)
    placed = place_model(op, model, op.Add(viewed, noise))
    logits = mean_over_places(op, placed.scores)
    if objective == "target":
        weights = new_input(graph, "weights", (batch, model.classes))
        wanted = logits
        if isinstance(model.answer, Detections):
            wanted = one_object(op, placed.scores, placed.tensor(BOXES))
        elif options.objective == "standardised":
            wanted = standardised_logits(op, logits)
        elif options.middle:
            where = new_input(graph, "where", (pictures_at_once, model.answer.places))
            wanted = weighed_places(op, model, placed.scores, where, options.log_weight or 0.0)
        score = weighted_logit(op, averaged(op, wanted, views), weights)
    else:
        score = averaged(op, evenness(op, logits, options.logit_scale), views)
    graph.outputs.append(score)
    penalties: list[tuple[ir.Value, float]] = []
    if options.total_variation:
        varied = averaged(op, total_variation(op, picture), views)
        penalties.append((varied, options.total_variation))
    if options.ink:
        inked = averaged(op, distance(op, picture, ground(options)), views)
        penalties.append((inked, options.ink))
    if options.alpha_weight and painted.alpha is not None and (options.alpha or options.alpha_only):
        penalties.append((coverage(op, painted.alpha), options.alpha_weight))
    if options.diversity and objective == "target":
        same = new_input(graph, "same", (batch, batch))
        features = placed.features(op) or logits
        penalties.append((likeness(op, features, same), options.diversity))
    cotangents = {score: op.constant(-np.ones(batch))}
    standardised = objective == "target" and options.objective == "standardised"
    unit = 1.0 if standardised else spread
    cotangents |= {p: op.constant(np.full(batch, weight * unit)) for p, weight in penalties}
    append_adam(op, coefficients, cotangents, lr=options.lr)
    score.name = "score"
    return ir.Model(graph, ir_version=IR_VERSION)


def weighed_places(
    op: Emitter, model: Model, scores: ir.Value, where: ir.Value, log_weight: float
) -> ir.Value:
    """Append the scores at the places that count, (pictures, classes).

    scores: (pictures, classes, places). where: how much each place counts, (pictures, places).
    log_weight: how much the log-probability counts beside the score.
    """
    if log_weight:
        log_p = model.answer.log_probabilities(op, scores)
        scores = op.Add(scores, op.Mul(log_p, log_weight))
    pictures, _, places = static_shape(scores)
    weighed = op.Mul(scores, op.Reshape(where, (pictures, 1, places)))
    return op.ReduceSum(weighed, [2], keepdims=0)


def _viewed(
    op: Emitter, picture: ir.Value, rows: ir.Value, columns: ir.Value, options: PrototypeOptions
) -> ir.Value:
    """Append the random views of the pictures, (items, channels, height, width)."""
    white = options.plain_ground and ground(options)
    # The rows of a view that reaches beyond the border sum to less than 1: black lies there.
    picture = op.Sub(picture, 1.0) if white else picture
    viewed = op.MatMul(op.MatMul(rows, picture), op.Transpose(columns, perm=[0, 1, 3, 2]))
    return op.Add(viewed, 1.0) if white else viewed


def step_draws(
    model: Model, keys: Sequence[Key], options: PrototypeOptions, seed: int, step: int
) -> dict[str, Array]:
    """Return what is random at a step: the views, the noise, what is behind a transparent item.

    And, of a map, how much its places count in these views.

    The views of an item stand side by side. Each item's numbers belong to its key and the step,
    never to the batch, and those of its first views do not depend on how many there are.
    """
    assert options.views is not None
    assert options.noise is not None
    channels, height, width = model.picture_shape
    blurs = [blur_at(n, options, step) for n in (height, width)]
    rows, columns, noise, behind = [], [], [], []
    for key in keys:
        rng = generator(seed, "prototype step", *key, step)
        for _ in range(options.views):
            viewed = view(rng, height, width, options)
            a, b = (m if blur is None else m @ blur for m, blur in zip(viewed, blurs, strict=True))
            rows.append(a[None])
            columns.append(b[None])
            noise.append(rng.standard_normal((channels, height, width), np.float32) * options.noise)
            if options.jitter:
                gain, shift = light(rng, channels, options.jitter)
                rows[-1] = rows[-1] * gain
                noise[-1] = noise[-1] + shift
            if options.transparent:
                lightest = min(1.0, 2 * (options.background or 0.0))
                behind.append(rng.uniform(0, lightest, (channels, 1, 1)).astype(np.float32))
    drawn = {
        "rows": np.stack(rows).astype(np.float32),
        "columns": np.stack(columns).astype(np.float32),
        "noise": np.stack(noise).astype(np.float32),
    }
    if options.middle and isinstance(model.answer, ScoreMap):
        matrices = drawn["rows"][:, 0], drawn["columns"][:, 0]
        drawn["where"] = place_weights(*matrices, model.answer.grid, options)
    return drawn | ({"behind": np.stack(behind)} if options.transparent else {})


def _repeated(op: Emitter, value: ir.Value, times: int) -> ir.Value:
    """Append each item so many times in a row: (items, ...) -> (items * times, ...)."""
    if times == 1:
        return value
    items, *rest = static_shape(value)
    wide = op.Expand(op.Reshape(value, (items, 1, *rest)), (items, times, *rest))
    return op.Reshape(wide, (items * times, *rest))
