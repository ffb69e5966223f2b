"""Finished units of an audit, kept beside its folder until it is complete.

    photos-audit/            the report
    .photos-audit.parts/     finished units by their keys; its .lock is held while an audit runs

The same command goes on with them after whatever stopped it. Their keys name all that determines
a result, so that units of another model, of other options or versions are never used.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from leap_audit.errors import InputRefused, OutputRefused
from leap_audit.pipeline.parts import Parts, PartsFolder
from leap_audit.pipeline.spool import as_it_is
from leap_audit.progress import Progress
from leap_audit.publish.lock import Lock
from leap_audit.run.session import Array

__all__ = ["KeptParts", "folder_of_parts", "kept_parts"]

LOCK = ".lock"


@dataclass
class KeptParts:
    """The parts of an audit, and their folder; None where they are in memory alone."""

    parts: Parts
    keep: Callable[[Array], Array] = as_it_is
    """What pictures are exchanged for, so that they take no memory (see `Spool`)."""
    folder: Path | None = None
    earlier: Callable[[], tuple[float, ...]] = tuple
    """Returns the seconds of each earlier run of which something is used."""
    complete: bool = False
    """Set once the audit is published whole: then its parts are removed."""


def folder_of_parts(out: Path) -> Path:
    """Return the folder beside `out` that keeps the parts of its audit."""
    return out.with_name(f".{out.name}.parts")


@contextmanager
def kept_parts(out: Path, progress: Progress, *, fresh: bool = False) -> Iterator[KeptParts]:
    """Yield the parts of the audit that is written to `out`.

    They stay where the audit is not complete, however it ends, except where it is refused before
    anything was kept. While another audit to the same folder runs, the parts of this one are in
    memory alone. fresh: remove the parts of earlier runs.

    Raises OutputRefused: the folder of the parts cannot be written.
    """
    folder = folder_of_parts(out)
    lock = _hold(folder)
    if lock is None:
        progress.warn(f"Another audit to {out} is running: if this one is stopped, it starts over.")
        yield KeptParts({})
        return
    try:
        if fresh:
            _clear(folder)
        parts = PartsFolder(folder)
        before = len(parts)
        kept = KeptParts(parts, parts.keep, folder, lambda: parts.runs.earlier)
        try:
            yield kept
        except InputRefused:
            kept.complete = not before
            raise
        finally:
            if kept.complete:
                _clear(folder)
            elif len(parts):
                with suppress(OSError):  # the disk may be full, which is being said
                    parts.runs.finished()
    finally:
        lock.release()
        _remove_if_empty(folder)


def _hold(folder: Path) -> Lock | None:
    """Make the folder and lock it; None where another process holds the lock."""
    try:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise OutputRefused(f"{folder}: is in the way; move it, or choose another --out.")
        folder.mkdir(mode=0o700, exist_ok=True)
        return Lock.attempt(folder / LOCK)
    except OSError as error:
        raise OutputRefused(
            f"{folder}: cannot be written ({error.strerror}); choose --out."
        ) from None


def _clear(folder: Path) -> None:
    """Remove everything in the folder but its lock."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != LOCK:
            entry.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
