"""Read class names from foreign files in a child process."""

from collections.abc import Sequence
from pathlib import Path

import onnx

from leap_audit.errors import ClassesRefused, PictureRefused
from leap_audit.ingest.classes.ground_truth import ground_truth
from leap_audit.ingest.classes.lines import ClassList
from leap_audit.ingest.classes.lists import METADATA, metadata_names, read_class_list
from leap_audit.ingest.files.hashing import read_hashed
from leap_audit.ingest.sandbox.limits import Limits
from leap_audit.ingest.sandbox.parent import Child, run_in_child

__all__ = [
    "read_class_list_in_child",
    "read_classes_in_child",
    "read_ground_truth_in_child",
    "read_metadata_names_in_child",
]


def read_class_list_in_child(path: Path) -> tuple[ClassList, str]:
    """Return what `read_class_list` makes of a file, and the file's SHA-256.

    Raises ClassesRefused as that does.
    """
    return run_in_child(_classes, path, alone=True, refusal=ClassesRefused)


def read_classes_in_child(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the names in a file, and its SHA-256. Raises ClassesRefused as `read_classes` does."""
    found, digest = read_class_list_in_child(path)
    return found.names, digest


def read_metadata_names_in_child(
    model: onnx.ModelProto, outputs: int
) -> tuple[list[str], str] | None:
    """Return the names in a model's metadata as `metadata_names` does, read in a child."""
    short = onnx.ModelProto()
    for entry in model.metadata_props:
        if entry.key.lower() in METADATA:
            short.metadata_props.append(entry)
    return run_in_child(_names, short, outputs) if short.metadata_props else None


def read_ground_truth_in_child(
    paths: Sequence[Path], classes: Sequence[str], labels: Path | None, *, private: bool = False
) -> list[int | None]:
    """Return the class that each picture is known to show, as `ground_truth` does."""
    if labels is None:
        return ground_truth(paths, classes, None, private=private)
    where = "the table of --labels" if private else str(labels)
    with Child(Limits.for_file(0), [labels], refusal=PictureRefused) as child:
        return child.call(_known, where, labels, list(paths), list(classes), private)


def _classes(path: Path) -> tuple[ClassList, str]:
    return read_hashed(path, lambda: read_class_list(path), ClassesRefused)


def _names(model: onnx.ModelProto, outputs: int) -> tuple[list[str], str] | None:
    return metadata_names(model, outputs)


def _known(
    where: str, labels: Path, paths: list[Path], classes: list[str], private: bool
) -> list[int | None]:
    def read() -> list[int | None]:
        return ground_truth(paths, classes, labels, private=private)

    return read_hashed(labels, read, PictureRefused, where)[0]
