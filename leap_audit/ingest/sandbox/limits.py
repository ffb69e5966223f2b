"""Set the limits of a child process that opens a foreign file: memory, time, output."""

import os
from dataclasses import dataclass
from pathlib import Path

from leap_audit.errors import ConfigRefused

__all__ = ["GIB", "MEMORY", "SECONDS", "Limits", "installed_memory"]

MEMORY = "LEAP_AUDIT_MEMORY"
SECONDS = "LEAP_AUDIT_SECONDS"
GIB = 1 << 30
OPEN_FILES = 1024


@dataclass(frozen=True)
class Limits:
    """The limits of a child process."""

    memory: int
    """Bytes that are its own to write. On Windows nothing holds this limit."""
    seconds: float
    """From a question to its answer."""
    written: int = GIB
    """Bytes that it may keep in the one folder it writes to, and in a file there."""
    files: int = OPEN_FILES
    """Descriptors. On Windows nothing holds this limit."""
    answers: int = 1
    """How many questions it is asked: its processor time is limited for all of them together."""

    @property
    def processor(self) -> int:
        """Seconds of processor time: what all cores do in its time, and a minute for its start.

        The parent ends a child that is late; this holds where the parent is stopped itself.
        """
        cores = os.cpu_count() or 1
        return int(min(60 + self.seconds * cores * self.answers, 1 << 30))

    @property
    def addresses(self) -> int:
        """Bytes of address space: what is reserved and never written counts in it.

        Threads reserve most: each a stack and an arena, for some libraries on every core.
        """
        return 2 * self.memory + 8 * GIB + (os.cpu_count() or 1) * (288 << 20)

    @classmethod
    def for_file(cls, path: str | os.PathLike[str] | int) -> "Limits":
        """Return limits for reading a file, a folder, or so many bytes.

        Memory: 4 GiB and six times the bytes, for a graph is copied, rewritten and run beside the
        original, and 16 MiB for the stacks of each processor's threads; at most what the machine
        has. Time: 300 s and 1 s a MB, at most an hour. The files beside a model count, as its
        weights may lie in them. LEAP_AUDIT_MEMORY (GiB) and LEAP_AUDIT_SECONDS win over both.

        Raises ConfigRefused: one of these is not a number above zero.
        """
        size = path if isinstance(path, int) else _size(Path(path))
        memory = 4 * GIB + 6 * size + (os.cpu_count() or 1) * (16 << 20)
        memory = min(memory, installed_memory() or memory)
        return cls(
            int(_from_environment(MEMORY, memory / GIB) * GIB),
            _from_environment(SECONDS, min(300 + size / 1e6, 3600.0)),
            written=max(GIB, 3 * size),  # copies of what was checked, for a framework to open
        )


def installed_memory() -> int:
    """Return the bytes of memory that the machine has; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not a POSIX system
        return 0


def _size(path: Path) -> int:
    """Return the bytes of a file and of what lies beside it, or of all in a folder; 0: nothing."""
    try:
        if path.is_dir():
            return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        beside = (f for f in path.resolve().parent.iterdir() if f.suffix != ".onnx")
        return path.stat().st_size + sum(f.stat().st_size for f in beside if f.is_file())
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return 0  # the function itself says what cannot be read


def _from_environment(name: str, otherwise: float) -> float:
    text = os.environ.get(name, "")
    if not text:
        return otherwise
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigRefused(f"{name}={text}: is not a number above zero; change or unset it.")
    return number
