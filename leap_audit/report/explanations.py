"""The folder of `leap-audit explain`: explain.json, explain.html, the maps and their overlays."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_audit.ingest.pictures.images import write_picture
from leap_audit.measure.faithfulness.checks import FAITHFULNESS_CHECKS
from leap_audit.measure.faithfulness.comparison import Standing
from leap_audit.measure.methods import Method
from leap_audit.publish.folder import FolderKind
from leap_audit.report.overlay import overlay, same_everywhere, with_box
from leap_audit.report.pictures import Pictures
from leap_audit.report.templates import template

__all__ = ["EXPLANATIONS", "ExplainedPicture", "MapRecord", "write_explanations"]

FILE, SCHEMA = "explain.json", "leap-audit-explain/1"
EXPLANATIONS = FolderKind(
    "explanation", FILE, SCHEMA, frozenset({FILE, "explain.html", "images", "maps"})
)
"""Everything that `leap-audit explain` writes."""


@dataclass(frozen=True)
class MapRecord:
    """One map of one picture, for the record."""

    method: str
    values: NDArray[np.floating]
    """(height, width)"""
    score: float
    at: str
    seconds: float
    options: dict[str, Any]
    notes: tuple[str, ...]
    figures: dict[str, float]
    checks: dict[str, float]


@dataclass(frozen=True)
class ExplainedPicture:
    """One picture with its maps."""

    name: str
    digest: str
    picture: NDArray[np.floating]
    """(channels, height, width) in 0..1"""
    target: str
    """In words."""
    maps: tuple[MapRecord, ...]
    box: tuple[float, ...] = ()
    """Of the detection that is explained: left, top, right and bottom as fractions of the picture;
    empty: no detection is."""
    side: str = ""
    """Of the box that is explained, or "box" for all of it; empty: its class."""


def write_explanations(
    folder: Path,
    model: dict[str, Any],
    pictures: Sequence[ExplainedPicture],
    methods: Sequence[Method],
    standings: dict[str, list[Standing]],
) -> None:
    """Write everything into `folder`, which has an empty folder `images`."""
    (folder / "maps").mkdir()
    rows = []
    for number, each in enumerate(pictures):
        write_picture(folder / f"images/{number}.png", each.picture)
        boxed = f"images/{number}-box.png"
        if each.box:
            write_picture(folder / boxed, with_box(each.picture, each.box, each.side))
        shown = []
        for found in each.maps:
            stem = f"{number}-{found.method.replace(':', '-')}"
            np.save(folder / f"maps/{stem}.npy", found.values.astype(np.float32))
            laid = overlay(each.picture, found.values)
            if each.box:
                laid = with_box(laid, each.box, each.side)
            write_picture(folder / f"images/{stem}.png", laid)
            files = {"map": f"maps/{stem}.npy", "overlay": f"images/{stem}.png"}
            plain = {k: v for k, v in found.__dict__.items() if k != "values"}
            if same_everywhere(found.values):
                plain["notes"] = (*found.notes, "its number is the same at every place")
            shown.append({**plain, **files})
        rows.append(
            {
                "name": each.name,
                "sha256": each.digest,
                "target": each.target,
                "picture": f"images/{number}.png",
                "box": each.box or None,
                "boxed": boxed if each.box else None,
                "maps": shown,
            }
        )
    record = {
        "schema": SCHEMA,
        "status": "complete",
        "model": model,
        "methods": {
            m.name: {
                "summary": m.summary,
                "formula": m.traits.formula,
                "advice": m.traits.advice,
                "source": m.source,
                "cost": m.cost,
            }
            for m in methods
        },
        "checks": {
            name: {"question": c.question, "better": c.better, "limits": c.limits}
            for name, c in FAITHFULNESS_CHECKS.items()
        },
        "pictures": rows,
        "standings": {fill: [asdict(s) for s in found] for fill, found in standings.items()},
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8", newline="\n")
    embedded = Pictures(folder)
    page = template("explain.html.j2").render(record=record, picture=embedded)
    (folder / "explain.html").write_text(page, encoding="utf-8", newline="\n")
