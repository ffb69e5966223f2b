"""A network at its own inputs: arrays as the network takes them, without preprocessing.

What explains a network of another library takes arrays, not photographs: `Network` opens any source
for arrays of a size, and `explain_inputs` explains each of them by a method of the registry.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from leap_audit.config import Options
from leap_audit.errors import PictureRefused, PreprocessingRefused
from leap_audit.measure.methods import Method
from leap_audit.measure.run import Run
from leap_audit.pipeline.explain import (
    PictureExplanation,
    chosen_methods,
    explained,
    opened,
    subject_of,
)
from leap_audit.run.session import Array

__all__ = ["Network", "explain_inputs"]

Size = tuple[int, int, int]
"""Channels, height and width."""


class Network:
    """A network whose inputs are explained; it is opened once for each size of them.

    source: a file or an object, as `leap_audit.explain` takes it. Its weights are read when an
    input of a size is first seen; make another Network after they have changed. output: the tensor
    that holds the scores; None: chosen. encoder: whether the scores are the features of an encoder.
    """

    def __init__(
        self,
        source: object,
        *,
        output: str | None = None,
        batch: int = 0,
        threads: int = 0,
        encoder: bool = False,
    ) -> None:
        self.source = source
        self.encoder = encoder
        self.output = output
        self._batch, self._threads = batch, threads
        self._runs: dict[Size, Run] = {}

    def run(self, size: Size) -> Run:
        """Return the network ready to run on inputs of (channels, height, width).

        A `Run` of it takes the numbers of an input where others take a picture in 0..1.
        Raises LeapAuditError: it takes no such input, or cannot be read.
        """
        if size not in self._runs:
            more: dict[str, Any] = {}
            if self.output is not None:  # whoever names the scores says that they are of classes
                more = {"output": self.output, "task": "classification"}
            elif self.encoder:
                more = {"task": "embedding"}
            try:
                run, _ = opened(
                    self.source, None, self._batch, self._threads, _as_they_are(size), more=more
                )
            except PreprocessingRefused as error:
                raise PictureRefused(
                    f"x: inputs of {_words(size)} do not fit the model: {error}"
                ) from error
            if run.model.picture_shape != size:
                raise PictureRefused(
                    f"x: inputs of {_words(size)}; the model takes "
                    f"{_words(run.model.picture_shape)}."
                )
            self._runs[size] = run
        return self._runs[size]

    def at_output(self, output: str) -> "Network":
        """Return the network with the scores in another tensor of its graph."""
        return Network(self.source, output=output, batch=self._batch, threads=self._threads)


def explain_inputs(
    run: Run,
    inputs: Array,
    targets: Sequence[Any],
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    baselines: Sequence[Array | None] | None = None,
    seed: int = 0,
) -> list[PictureExplanation]:
    """Return the explanation of each input by the method `name` of the registry.

    inputs: (n, channels, height, width). targets: of each, as of `leap_audit.explain`. baselines:
    for each, (m, channels, height, width), or None: those of the options.

    Raises ConfigRefused: no such method or option, or the model lacks what the method needs.
    """
    method, parsed = _chosen(run, name, options or {})
    several = baselines if baselines is not None else [None] * len(inputs)
    names = tuple(map(str, range(run.model.classes)))
    return [
        explained(run, subject_of(run, x, names, target, x0), method, parsed, seed=seed)
        for x, target, x0 in zip(inputs, targets, several, strict=True)
    ]


def _chosen(run: Run, name: str, options: Mapping[str, Any]) -> tuple[Method, Options]:
    (chosen,) = chosen_methods(run.model, (name,), {name: options})
    return chosen


def _as_they_are(size: Size) -> dict[str, Any]:
    """The preprocessing that leaves inputs as they are."""
    channels, height, width = size
    return {
        "channel_order": {1: "GRAY", 3: "RGB"}.get(channels, "BANDS"),
        "range": (0.0, 1.0),
        "mean": [0.0] * channels,
        "std": [1.0] * channels,
        "input_size": (height, width),
    }


def _words(size: Sequence[int]) -> str:
    channels, height, width = size
    return f"{channels} channels at {height} × {width}"
