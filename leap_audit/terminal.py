"""Draw progress and messages on stderr.

On a terminal, bars with the time left; elsewhere plain lines, now and then. Text that comes from
a model or a file is shown without its control characters and is never read as markup.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from leap_audit.progress import Advance
from leap_audit.text.filenames import clean

__all__ = ["Terminal", "duration"]

EVERY = 10.0
"""Seconds between two lines of progress where nothing can be animated."""


def duration(seconds: float) -> str:
    """Return a time in words: '40 s', '2 min 5 s', '3 h 10 min'."""
    whole = round(seconds)
    if whole < 1:
        return "less than 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def remaining(seconds: float) -> str:
    """Return how long something still takes in words: 'about 40 s left'."""
    about = "about " if round(seconds) >= 1 else ""
    return f"{about}{duration(seconds)} left"


class Terminal:
    """A `Progress` that draws on stderr. `quiet` leaves warnings and errors alone standing."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        animated: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._quiet = quiet
        dumb = self._console.is_dumb_terminal
        self._animated = sys.stderr.isatty() and not dumb if animated is None else animated
        self._clock = clock
        self._bars: Progress | None = None

    def note(self, text: str) -> None:
        if not self._quiet:
            self._line("", "", text)

    def warn(self, text: str) -> None:
        self._line("warning: ", "bold yellow", text)

    def error(self, text: str) -> None:
        self._line("error: ", "bold red", text)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        shown = clean(name)
        if self._quiet:
            yield _uncounted
        elif self._animated:
            with self._drawn() as bars:
                task = bars.add_task(shown, total=total)
                yield lambda units=1: bars.advance(task, units)
        else:
            lines = _Lines(shown, total, self._clock, self.note)
            yield lines.advance
            lines.end()

    @contextmanager
    def _drawn(self) -> Iterator[Progress]:
        """Yield the bars on the screen: one set of them, also for a stage inside a stage."""
        if self._bars is not None:
            yield self._bars
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _TimeLeft(),
        )
        with Progress(*columns, console=self._console, speed_estimate_period=60) as self._bars:
            try:
                yield self._bars
            finally:
                self._bars = None

    def _line(self, label: str, style: str, text: str) -> None:
        line = Text.assemble((label, style), clean(text))
        self._console.print(line, soft_wrap=not self._console.is_terminal)


class _Lines:
    """A stage as plain lines: its begin, how far it is every `EVERY` seconds, its end."""

    def __init__(
        self, name: str, total: int, clock: Callable[[], float], show: Callable[[str], None]
    ) -> None:
        self._name, self._total, self._clock, self._show = name, total, clock, show
        self._done = 0
        self._begun = self._shown = clock()
        self._first: tuple[float, int] | None = None
        show(f"{name} ...")

    def advance(self, units: int = 1) -> None:
        self._done += units
        now = self._clock()
        # What comes before the first unit, such as loading a graph, comes once.
        began, before = self._first = self._first or (now, self._done)
        if now - self._shown < EVERY or not before < self._done < self._total:
            return
        self._shown = now
        left = (now - began) * (self._total - self._done) / (self._done - before)
        self._show(f"{self._name}: {self._done} of {self._total}, {remaining(left)}")

    def end(self) -> None:
        taken = self._clock() - self._begun
        if taken >= 1:
            self._show(f"{self._name}: done in {duration(taken)}")


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(duration(task.finished_time or 0), style="dim")
        left = task.time_remaining
        return Text("" if left is None else remaining(left), style="dim")


def _uncounted(units: int = 1) -> None:
    """Count nothing: nobody is watching."""
