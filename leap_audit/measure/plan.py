"""How much work an audit is: how many items go together, and how long it will take."""

import math
import time
from dataclasses import dataclass

import numpy as np

from leap_audit.config import AuditOptions
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.model import Model
from leap_audit.measure.run import Run
from leap_audit.run.providers import free_memory

__all__ = [
    "Batches",
    "Plan",
    "choose_batches",
    "expected_seconds",
    "logit_spread",
    "plan_of",
]

SHARE = 0.5
"""Share of the free memory that a step may take."""
COPIES = 3
"""A step holds each activation, its gradient, and about one more tensor of its size."""
BYTES = 4
SMALL_PICTURE, MANY, FEW = 100 * 100, 64, 8
"""On a processor, larger batches of large pictures only evict one another from the cache."""
STEP_COST = 3.0
"""A step of one item, forward, back and update, in forward passes (measured, 2.4 to 3.1)."""
TIMED = 3


@dataclass(frozen=True)
class Batches:
    """How many items each stage computes together."""

    prototypes: int
    """In one view each or in several: the model then sees so many times as many pictures."""
    isolations: int
    predictions: int


def choose_batches(model: Model, views: int, wanted: int = 0) -> Batches:
    """Return the batches that fit the free memory; `wanted` overrides the choice.

    views: how many pictures of a prototype a step looks at.
    """
    if not model.batchable:
        return Batches(1, 1, 1)
    if wanted:
        return Batches(max(1, wanted // views), max(1, wanted // 2), wanted)
    numbers = sum(math.prod(static_shape(y)) for node in model.graph.graph for y in node.outputs)
    fits = int(free_memory(model.provider) * SHARE / (numbers * BYTES * COPIES))
    height, width = model.preprocessing.input_size
    few = model.provider.device == "cpu" and height * width > SMALL_PICTURE
    most = min(max(fits, 1), FEW if few else MANY)
    power = 2 ** int(math.log2(most))  # so that a little less free memory changes nothing
    # Pictures that are only evaluated come in any number: where a batch is no faster, filling
    # one up would be wasted.
    return Batches(max(1, power // views), max(1, power // 2), 1 if few else power)


def expected_seconds(run: Run, prototype_views: int, isolation_steps: int) -> float:
    """Return the seconds that so many item-steps will take, from the time of a forward pass.

    prototype_views: the pictures that all steps of all prototypes show the model. An isolation's
    step shows it two, the kept and the erased.
    """
    pictures = np.zeros((run.batch, *run.model.picture_shape), np.float32)
    run.logits(pictures)
    passes = []
    for _ in range(TIMED):
        started = time.perf_counter()
        run.logits(pictures)
        passes.append(time.perf_counter() - started)
    each = float(np.median(passes)) / run.batch
    return each * STEP_COST * (prototype_views + 2 * isolation_steps)


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

    @property
    def sentence(self) -> str:
        """Return the plan in words."""
        seeds = f" from {self.seeds} seeds" if self.seeds > 1 else ""
        views = f"of {self.views} views " if self.views > 1 else ""
        return (
            f"Plan: {self.classes} of {self.classes_in_all} classes{seeds}, {self.steps} steps "
            f"{views}each; {self.isolations} isolations, {self.isolation_steps} steps each: about "
            f"{_duration(self.seconds)}."
        )


def plan_of(run: Run, options: AuditOptions, classes: int, isolations: int) -> Plan:
    """Return the plan of an audit whose options leave nothing open."""
    steps, views = options.prototype.steps, options.prototype.views or 1
    prototypes = classes * options.seeds
    return Plan(
        classes=classes,
        classes_in_all=run.model.classes,
        seeds=options.seeds,
        steps=steps,
        views=views,
        isolations=isolations,
        isolation_steps=options.isolation.steps,
        seconds=expected_seconds(
            run, prototypes * steps * views, isolations * options.isolation.steps
        ),
    )


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def logit_spread(run: Run, seed: int) -> float:
    """Return the standard deviation of the logits over random pictures and classes.

    A penalty in units of the logit is weighed with it, so that one weight fits every model.
    """
    rng = np.random.default_rng([seed, 1])
    logits = run.logits(rng.random((4, *run.model.picture_shape), np.float32))
    return float(np.std(np.asarray(logits, np.float64), axis=1).mean())
