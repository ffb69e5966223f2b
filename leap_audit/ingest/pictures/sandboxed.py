"""Read photographs and preprocessing files in a child process."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ConfigRefused, PictureRefused
from leap_audit.files import open_regular
from leap_audit.ingest.pictures.dicom import is_dicom
from leap_audit.ingest.sandbox.grants import precompile
from leap_audit.ingest.sandbox.limits import SECONDS, Limits
from leap_audit.ingest.sandbox.parent import Child, run_in_child

__all__ = [
    "photographs_child",
    "read_preprocessing_in_child",
    "require_no_links",
    "require_short_head",
]

PICTURE_SECONDS = 60.0
"""The largest that is read takes a few."""


QUESTIONS = 3
"""Asked of each photograph at most: its digest, its numbers, and the picture for the model."""


PORTABLE = re.compile(rb"P[1-7]")
"""How a portable pixmap begins; its head may have comments of any length."""


HEAD = 1 << 16


TOKEN = re.compile(rb"(?:#[^\n\r]*|\s)*([^\s#]+)")


def read_preprocessing_in_child(what: str | Path) -> DeclaredPreprocessing:
    """Return what a file or a name declares, as `read_preprocessing` does; a file in a child."""
    # It brings graphs along: a child that decodes pictures starts in half the time without.
    from leap_audit.ingest.pictures.preprocessing import read_preprocessing

    if not Path(what).exists():
        return read_preprocessing(what)
    return run_in_child(_preprocessing, Path(what), alone=True, refusal=ConfigRefused)


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
        precompile(("pydicom", "pydicom.pixels"))
    with Child(limits, paths, refusal=PictureRefused) as child:
        yield child.call


def require_no_links(
    pictures: Sequence[Path], roots: Sequence[Path], *, private: bool = False
) -> None:
    """Raise PictureRefused for a picture in a given folder that lies elsewhere.

    That is what a link leads to, and a file of several names (hard links), of which one may lie
    anywhere. A file that was given itself is taken as it is. private: names of files may name
    patients, and stand in no message.
    """
    folders = [folder.resolve() for folder in roots if folder.is_dir()]
    named = set(roots)
    for number, path in enumerate(pictures, 1):
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


def _preprocessing(path: Path) -> DeclaredPreprocessing:
    from leap_audit.ingest.pictures.preprocessing import read_preprocessing

    return read_preprocessing(path)
