"""Names of classes in files of others, read in a child process."""

from collections.abc import Sequence
from pathlib import Path

import onnx

from leap_audit.errors import ClassesRefused, PictureRefused
from leap_audit.ingest.classes.known import known_classes
from leap_audit.ingest.classes.lines import ClassList
from leap_audit.ingest.classes.lists import METADATA, names_inside, read_class_list
from leap_audit.ingest.files.once import read_once
from leap_audit.ingest.sandbox.limits import Limits
from leap_audit.ingest.sandbox.parent import Child, contained

__all__ = ["class_list_in", "classes_in", "known_in", "names_in"]


def class_list_in(path: Path) -> tuple[ClassList, str]:
    """Return what `read_class_list` makes of a file, and the file's SHA-256.

    Raises ClassesRefused as that does.
    """
    return contained(_classes, path, alone=True, refusal=ClassesRefused)


def classes_in(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the names in a file, and its SHA-256. Raises ClassesRefused as `read_classes` does."""
    found, digest = class_list_in(path)
    return found.names, digest


def names_in(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    """Return the names in a model's metadata as `names_inside` does, read in a child."""
    short = onnx.ModelProto()
    for entry in model.metadata_props:
        if entry.key.lower() in METADATA:
            short.metadata_props.append(entry)
    return contained(_names, short, outputs) if short.metadata_props else None


def known_in(
    paths: Sequence[Path], classes: Sequence[str], labels: Path | None, *, private: bool = False
) -> list[int | None]:
    """Return the class that each picture is known to show, as `known_classes` does."""
    if labels is None:
        return known_classes(paths, classes, None, private=private)
    where = "the table of --labels" if private else str(labels)
    with Child(Limits.for_file(0), [labels], refusal=PictureRefused) as child:
        return child.call(_known, where, labels, list(paths), list(classes), private)


def _classes(path: Path) -> tuple[ClassList, str]:
    return read_once(path, lambda: read_class_list(path), ClassesRefused)


def _names(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    return names_inside(model, outputs)


def _known(
    where: str, labels: Path, paths: list[Path], classes: list[str], private: bool
) -> list[int | None]:
    def read() -> list[int | None]:
        return known_classes(paths, classes, labels, private=private)

    return read_once(labels, read, PictureRefused, where)[0]
