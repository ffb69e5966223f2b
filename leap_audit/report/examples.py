"""The folder of `leap-audit examples`: examples.json, examples.html and the pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_audit.ingest.pictures.images import write_picture
from leap_audit.measure.examples.methods import ExampleMethod
from leap_audit.measure.examples.mislabelled import DoubtedLabel
from leap_audit.publish.folder import FolderKind
from leap_audit.report.pictures import Pictures
from leap_audit.report.templates import template

__all__ = ["EXAMPLES_FOLDER", "ExampleRow", "ShownPicture", "write_examples"]

FILE, SCHEMA = "examples.json", "leap-audit-examples/1"
EXAMPLES_FOLDER = FolderKind(
    "set of examples", FILE, SCHEMA, frozenset({FILE, "examples.html", "images"})
)
"""Everything that `leap-audit examples` writes."""


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A picture in the record."""

    name: str
    digest: str
    label: str
    """Its class, in words; empty where it is not known."""
    picture: NDArray[np.floating] | None
    """(channels, height, width) in 0..1; None: not shown."""


@dataclass(frozen=True, eq=False)
class ExampleRow:
    """One picture with the training pictures behind its answer."""

    picture: ShownPicture
    examples: tuple[tuple[ShownPicture, float], ...]
    against: tuple[tuple[ShownPicture, float], ...]
    figures: dict[str, float]


def write_examples(
    folder: Path,
    model: dict[str, Any],
    method: ExampleMethod,
    options: dict[str, Any],
    training: int,
    rows: Sequence[ExampleRow],
    mislabelled: Sequence[tuple[ShownPicture, str, DoubtedLabel]],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Write everything into `folder`, which has an empty folder `images`; return the record."""
    files: dict[str, str] = {}

    def plain(shown: ShownPicture) -> dict[str, Any]:
        if shown.picture is not None and shown.digest not in files:
            files[shown.digest] = f"images/{len(files)}.png"
            write_picture(folder / files[shown.digest], shown.picture)
        return {
            "name": shown.name,
            "sha256": shown.digest,
            "class": shown.label,
            "picture": files.get(shown.digest, ""),
        }

    record = {
        "schema": SCHEMA,
        "status": "complete",
        "model": model,
        "method": {
            "name": method.name,
            "summary": method.summary,
            "formula": method.formula,
            "advice": method.advice,
            "source": method.source,
            "options": options,
        },
        "training": training,
        "notes": list(notes),
        "pictures": [
            {
                **plain(row.picture),
                "figures": row.figures,
                "examples": [{**plain(p), "value": value} for p, value in row.examples],
                "against": [{**plain(p), "value": value} for p, value in row.against],
            }
            for row in rows
        ],
        "mislabelled": [
            {
                **plain(shown),
                "suggested": suggested,
                "prob_class": each.prob_label,
                "prob_suggested": each.prob_suggested,
                "self_influence": each.influence,
                "q": each.q,
            }
            for shown, suggested, each in mislabelled
        ],
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8", newline="\n")
    page = template("examples.html.j2").render(record=record, picture=Pictures(folder))
    (folder / "examples.html").write_text(page, encoding="utf-8", newline="\n")
    return record
