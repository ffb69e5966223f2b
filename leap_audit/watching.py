"""Show the progress of a Python call to whoever waits: bars in a notebook, lines elsewhere."""

import html
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from leap_audit.progress import Advance, Progress
from leap_audit.terminal import Terminal
from leap_audit.text.filenames import clean

__all__ = ["Cell", "default_progress"]


def default_progress() -> Progress:
    """Return the listener of a call that named none: a notebook's cell, or the terminal."""
    return Cell(show) if (show := _notebook()) else Terminal()


def _notebook() -> "Callable[[str, Any], Any] | None":
    """Return how a running notebook shows HTML and replaces what it showed; else None."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython
    from IPython.display import HTML, display

    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return None

    def show(page: str, handle: Any) -> Any:
        if handle is None:
            return display(HTML(page), display_id=True)
        handle.update(HTML(page))
        return handle

    return show


class Cell:
    """A `Progress` below the cell of a notebook: one bar, the warnings, and the last note.

    show: called with HTML and what it returned before, or None the first time.
    """

    def __init__(self, show: "Callable[[str, Any], Any]") -> None:
        self._show = show
        self._handle: Any = None
        self._warnings: list[str] = []
        self._note = ""

    def note(self, text: str) -> None:
        self._note = clean(text)
        self._draw(self._note)

    def warn(self, text: str) -> None:
        self._warnings.append(clean(text))
        self._draw(self._note)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(units: int = 1) -> None:
            nonlocal done
            done += units
            self._draw(clean(name), done, total)

        self._draw(clean(name), 0, total)
        yield advance

    def _draw(self, text: str, done: int = 0, total: int = 0) -> None:
        bar = (
            f'<progress value="{done}" max="{total}"></progress> {done} of {total} '
            if total
            else ""
        )
        warned = "".join(f"<br>Warning: {html.escape(each)}" for each in self._warnings)
        page = f"<div>{bar}{html.escape(text)}{warned}</div>"
        self._handle = self._show(page, self._handle)
