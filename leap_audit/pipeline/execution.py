"""Where units of work are performed: the one interface of it, and this process."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any, Protocol

from leap_audit.pipeline.parts import Parts
from leap_audit.pipeline.units import Unit
from leap_audit.pipeline.work import Loaded, perform

__all__ = ["Executor", "InThisProcess", "Results", "finish"]

Results = Generator[tuple[Unit[Any], object], None, None]
"""Units with their results."""
Advance = Callable[[int], None]


class Executor(Protocol):
    """What performs units of work."""

    @property
    def loaded(self) -> Loaded:
        """Return the model in this process, where its steps are timed."""

    @property
    def workers(self) -> int:
        """Return how many units are computed at once."""

    def results(self, units: Sequence[Unit[Any]], advance: Advance) -> Results:
        """Yield each of the units with its result as it is finished, in any order.

        advance: called with how many items a step has moved, `unit.steps` for each unit in all.
        What it raises stops the units that are on their way.
        """


class _Stopped(Exception):
    """Another unit, or who waits for the results, has ended the work."""


@dataclass
class InThisProcess:
    """The executor that computes here: one unit after the other, or several at once.

    Units that are computed at once share the sessions of the model, each in a thread of its own.
    """

    loaded: Loaded
    workers: int = 1

    def results(self, units: Sequence[Unit[Any]], advance: Advance) -> Results:
        """Yield each of the units with its result, as it is finished."""
        if self.workers > 1 and len(units) > 1:
            yield from self._at_once(units, advance)
            return
        for unit in units:
            yield unit, perform(unit, self.loaded, advance)

    def _at_once(self, units: Sequence[Unit[Any]], advance: Advance) -> Results:
        stopped, telling = Event(), Lock()

        def advanced(items: int) -> None:
            if stopped.is_set():
                raise _Stopped
            with telling:
                advance(items)

        waiting = iter(units)
        running: dict[Future[object], Unit[Any]] = {}
        with ThreadPoolExecutor(self.workers, "unit") as pool:

            def start() -> None:
                if (unit := next(waiting, None)) is not None:
                    running[pool.submit(perform, unit, self.loaded, advanced)] = unit

            try:
                for _ in range(self.workers):
                    start()
                while running:
                    finished = wait(running, return_when=FIRST_COMPLETED).done
                    # A result is kept before another unit's error ends the work.
                    for future in sorted(finished, key=lambda f: f.exception() is not None):
                        unit, result = running.pop(future), future.result()
                        start()  # before the result is put away, which takes a while
                        yield unit, result
            finally:
                stopped.set()  # those that are on their way end at their next step


def finish(
    units: Iterable[Unit[Any]],
    executor: Executor,
    parts: Parts,
    advance: Advance = lambda _: None,
) -> None:
    """Have the units performed that `parts` lacks, and put each result in as it is finished.

    Whatever stops it, what is finished stays in `parts`.
    """
    missing: dict[str, Unit[Any]] = {}
    for unit in units:
        if unit.key in parts or unit.key in missing:
            advance(unit.steps)
        else:
            missing[unit.key] = unit
    with contextlib.closing(executor.results(list(missing.values()), advance)) as results:
        for unit, result in results:
            parts[unit.key] = result
