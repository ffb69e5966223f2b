"""The minutes that an audit may take, and what stops its work once they are over."""

import time
from dataclasses import dataclass, field

from leap_audit.progress import Advance

__all__ = ["Deadline", "TimeIsUp"]


class TimeIsUp(Exception):
    """The minutes that an audit may take are over."""


@dataclass(frozen=True)
class Deadline:
    """When an audit began, and how long it may take."""

    minutes: float | None = None
    """None: as long as it likes."""
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Return the seconds since the audit began."""
        return time.monotonic() - self.began

    def timed(self, advance: Advance) -> Advance:
        """Return what advances, and raises TimeIsUp once the minutes are over."""

        def counted(units: int = 1) -> None:
            advance(units)
            if self.minutes is not None and self.elapsed > self.minutes * 60:
                raise TimeIsUp

        return counted
