"""Arrays on the disk instead of in memory."""

import mmap
import os
import tempfile
import weakref
from pathlib import Path

import numpy as np

from leap_audit.run.session import Array

__all__ = ["Spool", "as_it_is"]

SMALL = 4096
"""Bytes of an array that stays in memory."""
CHUNK = 64_000_000
"""Bytes of the file that are mapped at once: each takes a file descriptor."""
ALIGNED = 64
"""Bytes that an array begins at a multiple of."""


def as_it_is(array: Array) -> Array:
    """Return the array: what stands for `Spool.keep` where memory is enough."""
    return array


class Spool:
    """A file without a name that holds arrays, and is gone with the process.

    What was read of it is memory that the system takes back when it needs it, so that thousands of
    pictures do not fill the memory.
    """

    def __init__(self, folder: Path) -> None:
        # Where a file in use cannot be without a name, its folder could not be removed.
        where = folder if os.name == "posix" else None
        self._file = tempfile.TemporaryFile(dir=where, buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)  # arrays that are still in use stay mapped
        self._mapped: mmap.mmap | None = None
        self._start = self._used = 0

    def keep(self, array: Array) -> Array:
        """Return the same array, read-only and in the file; a small one as it is.

        Raises OSError: the disk is full.
        """
        if array.nbytes < SMALL or array.dtype.hasobject:
            return array
        array = np.ascontiguousarray(array)
        if self._mapped is None or self._used + array.nbytes > len(self._mapped):
            self._grow(array.nbytes)
        assert self._mapped is not None
        # Written like any file: through a mapping a full disk would end the process.
        self._file.seek(self._start + self._used)
        left = array.reshape(-1).view(np.uint8).data
        while left:
            left = left[self._file.write(left) :]
        kept = np.frombuffer(self._mapped, array.dtype, array.size, self._used)
        self._used += -(-array.nbytes // ALIGNED) * ALIGNED
        return kept.reshape(array.shape)

    def _grow(self, least: int) -> None:
        """Map a new part of the file, of at least so many bytes."""
        if self._mapped is not None:
            self._start += len(self._mapped)
        unit = mmap.ALLOCATIONGRANULARITY
        size = -(-max(CHUNK, least) // unit) * unit
        self._file.truncate(self._start + size)  # takes no room before it is written
        self._mapped = mmap.mmap(
            self._file.fileno(), size, access=mmap.ACCESS_READ, offset=self._start
        )
        self._used = 0
