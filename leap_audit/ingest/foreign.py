"""Files of others that are data (pictures, names of classes, tables): decoded in a child.

What is read is hashed as it is read: a file that changes meanwhile is refused, so that a digest in
the report is of what the figures are of.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import onnx

from leap_audit.digests import sha256_of
from leap_audit.errors import ClassesRefused, ConfigRefused, InputRefused, PictureRefused
from leap_audit.files import open_regular, require_regular
from leap_audit.ingest.contained import Child, Limits, contained
from leap_audit.ingest.limits import SECONDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from leap_audit.artifacts import Preprocessing
    from leap_audit.config import DeclaredPreprocessing

__all__ = [
    "classes_in",
    "known_in",
    "names_in",
    "pictures_in",
    "preprocessing_in",
    "read_once",
    "require_no_links",
    "table_in",
]

R = TypeVar("R")
PICTURE_SECONDS = 60.0
"""The largest that is read takes a few."""
PORTABLE = re.compile(rb"P[1-7]")
"""How a portable pixmap begins; its head may have comments of any length."""
HEAD = 1 << 16
TOKEN = re.compile(rb"(?:#[^\n\r]*|\s)*([^\s#]+)")


def classes_in(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the names in a file, and its SHA-256. Raises ClassesRefused as `read_classes` does."""
    return contained(_classes, path, alone=True, refusal=ClassesRefused)


def names_in(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    """Return the names in a model's metadata as `names_inside` does, read in a child."""
    from leap_audit.ingest.class_lists import METADATA

    short = onnx.ModelProto()
    for entry in model.metadata_props:
        if entry.key.lower() in METADATA:
            short.metadata_props.append(entry)
    return contained(_names, short, outputs) if short.metadata_props else None


def known_in(
    paths: Sequence[Path], classes: Sequence[str], labels: Path | None
) -> list[int | None]:
    """Return the class that each picture is known to show, as `known_classes` does."""
    from leap_audit.ingest.known import known_classes

    if labels is None:
        return known_classes(paths, classes, None)
    with Child(Limits.for_file(0), [labels], refusal=PictureRefused) as child:
        return child.call(_known, labels, list(paths), list(classes))


def table_in(path: Path) -> tuple[dict[str, Any], str]:
    """Return the table in a TOML or JSON file, and its SHA-256. Raises ConfigRefused."""
    return contained(_table, path, alone=True, refusal=ConfigRefused)


def preprocessing_in(what: str | Path) -> "DeclaredPreprocessing":
    """Return what a file or a name declares, as `read_preprocessing` does; a file in a child."""
    from leap_audit.ingest.preprocess import read_preprocessing

    if not Path(what).exists():
        return read_preprocessing(what)
    return contained(_preprocessing, Path(what), alone=True, refusal=ConfigRefused)


def pictures_in(
    paths: Sequence[Path], preprocessing: "Preprocessing"
) -> Iterator[tuple["NDArray[np.float32]", str]]:
    """Yield each picture as `read_picture` gives it, and the file's SHA-256.

    One child reads them all. Raises PictureRefused.
    """
    limits = Limits.for_file(0)
    if SECONDS not in os.environ:
        limits = replace(limits, seconds=min(limits.seconds, PICTURE_SECONDS))
    limits = replace(limits, answers=len(paths))
    with Child(limits, paths, refusal=PictureRefused) as child:
        for path in paths:
            yield child.call(_picture, path, preprocessing)


def require_no_links(found: Sequence[Path], given: Sequence[Path]) -> None:
    """Raise PictureRefused for a picture in a given folder that lies elsewhere.

    That is what a link leads to, and a file of several names (hard links), of which one may lie
    anywhere. A file that was given itself is taken as it is.
    """
    folders = [folder.resolve() for folder in given if folder.is_dir()]
    named = set(given)
    for path in found:
        if path in named:
            continue
        outside = not any(path.resolve().is_relative_to(folder) for folder in folders)
        if outside or path.stat().st_nlink > 1:
            what = "leads out of the folder" if outside else "has several names (hard links)"
            raise PictureRefused(
                f"{path}: {what}, so that it may be a file of yours that somebody wants to see; "
                "copy it there, or pass --follow-links."
            )


def read_once(path: Path, read: Callable[[], R], refusal: type[InputRefused]) -> tuple[R, str]:
    """Return what `read` makes of a file, and the SHA-256 of what it read.

    Raises `refusal`: the file is no regular one, or changed while it was read.
    """
    try:
        before = require_regular(path)
        digest = sha256_of(path)
        result = read()
        after = require_regular(path)
    except OSError as error:
        raise refusal(f"{path}: cannot be read ({error.strerror or error}).") from None
    same = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    if any(getattr(before, each) != getattr(after, each) for each in same):
        raise refusal(f"{path}: changed while it was read; run the audit again.")
    return result, digest


def _classes(path: Path) -> tuple[tuple[str, ...], str]:
    from leap_audit.ingest.class_lists import read_classes

    return read_once(path, lambda: read_classes(path), ClassesRefused)


def _names(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    from leap_audit.ingest.class_lists import names_inside

    return names_inside(model, outputs)


def _known(labels: Path, paths: list[Path], classes: list[str]) -> list[int | None]:
    from leap_audit.ingest.known import known_classes

    return known_classes(paths, classes, labels)


def _table(path: Path) -> tuple[dict[str, Any], str]:
    from leap_audit.config import read_table

    return read_once(path, lambda: read_table(path), ConfigRefused)


def _preprocessing(path: Path) -> "DeclaredPreprocessing":
    from leap_audit.ingest.preprocess import read_preprocessing

    return read_preprocessing(path)


def _picture(path: Path, preprocessing: "Preprocessing") -> tuple["NDArray[np.float32]", str]:
    from leap_audit.ingest.pictures import read_picture

    def read() -> "NDArray[np.float32]":
        _require_short_head(path)
        return read_picture(path, preprocessing)

    return read_once(path, read, PictureRefused)


def _require_short_head(path: Path) -> None:
    """Refuse a portable pixmap whose sizes do not stand in its first bytes, behind a comment."""
    with open_regular(path) as file:
        head = file.read(HEAD)
        longer = bool(file.read(1))
    if PORTABLE.match(head) and longer and len(TOKEN.findall(head)) < 3:
        raise PictureRefused(
            f"{path}: its head is longer than {HEAD // 1024} kB, which no picture's is; the file "
            "is damaged or hostile."
        )
