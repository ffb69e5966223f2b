"""Several batches of prototypes at once, each on one thread, beside one batch on all threads.

    python -m benchmarks.at_once MODEL [--threads 2] [--batch 2] [--turns 3]

The same steps of the same prototypes of an ONNX file, on one loaded graph each. The two take turns,
so that a machine that slows down slows both; the figures are the medians of seconds a picture, and
their ratio.
"""

import argparse
import statistics
import threading
import time
from pathlib import Path

import numpy as np

from leap_audit.config import PrototypeOptions
from leap_audit.gradient.training import adam_draws, adam_state
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.measure.prototype import settled
from leap_audit.measure.prototype.image import coefficient_channels
from leap_audit.measure.prototype.objective import target_weights
from leap_audit.measure.prototype.step import step_draws, step_graph
from leap_audit.run import Session, choose_provider

__all__ = ["Steps"]

WARM_UP = 2


class Steps:
    """Batches of prototypes on one loaded graph, each batch in a thread of its own."""

    def __init__(self, model: Model, batch: int, threads: int, at_once: int) -> None:
        self._model, self._batch, self._at_once = model, batch, at_once
        self._options = settled(PrototypeOptions(), model.picture_shape)
        graph = step_graph(model, batch, self._options, spread=1.0)
        self._session = Session(graph, model.provider, threads)

    def seconds(self, steps: int) -> float:
        """Return the seconds that a step takes for each picture that the model is shown."""
        meeting = threading.Barrier(self._at_once + 1)
        workers = [
            threading.Thread(target=self._run, args=(number, steps, meeting))
            for number in range(self._at_once)
        ]
        for worker in workers:
            worker.start()
        meeting.wait()  # all are warm
        started = time.perf_counter()
        for worker in workers:
            worker.join()
        pictures = steps * self._batch * self._at_once * (self._options.views or 1)
        return (time.perf_counter() - started) / pictures

    def _run(self, number: int, steps: int, meeting: threading.Barrier) -> None:
        model, options = self._model, self._options
        channels, height, width = model.picture_shape
        shape = (self._batch, coefficient_channels(channels, options), height, width)
        first = np.random.default_rng(number).standard_normal(shape, np.float32) * np.float32(0.01)
        targets = [(i % model.classes,) for i in range(self._batch)]
        weights = {"weights": target_weights(targets, model.classes)}
        loop = self._session.loop(adam_state("coefficients", first), weights)
        for step in range(WARM_UP + steps):
            if step == WARM_UP:
                meeting.wait()
            keys = [(number, item) for item in range(self._batch)]
            loop.step({**step_draws(model, keys, options, 0, step), **adam_draws(step, 1.0)})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.at_once")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=2, help="prototypes in a batch")
    parser.add_argument("--steps", type=int, default=4, help="steps of each batch in a turn")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    model = load(asked.model, provider=choose_provider("cpu"))
    one = Steps(model, asked.batch, asked.threads, 1)
    several = Steps(model, asked.batch, 1, asked.threads)
    rows = [
        (one.seconds(asked.steps * asked.threads), several.seconds(asked.steps))
        for _ in range(asked.turns)
    ]
    alone, together = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio = statistics.median(b / a for a, b in rows)
    print(
        f"{asked.model.name}: one batch on {asked.threads} threads {alone * 1e3:.1f} ms a picture, "
        f"{asked.threads} batches on one thread each {together * 1e3:.1f} ms: {ratio:.2f} of it"
    )


if __name__ == "__main__":
    main()
