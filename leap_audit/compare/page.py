"""The views of a comparison: comparison.html and comparison.pdf beside comparison.json."""

from collections.abc import Sequence
from pathlib import Path

from leap_audit.compare.changes import by_chance
from leap_audit.compare.prototypes import compared
from leap_audit.compare.record import (
    COMPARISON_FILE,
    COMPARISON_SCHEMA,
    Comparison,
    EntanglementPair,
    PhotographPair,
    PrototypePair,
)
from leap_audit.publish.folder import FolderKind
from leap_audit.report import render_pdf
from leap_audit.report.charts import bar_scale
from leap_audit.report.pictures import Pictures
from leap_audit.report.templates import ENTANGLEMENTS_SHOWN, started_at, template
from leap_audit.text.filenames import plain_name

__all__ = ["COMPARISON", "comparison_folder", "render_comparison", "write_comparison"]

COMPARISON = FolderKind(
    "comparison",
    COMPARISON_FILE,
    COMPARISON_SCHEMA,
    frozenset({COMPARISON_FILE, "comparison.html", "comparison.pdf", "images"}),
)
"""Everything that a comparison writes."""
CHANGES_ON_COVER = 3
PROTOTYPES_SHOWN = 60
PHOTOGRAPHS_SHOWN = 24
"""Photographs with pictures; the others are rows of a table. Those with another answer come first,
and there are always a few."""
FEWEST = 6


def comparison_folder(old: Path, new: Path) -> Path:
    """Return the default folder of a comparison: OLD-NEW-compare, in the current folder."""
    return Path("-".join([_stem(old), _stem(new), "compare"]))


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write comparison.json, comparison.html and comparison.pdf into `folder`.

    The pictures it names must already lie there. The same comparison gives the same bytes.

    Raises PictureRefused: a picture is missing or outside `folder`.
    """
    comparison.write(folder)
    html = render_comparison(comparison, folder)
    (folder / "comparison.html").write_text(html, encoding="utf-8", newline="\n")
    printed = render_comparison(comparison, folder, paper=True)
    (folder / "comparison.pdf").write_bytes(
        render_pdf(printed, {COMPARISON_FILE: (folder / COMPARISON_FILE).read_bytes()})
    )


def render_comparison(comparison: Comparison, folder: Path, *, paper: bool = False) -> str:
    """Return the comparison as HTML, with the pictures that lie in `folder` embedded.

    paper: whether it is for the PDF, whose pictures are of another format.
    Raises PictureRefused: a picture is missing or outside `folder`.
    """
    values = [
        side.entanglement
        for pair in comparison.prototypes
        for each in pair.entanglements
        for side in (each.old, each.new)
        if side is not None
    ]
    page: str = template("compare.html.j2").render(
        comparison=comparison,
        old=comparison.old,
        new=comparison.new,
        began=[started_at(side.started) for side in (comparison.old, comparison.new)],
        states=_counted([pair.state for pair in comparison.findings]),
        by_chance=by_chance,
        changed=sum(pair.changed for pair in comparison.photographs),
        moved=sum(each.state == "changed" for _, each in compared(comparison.prototypes)),
        pictures=Pictures(folder, paper=paper),
        scale=bar_scale(values),
        first=_first,
        shown_entanglements=_shown_entanglements,
        plates=_plates,
        CHANGES_ON_COVER=CHANGES_ON_COVER,
        PROTOTYPES_SHOWN=PROTOTYPES_SHOWN,
    )
    return page


def _shown_entanglements(pair: PrototypePair) -> list[EntanglementPair]:
    """The prototype's own class, then those that changed, then the strongest of today."""
    return sorted(pair.entanglements, key=_order)[:ENTANGLEMENTS_SHOWN]


def _order(each: EntanglementPair) -> tuple[float, ...]:
    side = each.new or each.old
    return not each.own, each.state != "changed", -(side.entanglement if side else 0.0)


def _first(pair: PhotographPair, which: str) -> str:
    """What an audit's model answers to a photograph first."""
    predicted = (pair.old if which == "old" else pair.new).predicted
    return predicted[0].name if predicted else "no answer"


def _counted(states: Sequence[str]) -> dict[str, int]:
    return {state: states.count(state) for state in ("new", "gone", "still", "unknown")}


def _plates(pairs: Sequence[PhotographPair]) -> Sequence[PhotographPair]:
    """The photographs that are shown with their pictures."""
    changed = sum(pair.changed for pair in pairs)
    return pairs[: min(max(changed, FEWEST), PHOTOGRAPHS_SHOWN)]


def _stem(folder: Path) -> str:
    place = folder.absolute()
    name = (place if place.is_dir() or not place.suffix else place.parent).name
    return plain_name(name.removesuffix("-audit")) or "audit"
