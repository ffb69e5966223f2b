"""Files of others that are data (pictures, names of classes, tables): decoded in a child.

What is read is hashed as it is read: a file that changes meanwhile is refused, so that a digest in
the report is of what the figures are of.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import onnx

from leap_audit.digests import sha256_of
from leap_audit.errors import (
    ClassesRefused,
    ConfigRefused,
    LeapAuditError,
    PictureRefused,
    UsageError,
)
from leap_audit.files import open_regular, require_regular
from leap_audit.ingest.contained import Child, Limits, contained
from leap_audit.ingest.dicom import is_dicom
from leap_audit.ingest.granted import warm
from leap_audit.ingest.limits import SECONDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from leap_audit.config import DeclaredPreprocessing
    from leap_audit.ingest.class_lines import ClassList

__all__ = [
    "array_in",
    "class_list_in",
    "classes_in",
    "known_in",
    "names_in",
    "photographs_child",
    "preprocessing_in",
    "read_once",
    "require_no_links",
    "require_short_head",
    "table_in",
]

R = TypeVar("R")
PICTURE_SECONDS = 60.0
"""The largest that is read takes a few."""
QUESTIONS = 3
"""Asked of each photograph at most: its digest, its numbers, and the picture for the model."""
PORTABLE = re.compile(rb"P[1-7]")
"""How a portable pixmap begins; its head may have comments of any length."""
HEAD = 1 << 16
TOKEN = re.compile(rb"(?:#[^\n\r]*|\s)*([^\s#]+)")


def class_list_in(path: Path) -> tuple["ClassList", str]:
    """Return what `read_class_list` makes of a file, and the file's SHA-256.

    Raises ClassesRefused as that does.
    """
    return contained(_classes, path, alone=True, refusal=ClassesRefused)


def classes_in(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the names in a file, and its SHA-256. Raises ClassesRefused as `read_classes` does."""
    found, digest = class_list_in(path)
    return found.names, digest


def array_in(path: Path) -> "NDArray[Any]":
    """Return the array in a .npy file, the value of an input. Raises UsageError."""
    return contained(_array, path, alone=True, refusal=UsageError)


def names_in(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    """Return the names in a model's metadata as `names_inside` does, read in a child."""
    from leap_audit.ingest.class_lists import METADATA

    short = onnx.ModelProto()
    for entry in model.metadata_props:
        if entry.key.lower() in METADATA:
            short.metadata_props.append(entry)
    return contained(_names, short, outputs) if short.metadata_props else None


def known_in(
    paths: Sequence[Path], classes: Sequence[str], labels: Path | None, *, private: bool = False
) -> list[int | None]:
    """Return the class that each picture is known to show, as `known_classes` does."""
    from leap_audit.ingest.known import known_classes

    if labels is None:
        return known_classes(paths, classes, None, private=private)
    where = "the table of --labels" if private else str(labels)
    with Child(Limits.for_file(0), [labels], refusal=PictureRefused) as child:
        return child.call(_known, where, labels, list(paths), list(classes), private)


def table_in(path: Path) -> tuple[dict[str, Any], str]:
    """Return the table in a TOML or JSON file, and its SHA-256. Raises ConfigRefused."""
    return contained(_table, path, alone=True, refusal=ConfigRefused)


def preprocessing_in(what: str | Path) -> "DeclaredPreprocessing":
    """Return what a file or a name declares, as `read_preprocessing` does; a file in a child."""
    from leap_audit.ingest.preprocess import read_preprocessing

    if not Path(what).exists():
        return read_preprocessing(what)
    return contained(_preprocessing, Path(what), alone=True, refusal=ConfigRefused)


@contextlib.contextmanager
def photographs_child(paths: Sequence[Path]) -> Iterator[Callable[..., Any]]:
    """Yield what calls a function in the one child that may read these photographs.

    What it calls is refused as PictureRefused. Its first argument is what messages call the file.
    """
    limits = Limits.for_file(0)
    if SECONDS not in os.environ:
        limits = replace(limits, seconds=min(limits.seconds, PICTURE_SECONDS))
    limits = replace(limits, answers=QUESTIONS * len(paths))
    if any(map(is_dicom, paths)):
        warm(("pydicom", "pydicom.pixels"))
    with Child(limits, paths, refusal=PictureRefused) as child:
        yield child.call


def require_no_links(
    found: Sequence[Path], given: Sequence[Path], *, private: bool = False
) -> None:
    """Raise PictureRefused for a picture in a given folder that lies elsewhere.

    That is what a link leads to, and a file of several names (hard links), of which one may lie
    anywhere. A file that was given itself is taken as it is. private: names of files may name
    patients, and stand in no message.
    """
    folders = [folder.resolve() for folder in given if folder.is_dir()]
    named = set(given)
    for number, path in enumerate(found, 1):
        if path in named:
            continue
        outside = not any(path.resolve().is_relative_to(folder) for folder in folders)
        if outside or path.stat().st_nlink > 1:
            what = "leads out of the folder" if outside else "has several names (hard links)"
            where = f"photograph number {number}, in the order of their paths" if private else path
            raise PictureRefused(
                f"{where}: {what}, so that it may be a file of yours that somebody wants to see; "
                "copy it there, or pass --follow-links."
            )


def read_once(
    path: Path, read: Callable[[], R], refusal: type[LeapAuditError], label: str = ""
) -> tuple[R, str]:
    """Return what `read` makes of a file, and the SHA-256 of what it read.

    label: what messages call the file; its path unless given.

    Raises `refusal`: the file is no regular one, or changed while it was read.
    """
    where = label or str(path)
    try:
        before = require_regular(path)
        digest = sha256_of(path)
        result = read()
        after = require_regular(path)
    except OSError as error:
        raise refusal(f"{where}: cannot be read ({error.strerror or error}).") from None
    same = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    if any(getattr(before, each) != getattr(after, each) for each in same):
        raise refusal(f"{where}: changed while it was read; run the audit again.")
    return result, digest


def require_short_head(path: Path, label: str) -> None:
    """Refuse a portable pixmap whose sizes do not stand in its first bytes, behind a comment."""
    with open_regular(path) as file:
        head = file.read(HEAD)
        longer = bool(file.read(1))
    if PORTABLE.match(head) and longer and len(TOKEN.findall(head)) < 3:
        raise PictureRefused(
            f"{label}: its head is longer than {HEAD // 1024} kB, which no picture's is; the file "
            "is damaged or hostile."
        )


def _classes(path: Path) -> tuple["ClassList", str]:
    from leap_audit.ingest.class_lists import read_class_list

    return read_once(path, lambda: read_class_list(path), ClassesRefused)


def _array(path: Path) -> "NDArray[Any]":
    from leap_audit.ingest.input_values import read_array

    return read_array(path)


def _names(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    from leap_audit.ingest.class_lists import names_inside

    return names_inside(model, outputs)


def _known(
    where: str, labels: Path, paths: list[Path], classes: list[str], private: bool
) -> list[int | None]:
    from leap_audit.ingest.known import known_classes

    def read() -> list[int | None]:
        return known_classes(paths, classes, labels, private=private)

    return read_once(labels, read, PictureRefused, where)[0]


def _table(path: Path) -> tuple[dict[str, Any], str]:
    from leap_audit.config import read_table

    return read_once(path, lambda: read_table(path), ConfigRefused)


def _preprocessing(path: Path) -> "DeclaredPreprocessing":
    from leap_audit.ingest.preprocess import read_preprocessing

    return read_preprocessing(path)
