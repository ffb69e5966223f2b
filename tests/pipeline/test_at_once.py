"""Several units at once in one process: the same results, and an end that loses nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Barrier
from typing import Any, cast

import pytest

from leap_audit.pipeline import execution
from leap_audit.pipeline.execution import InThisProcess, finish
from leap_audit.pipeline.plain import digest
from leap_audit.pipeline.work import Loaded
from tests.builders.measuring import measured, measuring

SECONDS = 20
"""After which a test that waits for another thread fails."""


@dataclass(frozen=True)
class Counting:
    """A unit of three steps."""

    key: str
    steps: int = 3


def at_once(
    monkeypatch: pytest.MonkeyPatch, perform: Callable[..., object], workers: int = 2
) -> InThisProcess:
    monkeypatch.setattr(execution, "perform", perform)
    return InThisProcess(cast(Loaded, None), workers)


def units(count: int) -> list[Any]:
    return [Counting(str(i)) for i in range(count)]


def test_results_are_those_of_one_after_the_other(sample_models: Any) -> None:
    settings = {"threads": 3, "batch": 1, "seeds": 2}
    first, other = (measuring(sample_models, {}, **settings) for _ in range(2))
    other.executor = InThisProcess(other.executor.loaded, 3)
    measured(first)
    measured(other)
    assert set(first.parts) == set(other.parts)
    for key, result in first.parts.items():
        assert digest(other.parts[key]) == digest(result)


def test_units_run_together(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Barrier(2)

    def perform(unit: Any, _loaded: Any, advance: Callable[[int], None]) -> str:
        meeting.wait(SECONDS)  # raises unless another unit is on its way
        advance(unit.steps)
        return f"done {unit.key}"

    parts: dict[str, object] = {}
    moved: list[int] = []
    finish(units(6), at_once(monkeypatch, perform), parts, moved.append)
    assert parts == {str(i): f"done {i}" for i in range(6)}
    assert sum(moved) == 18


def test_no_more_units_are_started_than_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def perform(unit: Any, _loaded: Any, advance: Callable[[int], None]) -> str:
        started.append(unit.key)
        return unit.key

    results = at_once(monkeypatch, perform).results(units(9), lambda _: None)
    next(results)
    assert len(started) <= 3
    results.close()
    assert len(started) <= 3


def test_an_error_ends_the_others_and_keeps_what_is_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meeting = Barrier(2)
    ended: list[str] = []

    def perform(unit: Any, _loaded: Any, advance: Callable[[int], None]) -> str:
        if unit.key == "0":
            return "done"
        meeting.wait(SECONDS)
        if unit.key == "1":
            raise RuntimeError("broken")
        try:
            while True:
                advance(0)
        finally:
            ended.append(unit.key)

    parts: dict[str, object] = {}
    with pytest.raises(RuntimeError, match="broken"):
        finish(units(9), at_once(monkeypatch, perform), parts)
    assert parts == {"0": "done"}
    assert ended == ["2"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_what_advancing_raises_ends_the_work(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def perform(unit: Any, _loaded: Any, advance: Callable[[int], None]) -> str:
        for _ in range(1000):
            advance(1)
        return unit.key

    def advance(_items: int) -> None:
        raise error

    with pytest.raises(error):
        finish(units(4), at_once(monkeypatch, perform), {}, advance)
