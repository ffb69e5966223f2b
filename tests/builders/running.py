"""How tests run a model, and an audit: with too few steps, and stopped half-way."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx

from leap_audit.progress import Advance, Silent
from leap_audit.run.session import Array
from tests.builders.classifiers import CPU

TINY: dict[str, Any] = {
    "prototype": {"steps": 2},
    "isolation": {"steps": 2, "grid": 4, "per_prototype": 2},
    "experiments": {"hosts": 6, "carriers": 1, "search_steps": 1, "search_pictures": 2},
    "threads": 1,
}
"""Options of an audit that passes through everything in seconds."""


class Interrupted(Silent):
    """A listener during which somebody presses Ctrl-C after so many units of one stage."""

    def __init__(self, stage: str, after: int) -> None:
        self._stage = stage
        self._left = after

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:  # noqa: ARG002
        def advance(units: int = 1) -> None:
            if name == self._stage:
                self._left -= units
                if self._left <= 0:
                    raise KeyboardInterrupt

        yield advance


class Watching(Silent):
    """A listener that keeps the warnings, and how much of each stage is left."""

    def __init__(self) -> None:
        self.warned: list[str] = []
        self.left: dict[str, int] = {}

    def warn(self, text: str) -> None:
        self.warned.append(text)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        self.left[name] = total

        def advance(units: int = 1) -> None:
            self.left[name] -= units

        yield advance


def answers(proto: onnx.ModelProto, picture: Array) -> list[Array]:
    """Return what a model gives for one picture, by ONNX Runtime alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=[CPU.name])
    found = session.run(None, {proto.graph.input[0].name: picture[None]})
    return [each[0] for each in found]
