"""The plan of an audit: how many items go together, how much is done, how long it will take."""

import math
from dataclasses import dataclass

import numpy as np

from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.model import Model
from leap_audit.measure.run import Run
from leap_audit.run.providers import free_memory, processors

__all__ = [
    "Batches",
    "Plan",
    "choose_batches",
    "even_batch",
    "logit_spread",
    "working_memory",
]

SHARE = 0.5
"""Share of the free memory that a step may take."""
COPIES = 3
"""A step holds each activation, its gradient, and about one more tensor of its size."""
BYTES = 4
BASE = 400_000_000
"""Bytes of a process before it computes."""
MOST_WORKERS = 8
"""Batches at once, at most: each has its own activations, and small audits have few batches."""
SMALL_PICTURE, MANY, FEW = 100 * 100, 64, 2
"""Pictures at once. On a processor more of large ones only evict one another from the cache. Of two
at once a step of MobileNetV2 takes a fifth less for each than of eight, one of EfficientNet-Lite0 a
quarter, of SqueezeNet and ResNet-50 5 and 3 % less."""


@dataclass(frozen=True)
class Batches:
    """How many items each stage computes together."""

    prototypes: int
    """In one view each or in several: the model then sees so many times as many pictures."""
    isolations: int
    predictions: int
    workers: int = 1
    """Batches that are computed at once in one process."""
    threads: int = 0
    """CPU threads that each of them takes; 0: one per core."""


def choose_batches(model: Model, views: int, wanted: int = 0, threads: int = 0) -> Batches:
    """Return the batches that fit the free memory; `wanted` overrides the choice.

    views: how many pictures of a prototype a step looks at. threads: CPU threads in all; 0 takes
    one per core. Several batches at once, each on few threads, leave no core waiting for another
    inside of an operator: on two cores MobileNetV2 takes two thirds of the time that one batch
    on both takes.
    """
    workers, each = _shared(model, threads)
    if not model.batchable:
        return Batches(1, 1, 1, workers, each)
    if wanted:
        return Batches(max(1, wanted // views), max(1, wanted // 2), wanted, workers, each)
    fits = int(free_memory(model.provider) * SHARE / _bytes_of_picture(model) / workers)
    height, width = model.preprocessing.input_size
    few = model.provider.device == "cpu" and height * width > SMALL_PICTURE
    most = min(max(fits, 1), FEW if few else MANY)
    power = 2 ** int(math.log2(most))  # so that a little less free memory changes nothing
    # Pictures that are only evaluated come in any number: where a batch is no faster, filling
    # one up would be wasted.
    return Batches(max(1, power // views), max(1, power // 2), 1 if few else power, workers, each)


def _shared(model: Model, threads: int) -> tuple[int, int]:
    """How many batches are computed at once, and the CPU threads of each."""
    if model.provider.device != "cpu" or model.outside is not None:
        return 1, threads
    cores = threads or processors()
    each = -(-cores // MOST_WORKERS)
    return max(1, cores // each), each


def even_batch(count: int, most: int, workers: int) -> int:
    """Return the size of the batches in which so many items are soonest finished, 1..most.

    A batch that is not full takes as long as a full one, and `workers` batches are computed at
    once: 10 items are finished sooner in 2 batches of 5 than in 3 of up to 4. Of several sizes
    that take as long, the largest.
    """

    def rounds(size: int) -> int:
        return math.ceil(math.ceil(count / size) / workers) * size

    return min(range(1, max(1, min(most, count)) + 1), key=lambda size: (rounds(size), -size))


def working_memory(model: Model, batches: Batches, views: int) -> int:
    """Return the bytes that a process takes to measure a model in these batches, about.

    views: how many pictures of a prototype a step looks at.
    """
    most = max(batches.prototypes * views, batches.isolations * 2, batches.predictions)
    weights = model.identity.parameters * BYTES
    return BASE + COPIES * weights + most * batches.workers * _bytes_of_picture(model)


def _bytes_of_picture(model: Model) -> int:
    """What a step holds for each picture."""
    numbers = sum(math.prod(static_shape(y)) for node in model.graph.graph for y in node.outputs)
    return numbers * BYTES * COPIES


@dataclass(frozen=True)
class Plan:
    """How much work an audit is, and how long it will take."""

    classes: int
    """How many classes are audited."""
    classes_in_all: int
    seeds: int
    """Prototypes of each class."""
    steps: int
    """Of each prototype."""
    views: int
    """Pictures of a prototype that a step looks at."""
    isolations: int
    isolation_steps: int
    seconds: float
    """Expected on this machine."""
    low: float
    high: float
    """The range of it that is likely."""
    multiply_adds: int
    """Of the model, for one picture."""
    left_out: tuple[str, ...] = ()
    """What the time does not allow, each as 'x instead of y'."""
    limit: float | None = None
    """Seconds that it was to fit; None where nothing limits it."""
    next_seconds: float = 0.0
    """How much longer the next larger plan would take; 0 where there is none."""
    next_adds: tuple[str, ...] = ()
    """What that plan would add."""
    changed: int = 0
    """Changed pictures that an encoder is shown, each change counted."""
    likened: int = 0
    """Regions that make two pictures alike, of an encoder."""

    @property
    def sentence(self) -> str:
        """Return the plan in words."""
        seeds = f" from {self.seeds} seeds" if self.seeds > 1 else ""
        views = f"of {self.views} views " if self.views > 1 else ""
        vectors = ""
        if self.changed:
            vectors = f"; vectors of {self.changed} changed pictures"
            vectors += f", and {self.likened} regions that make two alike" if self.likened else ""
        return (
            f"Plan: {self.classes} of {self.classes_in_all} classes{seeds}, {self.steps} steps "
            f"{views}each; {self.isolations} isolations, {self.isolation_steps} steps each{vectors}"
            f": about {_duration(self.low)} to {_duration(self.high)}."
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return the plan in words, with what it leaves out and what more time would add."""
        said = [self.sentence]
        if self.limit is not None and self.left_out:
            said.append(f"To fit {_duration(self.limit)}: {'; '.join(self.left_out)}.")
        if self.limit is not None and self.high > self.limit and not self.fits:
            said.append("Nothing more can be left out: it is expected to take longer than that.")
        if self.next_adds:
            said.append(
                f"About {_duration(self.next_seconds)} more would change "
                f"{'; '.join(self.next_adds)}."
            )
        return tuple(said)

    @property
    def fits(self) -> bool:
        """Return whether it is expected to end within the limit, if there is one."""
        return self.limit is None or self.seconds <= self.limit


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def logit_spread(run: Run, seed: int) -> float:
    """Return the standard deviation of the logits over random pictures and classes.

    A penalty in units of the logit is weighed with it, so that one weight fits every model.
    """
    rng = np.random.default_rng([seed, 1])
    logits = run.logits(rng.random((4, *run.model.picture_shape), np.float32))
    return float(np.std(np.asarray(logits, np.float64), axis=1).mean())
