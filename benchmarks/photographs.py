"""The photographs that measurements are validated on, as a model sees them."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.ingest.pictures.images import read_picture
from leap_audit.run import choose_provider
from leap_audit.run.session import Array

__all__ = ["FOLDER", "MODEL", "Photograph", "classifier_of", "read_rows", "read_sorted"]

FOLDER = Path(os.environ.get("LEAP_AUDIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
"""Real networks (models/) and photographs (images/imagenet.csv: file, index, name)."""
MODEL = "mobilenet_v2_1.0_224_quant_f32.onnx"
CLASSES = 1000


@dataclass(frozen=True)
class Photograph:
    file: str
    class_: int
    """What it shows, as a position among the model's outputs."""
    picture: Array
    """(3, height, width), 0..1."""


def classifier_of(path: Path) -> Model:
    """Return the model in a file, with the preprocessing that follows from it, on the CPU."""
    return load(path, DeclaredPreprocessing(), choose_provider("cpu"))


def read_rows(folder: Path, model: Model, rows: Sequence[int] | None = None) -> list[Photograph]:
    """Return the photographs in these rows of the list (0 is the first), by default all."""
    with (folder / "images/imagenet.csv").open(newline="", encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    background = model.classes - CLASSES  # a class before all others that means "none of them"
    return [
        Photograph(
            row["file"],
            int(row["index"]) + background,
            read_picture(folder / "images/imagenet" / row["file"], model.preprocessing),
        )
        for row in (listed if rows is None else [listed[i] for i in rows])
    ]


def read_sorted(folder: Path, model: Model, rows: Sequence[int] | None = None) -> list[Photograph]:
    """Return the photographs of a folder with one folder for each class, in the order of the names.

    The first of every class comes first, then the second; rows: of this order, by default all.
    """
    every = [
        (i, class_, file)
        for class_, each in enumerate(sorted(x for x in folder.iterdir() if x.is_dir()))
        for i, file in enumerate(sorted(each.iterdir()))
    ]
    listed = sorted(every, key=lambda one: one[:2])
    return [
        Photograph(
            f"{file.parent.name}/{file.name}", class_, read_picture(file, model.preprocessing)
        )
        for _, class_, file in (listed if rows is None else [listed[i] for i in rows])
    ]
