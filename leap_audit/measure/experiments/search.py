"""The search for a trigger: the smallest mask and pattern that turn other pictures into a class.

One trigger for all pictures (Wang et al. 2019, Neural Cleanse). As in an isolation, one smooth
score map is good at every area: each step draws an area and makes a soft mask of the
highest-scoring pixels, under which the pattern is laid over a few pictures of other classes. What
it takes to turn half of the pictures then is one figure, an area, that classes and networks can be
compared by; a class that takes far less than the others is a suspect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.gradient import Emitter
from leap_audit.gradient.training import adam_draws, adam_state, append_adam
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.measure.draws import generator
from leap_audit.measure.run import Run, place_scores
from leap_audit.measure.smooth import blur_matrix, enlargement
from leap_audit.run.session import Array

__all__ = [
    "MARK_AREAS",
    "USUAL",
    "Trigger",
    "half_area",
    "outlying",
    "search_trigger",
    "trigger_graph",
]

MARK_AREAS = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Areas at which a trigger is judged, as fractions of a picture."""
DRAWN = (0.01, 0.15)
"""The areas that steps draw from."""
FIRST_SOFTNESS, SOFTNESS, SHARPENING = 2.0, 0.15, 0.6
"""Of the mask's edge, in deviations of the map: at first, in the end, and when that is reached."""
CELLS = 32
"""Cells of map and pattern along the short side, at most."""
SMOOTHING = 0.6
"""Standard deviation of the blur of the map, in cells."""
LEARNING_RATE, PATTERN = 0.1, 3.0
"""Of the map; how much faster the pattern moves."""
GOLDEN = (5**0.5 - 1) / 2
NEVER = 0.32
"""The area said of a trigger that does not turn half of the pictures at the largest one."""
USUAL, USUAL_SPREAD = 0.045, 0.4
"""The usual area of a class without a shortcut, and the deviation of its logarithm: over the ten
classes of clean CIFAR-10 networks. Where fewer than FEW classes were searched it stands for them.
"""
LEAST_SPREAD = 0.3
"""The least deviation: few classes may all be alike by chance."""
FEW = 4


@dataclass(frozen=True)
class Trigger:
    """What was found for a class."""

    class_: int
    scores: Array
    """(height, width): the higher, the earlier a pixel belongs to the mask."""
    pattern: Array
    """(channels, height, width), 0..1."""

    def inside(self, area: float) -> Array:
        """Return the mask of an area, (height, width) bool."""
        count = max(1, round(area * self.scores.size))
        order = np.argsort(-self.scores, axis=None, kind="stable")[:count]
        mask = np.zeros(self.scores.size, bool)
        mask[order] = True
        return mask.reshape(self.scores.shape)

    def pasted(self, pictures: Array, area: float) -> Array:
        """Return pictures with the trigger on them."""
        return np.where(self.inside(area), self.pattern, pictures).astype(np.float32)


def search_trigger(
    run: Run,
    class_: int,
    pictures: Array,
    *,
    steps: int,
    batch: int,
    seed: int,
    advance: Callable[[int], None],
) -> Trigger:
    """Return the trigger that turns pictures of other classes into a class.

    pictures: (n, channels, height, width) in 0..1, of which each step sees `batch`, drawn anew.
    advance: called after each step with the number of pictures that it looked at.
    """
    model = run.model
    channels = model.picture_shape[0]
    rows, columns = _enlargements(model)
    rng = generator(seed, "trigger", class_)
    first = np.zeros((1, 1 + channels, rows.shape[1], columns.shape[1]), np.float32)
    first[0, 0] = 0.01 * rng.standard_normal(first.shape[2:])
    session = run.session(("trigger", batch), lambda: trigger_graph(model, batch))
    cotangent = -model.answer.cotangent((class_,))[None] * np.ones((batch, 1, 1), np.float32)
    loop = session.loop(adam_state("trigger", first), {"weights": cotangent / np.float32(batch)})
    start = float(rng.random())
    for step in range(steps):
        area = DRAWN[0] * (DRAWN[1] / DRAWN[0]) ** ((start + step * GOLDEN) % 1)
        cells = first.shape[2] * first.shape[3]
        way = min(1.0, step / (SHARPENING * steps))
        chosen = rng.choice(len(pictures), batch, replace=len(pictures) < batch)
        draws: dict[str, Array] = {
            "pictures": np.asarray(pictures[chosen], np.float32),
            "rank": np.array([[min(cells - 1, int(area * cells))]], np.int64),
            "softness": np.array([FIRST_SOFTNESS * (SOFTNESS / FIRST_SOFTNESS) ** way], np.float32),
        }
        loop.step({**draws, **adam_draws(step)})
        advance(batch)
    last = loop.state("trigger")[0]
    grown = np.asarray(rows @ last @ columns.T)
    pattern = 1 / (1 + np.exp(-PATTERN * last[1:]))
    _, height, width = model.picture_shape
    down, right = (
        _repeating(n, side) for n, side in zip(first.shape[2:], (height, width), strict=True)
    )
    return Trigger(class_, grown[0], np.asarray(down @ pattern @ right.T, np.float32))


def half_area(flips: Sequence[float]) -> float:
    """Return the area at which a trigger turns half of the pictures, 0..1.

    flips: the shares turned at MARK_AREAS; between two areas the logarithm is interpolated.
    """
    logs = np.log(np.asarray(MARK_AREAS))
    best = np.maximum.accumulate(np.asarray(flips, float))
    at = int(np.argmax(best >= 0.5))
    if best[at] < 0.5:
        return NEVER
    if at == 0:
        return MARK_AREAS[0] * 2 ** (1 - 2 * float(best[0]))
    share = (0.5 - best[at - 1]) / (best[at] - best[at - 1])
    return float(np.exp(logs[at - 1] + share * (logs[at] - logs[at - 1])))


def outlying(areas: Sequence[float]) -> list[float]:
    """Return by how many deviations each class's area lies below the usual one, in logarithms.

    areas: what `half_area` returned for each class. The deviation is 1.48 times the median
    absolute one, from LEAST_SPREAD to USUAL_SPREAD: classes that no trigger turns widen it. A
    class that is far below the others, but not below the USUAL area of clean networks, counts
    for the mean of the two: where most triggers are large, a usual one is no outlier.
    """
    logs = np.log(np.asarray(areas))
    usual = (np.log(USUAL) - logs) / USUAL_SPREAD
    if len(logs) < FEW:
        return [float(each) for each in usual]
    centre = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - centre)))
    among = (centre - logs) / min(max(spread, LEAST_SPREAD), USUAL_SPREAD)
    return [float(each) for each in np.minimum(among, (among + usual) / 2)]


def trigger_graph(model: Model, batch: int) -> ir.Model:
    """Return one step of the search.

    Inputs: `trigger` (1, 1 + channels, rows, columns), the score map first, and Adam's state;
    `pictures`, `weights` (the class, negative and divided by the batch), `rank` (where the drawn
    area's quantile stands) and `softness`.
    """
    op = Emitter(new_graph(), "trigger")
    channels, height, width = model.picture_shape
    rows, columns = _enlargements(model)
    cells = (rows.shape[1], columns.shape[1])
    trigger = new_input(op.graph, "trigger", (1, 1 + channels, *cells))
    pictures = new_input(op.graph, "pictures", (batch, channels, height, width))
    weights = new_input(op.graph, "weights", (batch, model.classes, model.answer.places))
    rank = new_input(op.graph, "rank", (1, 1), ir.DataType.INT64)
    softness = new_input(op.graph, "softness", (1,))
    scores = op.Slice(trigger, [0], [1], [1])
    coarse = op.MatMul(op.MatMul(_smoothing(cells[0]), scores), _smoothing(cells[1]).T)
    centre = op.ReduceMean(coarse, [1, 2, 3], keepdims=1)
    shifted = op.Sub(coarse, centre)
    variance = op.ReduceMean(op.Mul(shifted, shifted), [1, 2, 3], keepdims=1)
    standard = op.Div(shifted, op.Sqrt(op.Add(variance, 1e-12)))
    count = cells[0] * cells[1]
    flat = op.Reshape(standard, (1, count))
    falling, _ = op.emit("TopK", [flat, op.constant([count], ir.DataType.INT64)], {}, 2)
    threshold = op.Reshape(op.GatherElements(falling, rank, axis=1), (1, 1, 1, 1))
    mask = op.Sigmoid(op.Div(op.Sub(standard, threshold), softness))
    pattern = op.Sigmoid(op.Mul(op.Slice(trigger, [1], [1 + channels], [1]), PATTERN))
    near = _repeating(cells[0], height), _repeating(cells[1], width)
    grown = op.MatMul(op.MatMul(near[0], mask), near[1].T)
    drawn = op.MatMul(op.MatMul(near[0], pattern), near[1].T)
    shown = op.Add(pictures, op.Mul(grown, op.Sub(drawn, pictures)))
    log_p = model.answer.log_probabilities(op, place_scores(op, model, shown))
    loss = op.ReduceSum(op.Mul(log_p, weights), [0, 1, 2], keepdims=0)
    append_adam(op, trigger, {loss: op.constant(np.ones(()))}, lr=LEARNING_RATE, stop={threshold})
    return ir.Model(op.graph, ir_version=IR_VERSION)


def _enlargements(model: Model) -> tuple[Array, Array]:
    """The matrices that smooth the cells of the score map and repeat them over the pixels."""
    _, height, width = model.picture_shape
    short = min(height, width)
    cells = min(CELLS, short)
    down, right = round(cells * height / short), round(cells * width / short)
    return (
        _repeating(down, height) @ _smoothing(down),
        _repeating(right, width) @ _smoothing(right),
    )


def _smoothing(cells: int) -> Array:
    return blur_matrix(cells, SMOOTHING)


def _repeating(cells: int, n: int) -> Array:
    return np.eye(n, dtype=np.float32) if cells == n else enlargement(cells, n)
