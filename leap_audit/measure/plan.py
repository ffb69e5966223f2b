"""How much work an audit is: how many items go together, and how long it will take."""

import math
import time
from dataclasses import dataclass

import numpy as np

from leap_audit.ingest.canonical import static_shape
from leap_audit.ingest.model import Model, forward_graph
from leap_audit.measure.forward import Classifier
from leap_audit.run.providers import free_memory

__all__ = ["Batches", "choose_batches", "expected_seconds", "logit_spread"]

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
    graph = forward_graph(model, 1).graph
    numbers = sum(math.prod(static_shape(y)) for node in graph for y in node.outputs)
    fits = int(free_memory(model.provider) * SHARE / (numbers * BYTES * COPIES))
    height, width = model.preprocessing.input_size
    few = model.provider.device == "cpu" and height * width > SMALL_PICTURE
    most = min(max(fits, 1), FEW if few else MANY)
    power = 2 ** int(math.log2(most))  # so that a little less free memory changes nothing
    # Pictures that are only looked at come in any number: where a batch is no faster, filling
    # one up would be wasted.
    return Batches(max(1, power // views), max(1, power // 2), 1 if few else power)


def expected_seconds(classifier: Classifier, prototype_views: int, isolation_steps: int) -> float:
    """Return the seconds that so many item-steps will take, from the time of a forward pass.

    prototype_views: the pictures that all steps of all prototypes show the model. An isolation's
    step shows it two, the kept and the erased.
    """
    pictures = np.zeros((classifier.batch, *classifier.model.picture_shape), np.float32)
    classifier.logits(pictures)
    passes = []
    for _ in range(TIMED):
        started = time.perf_counter()
        classifier.logits(pictures)
        passes.append(time.perf_counter() - started)
    each = float(np.median(passes)) / classifier.batch
    return each * STEP_COST * (prototype_views + 2 * isolation_steps)


def logit_spread(classifier: Classifier, seed: int) -> float:
    """Return the standard deviation of the logits over random pictures and classes.

    A penalty in units of the logit is weighed with it, so that one weight fits every model.
    """
    rng = np.random.default_rng([seed, 1])
    logits = classifier.logits(rng.random((4, *classifier.model.picture_shape), np.float32))
    return float(np.std(np.asarray(logits, np.float64), axis=1).mean())
