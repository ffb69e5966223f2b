"""Read an audit that somebody else wrote: checked and decoded once, in a child process.

What comes out is a copy in a folder of our own: audit.json as it was, and every picture written
anew from its pixels. Nothing later opens a file of the foreign folder as a picture.
"""

import contextlib
import hashlib
import json
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from leap_audit.artifacts import Audit
from leap_audit.artifacts.audit import FILE, LARGEST
from leap_audit.errors import AuditRefused, ModelRefused, PictureRefused, reason_of
from leap_audit.files import read_regular, require_regular
from leap_audit.ingest.sandbox.parent import Child, Limits, run_in_child

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ForeignAudit", "open_audit", "refusing_what_cannot_be_shown", "status_in"]

IMAGES = "images"
SMALL_RECORD = 16_000_000
MOST_PICTURES = 200_000
LARGEST_PICTURE = 64_000_000
MOST_PIXELS = 25_000_000
"""Of a picture in an audit: ten times the largest input of a model in use."""
LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class ForeignAudit:
    """An audit that somebody else may have written, and a copy that this package made of it."""

    audit: Audit
    folder: Path
    """Where it lies."""
    sha256: str
    """Of audit.json, as it was read."""
    digests: dict[str, str]
    """Picture, such as images/a.png -> SHA-256 of the file that it was decoded from."""
    _kept: "_Folder" = field(repr=False)

    @property
    def copy(self) -> Path:
        """A folder with audit.json and the pictures, that lives as long as this object."""
        return self._kept.path


class _Folder:
    """A temporary folder that is removed with this object, or when the process ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="leap-audit-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def open_audit(path: Path, *, altered: bool = False) -> ForeignAudit:
    """Return the audit in a folder, or of its audit.json, with its pictures decoded.

    altered: also one whose pictures are not those that it records; the caller says which.

    Raises AuditRefused: there is none, it is broken, holds what no audit does, links, or pictures
    that are not those it records. PictureRefused: one that cannot be decoded.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / FILE if path.is_dir() else path
    _require_plain(file, missing_is_fine=True)
    limits = Limits.for_file(0)
    names = list(_pictures(folder))
    limits = replace(limits, answers=1 + len(names))
    kept = _Folder()
    copy, digests = kept.path, dict[str, str]()
    with Child(limits, [folder], refusal=AuditRefused) as child:
        audit, data = child.call(_read, file)
        (copy / FILE).write_bytes(data)
        (copy / IMAGES).mkdir()
        for name in names:
            try:
                pixels, digests[name] = child.call(_decoded, folder / name)
            except PictureRefused:
                if not altered:
                    raise
                continue
            recorded = audit.files.get(name)
            if not altered and audit.files and recorded != digests[name]:
                what = "is not the picture that was audited" if recorded else "is not recorded"
                raise AuditRefused(
                    f"{folder / name}: {what}; the audit was altered (`leap-audit verify` says "
                    "more). Run it again."
                )
            _write(copy / name, pixels)
    if not altered and (lost := sorted(set(audit.files) - set(names))):
        raise PictureRefused(f"{folder / lost[0]}: is missing from the audit; run the audit again.")
    digest = hashlib.sha256(data).hexdigest()
    return ForeignAudit(audit, folder, digest, digests, kept)


def status_in(file: Path) -> tuple[str, str] | None:
    """Return the schema and the status that a record names, or None: it is no record.

    A small one is read here, a large one, which may be made to fill the memory, in a child.
    """
    try:
        size = require_regular(file).st_size
        read = size <= SMALL_RECORD
        return _status(file) if read else run_in_child(_status, file, alone=True)
    except (OSError, ModelRefused):
        return None


@contextlib.contextmanager
def refusing_what_cannot_be_shown(path: Path) -> Iterator[None]:
    """Turn errors in a foreign audit into AuditRefused with one sentence."""
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise AuditRefused(
            f"{path}: holds what no audit does ({type(error).__name__}: {reason_of(error)}); it "
            "was changed. Run the audit again."
        ) from error


def _pictures(folder: Path) -> Iterator[str]:
    """Yield the names of the pictures of an audit. Raises AuditRefused: links, or too many."""
    images = folder / IMAGES
    if images.is_symlink():
        raise AuditRefused(f"{images}: is a link, which no audit writes; take it away.")
    files = sorted(images.iterdir()) if images.is_dir() else []
    if len(files) > MOST_PICTURES:
        raise AuditRefused(f"{images}: holds {len(files):,} files, more than any audit.")
    for file in files:
        if file.name in LITTER:
            continue
        _require_plain(file)
        yield f"{IMAGES}/{file.name}"


def _require_plain(file: Path, *, missing_is_fine: bool = False) -> None:
    try:
        mode = file.lstat().st_mode
    except OSError as error:
        if missing_is_fine and isinstance(error, FileNotFoundError | NotADirectoryError):
            return  # what reads it says so
        raise AuditRefused(f"{file}: cannot be read ({error.strerror}).") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise AuditRefused(
            f"{file}: is a link or no plain file, which no audit writes; take it away."
        )


def _status(file: Path) -> tuple[str, str] | None:
    try:
        record = json.loads(read_regular(file, LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    return str(record.get("schema")), str(record.get("status"))


def _read(file: Path) -> tuple[Audit, bytes]:
    try:
        data = read_regular(file, LARGEST)
    except OSError:
        Audit.read(file)  # says what is wrong
        raise
    return Audit.parse(data, file), data


def _decoded(file: Path) -> tuple["NDArray[np.uint8]", str]:
    """Return the pixels of a picture, (height, width) or (height, width, 3), and its SHA-256."""
    import io
    import warnings

    import numpy as np
    from PIL import Image

    try:
        data = read_regular(file, LARGEST_PICTURE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise ValueError(f"{picture.width} × {picture.height} pixels")
                grey = picture.mode in ("1", "L")
                pixels = np.array(picture.convert("L" if grey else "RGB"))
    except Exception as error:  # a decoder may raise anything on a damaged file
        said = getattr(error, "strerror", None) or reason_of(error)
        raise PictureRefused(
            f"{file}: the audit names this picture but it cannot be read ({said}); run the audit "
            "again."
        ) from None
    return pixels, hashlib.sha256(data).hexdigest()


def _write(place: Path, pixels: "NDArray[np.uint8]") -> None:
    """Write a picture as an audit does, so that the same pixels are the same bytes."""
    from PIL import Image

    Image.fromarray(pixels).save(place, "PNG", optimize=False)
