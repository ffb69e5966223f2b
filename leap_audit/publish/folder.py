"""The output folder: written out of sight, swapped in when everything is there.

    photos-audit/                       what a reader sees: whole, or not there
    .photos-audit.3f2a90c1.writing/     the audit being written; its .lock is held meanwhile
    .photos-audit.3f2a90c1.replaced/    the earlier audit during the swap

What a killed process leaves behind is put right by the next audit to the same place.
"""

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from leap_audit.artifacts import SCHEMA
from leap_audit.errors import OutputRefused
from leap_audit.publish.lock import Lock
from leap_audit.text.filenames import plain_name

__all__ = [
    "AUDIT",
    "CONTENTS",
    "LITTER",
    "AuditFolder",
    "FolderKind",
    "default_folder",
    "write_file",
]

CONTENTS = frozenset({"audit.json", "images", "report.html", "report.pdf", "results.csv"})
"""Everything an audit writes. A folder that holds anything else is not replaced."""


@dataclass(frozen=True)
class FolderKind:
    """A kind of output folder: its contents, and the file that identifies an earlier one."""

    name: str
    record: str
    """The file that says what the folder is and whether it is complete."""
    schema: str
    contents: frozenset[str]


AUDIT = FolderKind("audit", "audit.json", SCHEMA, CONTENTS)

LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What file managers leave in folders that were looked at."""

_State = Literal["free", "complete", "incomplete"]


def default_folder(model: Path) -> Path:
    """Return the default folder of an audit: MODEL-audit, in the current folder."""
    return Path(f"{plain_name(model.stem)}-audit")


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises OutputRefused."""
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}.writing")
    try:
        if path.is_dir():
            raise OutputRefused(f"{path}: is a folder; give the name of a file.")
        try:
            staging.write_bytes(data)
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)
    except OSError as error:
        raise OutputRefused(f"{path}: cannot be written ({error.strerror}).") from None


class AuditFolder:
    """A place to write an audit to, that becomes `out` in one step when it is published.

    As a context manager it discards what was not published.
    """

    def __init__(
        self, out: Path, staging: Path, lock: Lock, made: tuple[Path, ...], kind: FolderKind
    ) -> None:
        self.out = out
        self.staging = staging
        """Where to write; it has an empty folder `images`."""
        self._lock = lock
        self._made = made
        self._kind = kind
        self._open = True

    @classmethod
    def open(cls, out: Path, kind: FolderKind = AUDIT) -> Self:
        """Return a folder to write the audit for `out` to, making the folders above it.

        kind: what else than an audit is written.

        Raises OutputRefused: something that is not of this kind is in the way, or nothing can be
        written there. This is meant to be called before any long work.
        """
        out = out.absolute()
        if not out.name or out.name == "..":
            raise OutputRefused(f"{out}: cannot be replaced; give a new folder.")
        made: list[Path] = []
        try:
            out = out.parent.resolve() / out.name
            for parent in [folder for folder in out.parents if not folder.exists()][::-1]:
                parent.mkdir()
                made.append(parent)
            _put_right(out)
            _state(out, kind)
            staging = _beside(out, "writing")
            staging.mkdir()
            lock = Lock(staging / ".lock")
            (staging / "images").mkdir()
        except (OSError, RuntimeError, OutputRefused) as error:
            _remove_empty(made)
            if isinstance(error, OutputRefused):
                raise
            reason = getattr(error, "strerror", None) or error  # RuntimeError: links in a circle
            raise OutputRefused(f"{out}: cannot be written ({reason}); choose --out.") from None
        return cls(out, staging, lock, tuple(made), kind)

    def publish(self, complete: bool) -> Path:
        """Swap the audit in and return where it is.

        That is `out`, but `out`-incomplete for an incomplete audit when `out` holds a complete
        one, and a numbered neighbour when something else has come in the way since `open`.

        Raises OutputRefused: the folder cannot be renamed; it is then left where it was written.
        """
        if not self._open:
            raise ValueError("The audit was published or discarded before.")
        known = self._kind.contents | {".lock"}
        strange = sorted({entry.name for entry in self.staging.iterdir()} - known)
        if strange:
            raise ValueError(f"{', '.join(strange)}: add it to what this kind of folder holds.")
        self._lock.release()
        place = self._place(complete)
        try:
            _swap(self.staging, place)
        except OSError as error:
            self._open = False
            kept = self.staging.rename(_beside(self.out, "kept"))
            raise OutputRefused(
                f"{place}: cannot be replaced ({error.strerror}); the {self._kind.name} is in "
                f"{kept}."
            ) from None
        self._open = False
        return place

    def discard(self) -> None:
        """Remove everything that was written, and the folders that were made for it."""
        if self._open:
            self._open = False
            self._lock.release()
            shutil.rmtree(self.staging, ignore_errors=True)
            _remove_empty(self._made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(self.out)  # a write that fails names no place
        self.discard()

    def _place(self, complete: bool) -> Path:
        """Return the first place that this audit may take."""
        number = 1
        while True:
            suffix = f"-{number}" if number > 1 else ""
            if complete:
                place = self.out.with_name(f"{self.out.name}{suffix}")
            elif number == 1 and _accepts(self.out, self._kind, complete=False):
                return self.out
            else:
                place = self.out.with_name(f"{self.out.name}-incomplete{suffix}")
            if _accepts(place, self._kind, complete):
                return place
            number += 1


def _accepts(place: Path, kind: FolderKind, complete: bool) -> bool:
    try:
        state = _state(place, kind)
    except (OSError, OutputRefused):
        return False
    return complete or state != "complete"


def _state(out: Path, kind: FolderKind) -> _State:
    """Return what stands at `out`. Raises OutputRefused: it is not this kind's to replace."""
    if out.is_symlink():
        raise OutputRefused(f"{out}: is a link; choose --out, or give the folder it points to.")
    if not out.exists():
        return "free"
    if not out.is_dir():
        raise OutputRefused(f"{out}: is a file; choose another --out.")
    if out.is_mount():
        raise OutputRefused(f"{out}: is a mounted disk; give a folder inside it as --out.")
    if out.samefile(Path.cwd()):
        raise OutputRefused(f"{out}: is the folder you are in; give a folder inside it as --out.")
    entries = {entry.name for entry in out.iterdir()} - LITTER
    if not entries:
        return "free"
    status = _status(out / kind.record, kind.schema)
    if status is None:
        raise OutputRefused(f"{out}: is a folder that holds something else; choose another --out.")
    strange = sorted(entries - kind.contents)
    strange += sorted(_strange_images(out / "images"))
    if strange:
        raise OutputRefused(
            f"{out}: holds {strange[0]!r} beside an earlier {kind.name}, which would be lost; "
            "move it away or choose another --out."
        )
    return status


def _status(path: Path, schema: str) -> Literal["complete", "incomplete"] | None:
    """Return the status that a record of this schema has; None for a file that is not one."""
    from leap_audit.ingest.audits import status_in

    found = None if path.is_symlink() else status_in(path)
    if found is None or found[0] != schema:
        return None
    return "incomplete" if found[1] == "incomplete" else "complete"


def _strange_images(images: Path) -> list[str]:
    if images.is_symlink() or not images.is_dir():
        return ["images"] if images.is_symlink() or images.exists() else []
    return [
        f"images/{entry.name}"
        for entry in images.iterdir()
        if (entry.suffix != ".png" or not entry.is_file()) and entry.name not in LITTER
    ]


def _swap(staging: Path, out: Path) -> None:
    """Rename `staging` to `out` and move an earlier folder out of the way, or change nothing."""
    if not out.exists():
        staging.rename(out)
        return
    aside = _beside(out, "replaced")
    out.rename(aside)
    try:
        staging.rename(out)
    except BaseException:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _beside(out: Path, role: Literal["writing", "replaced", "kept"]) -> Path:
    dot = "" if role == "kept" else "."
    return out.with_name(f"{dot}{out.name}.{secrets.token_hex(4)}.{role}")


def _put_right(out: Path) -> None:
    """Undo what a killed process left: half-written audits, and a swap that was cut short."""
    prefix = f".{out.name}."
    for entry in sorted(out.parent.iterdir()):
        token, _, role = entry.name.removeprefix(prefix).partition(".")
        if not entry.name.startswith(prefix) or len(token) != 8 or entry.is_symlink():
            continue
        if role == "replaced" and entry.is_dir():
            if out.exists():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.rename(out)
        elif role == "writing" and Lock.is_abandoned(entry / ".lock"):
            shutil.rmtree(entry, ignore_errors=True)


def _remove_empty(folders: list[Path] | tuple[Path, ...]) -> None:
    for folder in reversed(folders):
        try:
            folder.rmdir()
        except OSError:
            return
