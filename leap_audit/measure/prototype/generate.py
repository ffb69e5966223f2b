"""Prototypes from requests: batches run through the loop, evaluated on the way, finished."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import RLock

import numpy as np

from leap_audit.config import PrototypeOptions
from leap_audit.gradient import Emitter
from leap_audit.gradient.training import adam_draws, adam_state
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.measure.draws import generator
from leap_audit.measure.prototype.finish import equalised
from leap_audit.measure.prototype.image import coefficient_channels, over, paint
from leap_audit.measure.prototype.middle import middle_places
from leap_audit.measure.prototype.objective import alike, target_weights
from leap_audit.measure.prototype.rate import best_rate, has_settled, range_test, settling
from leap_audit.measure.prototype.step import Key, step_draws, step_graph
from leap_audit.measure.run import Run
from leap_audit.run.opaque import AnyLoop, AnySession
from leap_audit.run.session import Array

__all__ = [
    "Drawn",
    "Painting",
    "PrototypeSearch",
    "Request",
    "Stage",
    "batches_of",
    "make_prototypes",
]

FIRST_SPREAD, NOISY_SPREAD = 0.01, 0.5
"""Standard deviations of the coefficients a prototype starts from: nearly flat, or noise."""
CURVE_POINTS = 24
NOT_IN_GRAPH = ("steps", "find_lr_steps", "log_every", "keep_best", "equalise")
"""Options that the graph of a step does not depend on."""


@dataclass(frozen=True)
class Request:
    """One prototype to make: its target classes, and which of several for that target it is."""

    target: tuple[int, ...]
    replicate: int = 0

    @property
    def key(self) -> Key:
        """What its random numbers belong to."""
        return (*self.target, self.replicate)


@dataclass(frozen=True)
class Painting:
    """What coefficients look like."""

    picture: Array
    """(channels, height, width), 0..1, laid over the background where it is transparent."""
    alpha: Array | None = None
    """(1, height, width), 0 transparent to 1; None: opaque."""
    colour: Array | None = None
    """(channels, height, width), 0..1, under a transparency."""


@dataclass(frozen=True)
class Stage:
    """A prototype on its way, as it would be if it stopped here."""

    step: int
    """How many steps had been made."""
    painting: Painting
    logits: Array
    """(classes,)"""


@dataclass(frozen=True)
class Drawn:
    """A finished prototype, before anything is measured on it."""

    request: Request
    painting: Painting
    curve: tuple[float, ...]
    """The objective under the random views, averaged over equal parts of the run."""
    converged: bool
    step: int
    """How many steps made it: all, or those up to its best."""
    lr: float
    """The learning rate it was made with."""
    stages: tuple[Stage, ...] = ()

    @property
    def picture(self) -> Array:
        """(channels, height, width), 0..1."""
        return self.painting.picture


def make_prototypes(
    run: Run,
    requests: Sequence[Request],
    options: PrototypeOptions,
    *,
    seed: int,
    batch: int,
    spread: float,
    advance: Callable[[int], None],
) -> Iterator[Drawn]:
    """Yield one prototype per request, in their order, as each batch is finished.

    options: with nothing left open. advance: called after each step with the number of
    prototypes it moved.
    """
    if not requests:
        return
    groups = batches_of(requests, batch if run.model.batchable else 1, options)
    size = max(len(group) for group in groups)
    search = PrototypeSearch(run, options, seed=seed, batch=size, spread=spread)
    for group in groups:
        yield from search.draw(group, advance, groups[0])


class PrototypeSearch:
    """A search for prototypes on loaded graphs, a batch at a time.

    What a batch becomes depends on the arguments alone, never on the batches before it.
    """

    def __init__(
        self, run: Run, options: PrototypeOptions, *, seed: int, batch: int, spread: float
    ) -> None:
        self._run, self._options, self._seed, self._batch = run, options, seed, batch
        key = ("prototype step", batch, spread, options.model_dump_json(exclude=set(NOT_IN_GRAPH)))
        self._session = run.session(key, lambda: step_graph(run.model, batch, options, spread))
        self._painter = _Painter(run, options)
        self._first = _even_start(run, options, seed, spread) if options.start == "even" else None
        self._rates: dict[tuple[Request, ...], float] = {}
        self._testing = RLock()

    def draw(
        self, group: Sequence[Request], advance: Callable[[int], None], first: Sequence[Request]
    ) -> list[Drawn]:
        """Return the prototypes of up to a batch of requests.

        first: the batch that the range test of the learning rate runs on, if there is one; the
        same for every batch of an audit. advance: see `make_prototypes`.
        """
        options = self._options
        steps = _Steps(self._run.model, options, self._seed, group, self._batch)
        lr = self._rate(first)
        scores: list[Array] = []
        stages: list[list[Stage]] = [[] for _ in group]
        factors = [lr / options.lr * r for r in settling(options.steps)]
        for step, score in enumerate(steps.through(self._session, self._first, factors), 1):
            scores.append(score)
            advance(len(group))
            if _logged(step, options):
                paintings = [self._painter(c) for c in steps.coefficients()]
                pictures = np.stack([each.picture for each in paintings])
                logits = self._run.logits(pictures, middle_places(self._run.model, options))
                for i, stage in enumerate(stages):
                    stage.append(Stage(step, paintings[i], logits[i]))
        drawn = []
        for i, (request, last) in enumerate(zip(group, steps.coefficients(), strict=True)):
            curve = np.array([score[i] for score in scores])
            painting, step = _chosen(request, stages[i], options) or (
                self._painter(last),
                options.steps,
            )
            drawn.append(
                Drawn(request, painting, _parts(curve), has_settled(curve), step, lr, (*stages[i],))
            )
        return drawn

    def rehearse(self, request: Request, steps: int) -> list[float]:
        """Return the seconds that each of a few steps of a whole batch takes, one by one."""
        group = _Steps(self._run.model, self._options, self._seed, [request], self._batch)
        started, taken = time.perf_counter(), []
        for _ in group.through(self._session, self._first, [1.0] * steps):
            now = time.perf_counter()
            taken.append(now - started)
            started = now
        return taken

    def _rate(self, first: Sequence[Request]) -> float:
        """The learning rate: as the options have it, or as the range test on `first` chooses it."""
        options = self._options
        if not options.find_lr_steps:
            return options.lr
        with self._testing:  # batches in several threads want the same
            if (key := tuple(first)) not in self._rates:
                steps = _Steps(self._run.model, options, self._seed, first, self._batch)
                factors = range_test(options.find_lr_steps)
                rises = [s.mean() for s in steps.through(self._session, self._first, factors)]
                self._rates[key] = options.lr * best_rate(factors, rises)
            return self._rates[key]


@dataclass
class _Steps:
    """One group of requests, filled up to a whole batch by copies of its first."""

    model: Model
    options: PrototypeOptions
    seed: int
    group: Sequence[Request]
    batch: int
    loop: AnyLoop | None = None

    def through(
        self, session: AnySession, first: Array | None, factors: Sequence[float]
    ) -> Iterator[Array]:
        """Yield each step's objectives, (batch,); factors: of the learning rate, one per step."""
        padded = [*self.group, *[self.group[0]] * (self.batch - len(self.group))]
        keys = [request.key for request in padded]
        start = self._start(padded) if first is None else np.repeat(first, self.batch, 0)
        weights = target_weights([r.target for r in padded], self.model.classes)
        constants = {"weights": weights * np.float32(self.options.objective_weight)}
        if self.options.diversity:
            own = [r.target if i < len(self.group) else None for i, r in enumerate(padded)]
            constants["same"] = alike(own)
        self.loop = session.loop(adam_state("coefficients", start), constants)
        for step, factor in enumerate(factors):
            drawn = step_draws(self.model, keys, self.options, self.seed, step)
            self.loop.step({**drawn, **adam_draws(step, factor)})
            yield self.loop.output("score")

    def coefficients(self) -> Array:
        """What the group has come to, (len(group), planes, height, width)."""
        assert self.loop is not None
        return self.loop.state("coefficients")[: len(self.group)]

    def _start(self, requests: Sequence[Request]) -> Array:
        spread = NOISY_SPREAD if self.options.start == "noise" else FIRST_SPREAD
        return np.stack([_first(self.model, self.options, self.seed, r.key) for r in requests]) * (
            np.float32(spread)
        )


def batches_of(
    requests: Sequence[Request], batch: int, options: PrototypeOptions
) -> list[list[Request]]:
    """Return the requests in batches; with a diversity those of one target stay together."""
    if not options.diversity:
        return [list(requests[i : i + batch]) for i in range(0, len(requests), batch)]
    groups: list[list[Request]] = []
    for request in requests:
        siblings = [g for g in groups if g[0].target == request.target]
        if siblings:
            siblings[0].append(request)
        else:
            groups.append([request])
    return groups


def _first(model: Model, options: PrototypeOptions, seed: int, key: Key) -> Array:
    channels, height, width = model.picture_shape
    shape = (coefficient_channels(channels, options), height, width)
    return generator(seed, "prototype start", *key).standard_normal(shape, np.float32)


def _even_start(run: Run, options: PrototypeOptions, seed: int, spread: float) -> Array:
    """Coefficients, (1, planes, height, width), of a picture on which all classes are equal."""
    model, options = run.model, options.model_copy(update={"middle": 0.0})
    session = run.load(step_graph(model, 1, options, spread, objective="even"))
    start = _first(model, options, seed, ()) * np.float32(FIRST_SPREAD)
    loop = session.loop(adam_state("coefficients", start[None]), {})
    for step, factor in enumerate(settling(max(options.steps // 2, 1))):
        loop.step({**step_draws(model, [()], options, seed, step), **adam_draws(step, factor)})
    return loop.state("coefficients")


class _Painter:
    """The picture of one prototype as it is, neither moved nor noisy."""

    def __init__(self, run: Run, options: PrototypeOptions) -> None:
        op = Emitter(new_graph(), "painter")
        channels, height, width = run.model.picture_shape
        planes = coefficient_channels(channels, options)
        coefficients = new_input(op.graph, "coefficients", (1, planes, height, width))
        painted = paint(op, coefficients, channels, options)
        self._transparent = painted.alpha is not None
        op.graph.outputs.append(over(op, painted, options.background or 0.0))
        if painted.alpha is not None:
            op.graph.outputs.extend([op.Identity(painted.colour), op.Identity(painted.alpha)])
        self._session = run.load(op.graph)
        self._equalise = options.equalise

    def __call__(self, coefficients: Array) -> Painting:
        found = self._session.run({"coefficients": coefficients[None]})
        picture = equalised(found[0][0], self._equalise)
        if not self._transparent:
            return Painting(picture)
        return Painting(picture, colour=found[1][0], alpha=found[2][0])


def _chosen(
    request: Request, stages: Sequence[Stage], options: PrototypeOptions
) -> tuple[Painting, int] | None:
    """The best of the pictures evaluated, or the last; None where none was."""
    if not stages:
        return None
    own = [options.objective_weight * s.logits[list(request.target)].mean() for s in stages]
    best = stages[int(np.argmax(own)) if options.keep_best else -1]
    return best.painting, best.step


def _logged(step: int, options: PrototypeOptions) -> bool:
    """Whether a picture is evaluated after so many steps."""
    return options.log_every > 0 and (step % options.log_every == 0 or step == options.steps)


def _parts(curve: Array) -> tuple[float, ...]:
    parts = np.array_split(curve, min(CURVE_POINTS, len(curve)))
    return tuple(float(part.mean()) for part in parts)
