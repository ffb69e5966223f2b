"""Isolation: the part of a picture that carries a class, as one ranking of its pixels.

One smooth score map per picture and class is optimised so that, whatever the area, keeping the
highest-scoring part keeps the class and erasing it loses the class. At every step each picture
draws an area; the mask is a soft threshold of the standardised map at that area's quantile. So
one ranking serves every area, and the smallest region that is enough is read off it. The edge
of the mask is wide at first, so that every pixel has a say in where the map starts, and sharpens
as the map finds its place: from a sharp start it settles wherever chance put it. Related:
Fong, Patrick and Vedaldi 2019 (extremal perturbations, one mask per area), Petsiuk et al. 2018
(insertion and deletion).
"""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx_ir as ir

from leap_audit.config import IsolationOptions
from leap_audit.gradient import Emitter
from leap_audit.gradient.training import adam_draws, adam_state, append_adam
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import BOXES, Detections
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.matching_graph import best_row
from leap_audit.measure.run import Run, place_each
from leap_audit.measure.smooth import blur_matrix, enlargement
from leap_audit.measure.subject import Subject
from leap_audit.run.opaque import AnyLoop, AnySession
from leap_audit.run.session import Array

__all__ = ["AREAS", "RankingSearch", "blurred", "rank_pixels", "ranking_step"]

AREAS = (0.03, 0.6)
"""The areas a step draws from, as fractions of the picture."""
FIRST_SOFTNESS, SOFTNESS = 2.0, 0.15
"""Width of the mask's edge at the first step and in the end, in standard deviations of the map."""
SHARPENING = 0.6
"""Share of the steps over which the edge goes, by equal factors, from the first to the second."""
SMOOTHING = 8 / 224
"""Standard deviation of the blur of the score map, as a fraction of the short side."""
FILLS = (12 / 224, 20 / 224, 30 / 224)
"""Standard deviations of the blurs that stand for "erased", as fractions of the short side."""
QUANTILE_GRID = 28
FIRST_SPREAD = 0.01
NOT_IN_GRAPH = ("steps", "per_prototype", "least", "enough", "enough_cosine")
"""Options that the graph of a step does not depend on."""
GOLDEN = (5**0.5 - 1) / 2


def rank_pixels(
    run: Run,
    subjects: Sequence[Subject],
    options: IsolationOptions,
    *,
    seed: int,
    batch: int,
    advance: Callable[[int], None],
) -> Iterator[Array]:
    """Yield one score map per subject, (height, width): the higher, the earlier kept.

    advance: called after each step with the number of subjects it moved.
    """
    if not subjects:
        return
    batch = min(batch, len(subjects))
    search = RankingSearch(run, options, seed=seed, batch=batch)
    for start in range(0, len(subjects), batch):
        yield from search.maps(subjects[start : start + batch], advance)


class RankingSearch:
    """A search for the rankings of up to `batch` subjects at a time, on one loaded graph."""

    def __init__(self, run: Run, options: IsolationOptions, *, seed: int, batch: int) -> None:
        model = run.model
        self._model, self._options, self._seed, self._batch = model, options, seed, batch
        key = ("isolation step", batch, options.model_dump_json(exclude=set(NOT_IN_GRAPH)))
        self._session = run.session(key, lambda: ranking_step(model, batch, options))

    def rehearse(self, subject: Subject, steps: int) -> list[float]:
        """Return the seconds that each of a few steps of a whole batch takes, one by one."""
        subjects = [subject] * self._batch
        loop = _started(self._model, self._session, subjects, self._options, self._seed)
        starts = [_start(each, self._seed) for each in subjects]
        taken = []
        for step in range(steps):
            started = time.perf_counter()
            drawn, softness = _draws(self._model, starts, step), np.ones(1, np.float32)
            loop.step({**drawn, "softness": softness, **adam_draws(step)})
            taken.append(time.perf_counter() - started)
        return taken

    def maps(self, group: Sequence[Subject], advance: Callable[[int], None]) -> list[Array]:
        """Return one score map per subject, (height, width): the higher, the earlier kept."""
        model, options = self._model, self._options
        padded = [*group, *[group[0]] * (self._batch - len(group))]
        loop = _started(model, self._session, padded, options, self._seed)
        starts = [_start(s, self._seed) for s in padded]
        for step in range(options.steps):
            drawn = _draws(model, starts, step)
            softness = np.array([_softness(step, options.steps)], np.float32)
            loop.step({**drawn, "softness": softness, **adam_draws(step)})
            advance(len(group))
        rows, columns = _enlargements(model, options)
        found = loop.state("scores")[: len(group), 0]
        return [np.asarray(rows @ scores @ columns.T) for scores in found]


def ranking_step(model: Model, batch: int, options: IsolationOptions) -> ir.Model:
    """Return one step for `batch` subjects.

    Inputs: `scores` (a coarse map each) and Adam's state, `pictures`, `fills` (three blurred
    copies of each picture, one after the other), `weights` (one-hot classes), `where` (how much
    the answer at each place counts; of a detector `boxes` of the objects), `sharpness` (of each
    subject), `fill` (which copy this step uses), `rank` (where the quantile of the drawn area
    stands among sorted scores) and `softness` (of the mask's edge).
    """
    op = Emitter(new_graph(), "isolation")
    graph = op.graph
    channels, height, width = model.picture_shape
    rows, columns = _enlargements(model, options)
    scores = new_input(graph, "scores", (batch, 1, rows.shape[1], columns.shape[1]))
    pictures = new_input(graph, "pictures", (batch, channels, height, width))
    fills = new_input(graph, "fills", (len(FILLS) * batch, channels, height, width))
    weights = new_input(graph, "weights", (batch, model.classes, 1))
    if not isinstance(model.answer, Detections):
        where = new_input(graph, "where", (batch, model.answer.places))
    sharp = new_input(graph, "sharpness", (batch, 1, 1))
    fill = new_input(graph, "fill", (batch,), ir.DataType.INT64)
    rank = new_input(graph, "rank", (batch, 1), ir.DataType.INT64)
    softness = new_input(graph, "softness", (1,))

    smooth = op.MatMul(op.MatMul(rows, scores), columns.T)
    standard, centre, deviation = _standardised(op, smooth)
    threshold = _quantile(op, scores, rows, columns, centre, deviation, rank)
    mask = op.Sigmoid(op.Div(op.Sub(standard, threshold), softness))
    erased = op.Gather(fills, fill, axis=0)
    difference = op.Mul(mask, op.Sub(pictures, erased))
    kept, deleted = op.Add(erased, difference), op.Sub(pictures, difference)
    names = (BOXES,) if isinstance(model.answer, Detections) else ()
    answers, *sides = place_each(op, model, op.Concat(kept, deleted, axis=0), names)
    tempered = op.Mul(answers, op.Concat(sharp, sharp, axis=0))
    log_p = model.answer.log_probabilities(op, tempered)
    if isinstance(model.answer, Detections):
        boxes = new_input(graph, "boxes", (batch, 4, 1))
        log_p = best_row(op, log_p, sides[0], op.Concat(boxes, boxes, axis=0))
        where = op.constant(np.ones((batch, 1)))
    kept_loss, deleted_loss = _losses(op, log_p, weights, where)
    ones = np.ones(batch)
    cotangents = {
        kept_loss: op.constant(ones),
        deleted_loss: op.constant(ones * options.delete_weight),
    }
    append_adam(op, scores, cotangents, lr=options.lr, stop={threshold})
    return ir.Model(graph, ir_version=IR_VERSION)


def blurred(pictures: Array) -> Array:
    """(n, channels, height, width) -> (fills, n, channels, height, width): what "erased" shows."""
    height, width = pictures.shape[2:]
    short = min(height, width)
    return np.stack(
        [blur_matrix(height, f * short) @ pictures @ blur_matrix(width, f * short).T for f in FILLS]
    ).astype(np.float32)


def _enlargements(model: Model, options: IsolationOptions) -> tuple[Array, Array]:
    """The matrices, one per axis, from the coarse map to smooth pixels."""
    _, height, width = model.picture_shape
    short = min(height, width)
    cells = min(options.grid, short)
    blur = SMOOTHING * short * options.smoothing
    return (
        (blur_matrix(height, blur) @ enlargement(round(cells * height / short), height)),
        (blur_matrix(width, blur) @ enlargement(round(cells * width / short), width)),
    )


def _standardised(op: Emitter, smooth: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """(x - mean) / deviation of each map, with mean and deviation."""
    centre = op.ReduceMean(smooth, [1, 2, 3], keepdims=1)
    shifted = op.Sub(smooth, centre)
    variance = op.ReduceMean(op.Mul(shifted, shifted), [1, 2, 3], keepdims=1)
    deviation = op.Sqrt(op.Add(variance, 1e-12))
    return op.Div(shifted, deviation), centre, deviation


def _quantile(
    op: Emitter,
    scores: ir.Value,
    rows: Array,
    columns: Array,
    centre: ir.Value,
    deviation: ir.Value,
    rank: ir.Value,
) -> ir.Value:
    """The standardised score that stands at `rank` among a grid of sample points."""
    some_rows, some_columns = (m[_spread(len(m))] for m in (rows, columns))
    sampled = op.MatMul(op.MatMul(some_rows, scores), some_columns.T)
    standard = op.Div(op.Sub(sampled, centre), deviation)
    batch = static_shape(scores)[0]
    points = len(some_rows) * len(some_columns)
    flat = op.Reshape(standard, (batch, points))
    falling, _ = op.emit("TopK", [flat, op.constant([points], ir.DataType.INT64)], {}, 2)
    return op.Reshape(op.GatherElements(falling, rank, axis=1), (batch, 1, 1, 1))


def _spread(n: int) -> Array:
    """Positions spread evenly over n pixels."""
    count = min(n, QUANTILE_GRID)
    return np.asarray(((np.arange(count) + 0.5) * n / count).astype(int))


def _losses(
    op: Emitter, log_p: ir.Value, weights: ir.Value, where: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """-log p of the class on what was kept, and p of the class on what is left without it.

    Both as the places count, (batch,).
    """
    batch = static_shape(where)[0]
    kept = op.Slice(log_p, [0], [batch], [0])
    deleted = op.Slice(log_p, [batch], [2 * batch], [0])
    kept_log = op.ReduceSum(op.Mul(kept, weights), [1], keepdims=0)
    deleted_log = op.ReduceSum(op.Mul(deleted, weights), [1], keepdims=0)
    kept_mean = op.ReduceSum(op.Mul(kept_log, where), [1], keepdims=0)
    return op.Neg(kept_mean), op.ReduceSum(op.Mul(op.Exp(deleted_log), where), [1], keepdims=0)


def _started(
    model: Model,
    session: AnySession,
    subjects: Sequence[Subject],
    options: IsolationOptions,
    seed: int,
) -> AnyLoop:
    rows, columns = _enlargements(model, options)
    shape = (1, rows.shape[1], columns.shape[1])
    first = [
        generator(seed, "isolation start", content_key(s.picture), s.class_).standard_normal(
            shape, np.float32
        )
        for s in subjects
    ]
    pictures = np.stack([s.picture for s in subjects]).astype(np.float32)
    weights = np.zeros((len(subjects), model.classes, 1), np.float32)
    weights[np.arange(len(subjects)), [s.class_ for s in subjects]] = 1
    counted = {"where": np.stack([s.where for s in subjects])}
    if isinstance(model.answer, Detections):
        counted = {"boxes": np.stack([_box_of(s) for s in subjects])[:, :, None]}
    constants = {
        **counted,
        "pictures": pictures,
        "fills": blurred(pictures).reshape(-1, *pictures.shape[1:]),
        "weights": weights,
        "sharpness": np.array([[[s.sharpness]] for s in subjects], np.float32)
        * np.float32(options.logit_scale),
    }
    state = adam_state("scores", np.stack(first) * np.float32(FIRST_SPREAD))
    return session.loop(state, constants)


def _box_of(subject: Subject) -> Array:
    """The box of a detection; of a class of a detector the whole picture."""
    whole = np.array([0, 0, 1, 1]) if subject.box is None else subject.box
    return np.asarray(whole, np.float32)


def _softness(step: int, steps: int) -> float:
    """The width of the mask's edge at a step."""
    way = min(1.0, step / (SHARPENING * steps))
    return float(FIRST_SOFTNESS * (SOFTNESS / FIRST_SOFTNESS) ** way)


def _start(subject: Subject, seed: int) -> tuple[float, int]:
    """Where a subject's areas, as a share of their interval, and its fills begin."""
    rng = generator(seed, "isolation areas", content_key(subject.picture), subject.class_)
    return float(rng.random()), int(rng.integers(len(FILLS)))


def _draws(model: Model, starts: Sequence[tuple[float, int]], step: int) -> dict[str, Array]:
    """Area and fill of each subject: from its start on, evenly spread.

    Multiples of the golden ratio fill an interval evenly whenever one stops.
    """
    _, height, width = model.picture_shape
    points = len(_spread(height)) * len(_spread(width))
    fill, rank = [], []
    for i, (place, first) in enumerate(starts):
        area = AREAS[0] + (AREAS[1] - AREAS[0]) * ((place + step * GOLDEN) % 1)
        fill.append((first + step) % len(FILLS) * len(starts) + i)
        rank.append([min(points - 1, int(area * points))])
    return {"fill": np.asarray(fill, np.int64), "rank": np.asarray(rank, np.int64)}
