"""The progress interface: a plan, notes, warnings, and stages with a count."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Advance", "Progress", "Silent"]


class Advance(Protocol):
    """Call it with the number of units of work that have just been finished."""

    def __call__(self, units: int = 1) -> None: ...


class Progress(Protocol):
    """The listener of an audit. The command line draws it; the library is silent by default."""

    def note(self, text: str) -> None:
        """Show one line of what was found, assumed or chosen."""

    def warn(self, text: str) -> None:
        """Show one line that the reader should not miss."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Enter a stage of `total` units of work and yield the function that counts them."""


class Silent:
    """A listener that shows nothing."""

    def note(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:  # noqa: ARG002
        def advance(units: int = 1) -> None:
            pass

        yield advance
