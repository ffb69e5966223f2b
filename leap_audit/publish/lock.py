"""A lock on a file, which the system releases when its process ends, however it ends."""

import os
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows has none: nothing is ever taken to be abandoned there
    fcntl = None  # type: ignore[assignment]

__all__ = ["Lock"]


class Lock:
    """A held lock. Raises OSError where the file cannot be made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("wb")
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    @classmethod
    def attempt(cls, path: Path) -> "Lock | None":
        """Return a held lock; None where another process holds it. Raises OSError."""
        if fcntl is None:
            return cls(path)
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise BlockingIOError  # removed by its holder since it was opened
        except (BlockingIOError, FileNotFoundError):
            file.close()
            return None
        lock = cls.__new__(cls)
        lock._path, lock._file = path, file
        return lock

    def release(self) -> None:
        """Remove the file and let go."""
        if fcntl is None:
            self._file.close()  # there an open file cannot be removed
        self._path.unlink(missing_ok=True)
        self._file.close()

    @staticmethod
    def is_abandoned(path: Path) -> bool:
        """Return whether the file is there and no living process holds its lock."""
        if fcntl is None:
            return False
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
