"""Where units of work are performed: the one interface of it, and this process."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
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


@dataclass
class InThisProcess:
    """The executor that computes one unit after the other, here."""

    loaded: Loaded
    workers: int = 1

    def results(self, units: Sequence[Unit[Any]], advance: Advance) -> Results:
        """Yield each of the units with its result, in their order."""
        for unit in units:
            yield unit, perform(unit, self.loaded, advance)


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
