"""How long the earlier runs of an audit took, of which it uses what they finished."""

import time
from pathlib import Path

__all__ = ["Runs"]

FILE = "runs.txt"
CHOICES = ("batches-", "plan-")
"""How the keys of what was chosen begin, which took no time worth counting."""


class Runs:
    """The runs whose finished units lie in a folder, and the clock of the present one.

    A line for each unit, written once it is finished: number of the run, its seconds until then,
    and the unit's key. So a run that is killed has lost no more than the unit at hand.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._began = time.monotonic()
        self._seconds: dict[int, float] = {}
        self._run_of: dict[str, int] = {}
        self._used: set[int] = set()
        try:
            text = self._file.read_text("ascii")
        except (OSError, ValueError):
            text = ""
        for line in text.split("\n"):
            try:
                which, elapsed, *key = line.split()
                number, seconds = int(which), float(elapsed)
            except ValueError:  # a line of which the disk took a part
                continue
            self._seconds[number] = max(seconds, self._seconds.get(number, 0.0))
            self._run_of |= dict.fromkeys(key, number)
        self._number = max(self._seconds, default=0) + 1

    def finished(self, key: str = "") -> None:
        """Note that a unit, or without a key the run, is finished."""
        self._run_of.pop(key, None)
        elapsed = time.monotonic() - self._began
        with self._file.open("a", encoding="ascii") as stream:
            stream.write(f"\n{self._number} {elapsed:.2f} {key}")

    def use(self, key: str) -> None:
        """Note that the result of a unit is used."""
        if key in self._run_of and not key.startswith(CHOICES):
            self._used.add(self._run_of[key])

    @property
    def earlier(self) -> tuple[float, ...]:
        """Return the seconds of each earlier run of which something is used."""
        return tuple(self._seconds[number] for number in sorted(self._used))
