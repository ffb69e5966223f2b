"""An audit to one HTML file that needs nothing else: no script, no network, no second file."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leap_audit.artifacts import Audit, Finding, Prototype, Sample
from leap_audit.findings import action_of, concern_of, consequence_of
from leap_audit.findings.assumptions import open_assumptions
from leap_audit.findings.basis import CALIBRATION_NEEDS
from leap_audit.report import wording
from leap_audit.report.boxes import BOXES_SHOWN, PAIRS_SHOWN, Boxes
from leap_audit.report.charts import calibration, entanglement_scale
from leap_audit.report.confusion import confusion_of
from leap_audit.report.limits import limits_of, requirements
from leap_audit.report.matrix import entanglement_matrix
from leap_audit.report.pictures import Pictures
from leap_audit.report.regions import MAP_COLOURS, Regions, ramp_colour
from leap_audit.report.selection import (
    PHOTOGRAPHS_IN_FULL,
    Selection,
    everything,
    wrong_first,
)
from leap_audit.report.templates import started_at, template
from leap_audit.text.names import ClassLabels, shortened
from leap_audit.text.numbers import percent

__all__ = ["render_html"]

THUMBNAILS_SHOWN = 8
TOP_FINDINGS = 3
GRID_ON_PAPER = 48
"""Photographs in the grid of a printed report."""
FINDINGS_ON_PAPER = 12
"""Findings that a printed report explains; the others are only named."""
STANDARDISED_NEEDS = 10
"""Other prototypes, below which a standardised logit means nothing."""
NEAR = 0.3
"""Similarity below which a photograph is not shown as near to a prototype."""


@dataclass(frozen=True)
class Entry:
    """A prototype or a photograph on the page: with all there is of it, or only in the index."""

    of: Prototype | Sample
    anchor: str
    title: str
    name: str
    """What stands below it in the index, and `facts` after it."""
    facts: str
    in_full: bool
    wrong: bool = False
    """Whether the model's answer is not the label."""


@dataclass(frozen=True)
class Shown:
    """A finding on the page."""

    of: Finding
    anchor: str
    consequence: str
    action: str
    explained_by: tuple[tuple[str, str], ...]
    """(anchor, title) of the findings that may be its cause."""


def render_html(
    audit: Audit, folder: Path, selection: Selection | None = None, *, paper: bool = False
) -> str:
    """Return the report as HTML, with the pictures that lie in `folder` embedded.

    selection: the prototypes and photographs shown with all there is of them; the others are
    only in the index of pictures. None: all. paper: for the PDF, which leaves the tables to the
    page on the screen.
    Raises PictureRefused: a picture the audit names is missing or outside `folder`.
    """
    labels = ClassLabels(audit.classes)
    chosen = selection or everything(audit)
    pictures = Pictures(folder, paper=paper)
    page: str = template("report.html.j2").render(
        audit=audit,
        paper=paper,
        labels=labels,
        pictures=pictures,
        regions=Regions(audit, pictures),
        boxes=Boxes(pictures, labels, [*audit.prototypes, *audit.samples]),
        BOXES_SHOWN=BOXES_SHOWN,
        PAIRS_SHOWN=PAIRS_SHOWN,
        prototypes=list(_prototypes(audit, labels, chosen)),
        photographs=list(_photographs(audit, labels, chosen)),
        findings=_findings(audit),
        concern=concern_of(audit),
        declared=[(what, value) for what, value in wording.facts_of(audit.declared) if value],
        confusion=confusion_of(audit.samples),
        assumed=open_assumptions(audit.model.preprocessing),
        where_averaged=wording.where_averaged(audit.model),
        scale=entanglement_scale(audit.prototypes),
        started=started_at(audit.environment.started),
        limits=limits_of(audit),
        requirements=requirements(),
        matrix=entanglement_matrix(audit, labels),
        calibration=None if audit.centroids else calibration(audit.samples),
        long_names=[
            (labels[i], name)
            for i, name in sorted(_named(audit))
            if "," in name and labels[i] != name
        ],
        overlapping=any(e.overlap is not None for p in audit.prototypes for e in p.entanglements),
        standardised=len(audit.prototypes) > STANDARDISED_NEEDS,
        ramp_colour=ramp_colour,
        MAP_COLOURS=MAP_COLOURS,
        NEAR=NEAR,
        CALIBRATION_NEEDS=CALIBRATION_NEEDS,
        THUMBNAILS_SHOWN=THUMBNAILS_SHOWN,
        PHOTOGRAPHS_OPEN=PHOTOGRAPHS_IN_FULL,
        TOP_FINDINGS=TOP_FINDINGS,
        GRID_ON_PAPER=GRID_ON_PAPER,
        FINDINGS_ON_PAPER=FINDINGS_ON_PAPER,
    )
    return page


def _findings(audit: Audit) -> list[Shown]:
    anchors = {each.id: f"finding-{place}" for place, each in enumerate(audit.findings, 1)}
    titles = {each.id: each.title for each in audit.findings}
    return [
        Shown(
            each,
            f"finding-{place}",
            consequence_of(each),
            action_of(each),
            tuple((anchors[id_], titles[id_]) for id_ in each.explained_by if id_ in anchors),
        )
        for place, each in enumerate(audit.findings, 1)
    ]


def _named(audit: Audit) -> set[tuple[int, str]]:
    """The classes that the report names."""
    indices = {k for each in audit.prototypes for k in each.target}
    indices |= {e.class_ for p in audit.prototypes for e in p.entanglements}
    indices |= {p.class_ for s in audit.samples for p in s.predicted}
    indices |= {d.class_ for s in audit.samples for d in s.detections}
    indices |= {s.known for s in audit.samples if s.known is not None}
    return {(k, audit.classes[k]) for k in indices if k < len(audit.classes)}


def _prototypes(audit: Audit, labels: ClassLabels, chosen: Selection) -> Iterator[Entry]:
    times = Counter(each.target for each in audit.prototypes)
    for place, each in enumerate(audit.prototypes):
        name = labels.of(each.target)
        title = f"{name}, replicate {each.replicate + 1}" if times[each.target] > 1 else name
        facts = f"{percent(each.prob)}, rank {each.rank:,}"
        yield Entry(each, f"prototype-{place + 1}", title, title, facts, place in chosen.prototypes)


def _photographs(audit: Audit, labels: ClassLabels, chosen: Selection) -> Iterator[Entry]:
    """Yield the photographs, those answered wrong first."""
    detector = audit.model.task == "detection"
    for place in wrong_first(audit.samples):
        each = audit.samples[place]
        name, facts = shortened(each.file, 32), _answer(each, labels, detector=detector)
        title = f"{name}: {facts}" if facts else name
        wrong = bool(
            each.predicted and each.known is not None and each.predicted[0].class_ != each.known
        )
        if detector:
            found = {one.class_ for one in each.detections}
            wrong = each.known is not None and each.known not in found
        anchor = f"photograph-{place + 1}"
        yield Entry(each, anchor, title, name, facts, place in chosen.samples, wrong)


def _answer(sample: Sample, labels: ClassLabels, *, detector: bool) -> str:
    """What the model says to a photograph, in few words; nothing where it was not asked."""
    if not sample.predicted:
        return ""
    if detector:
        return wording.objects_found(sample, labels)
    first = sample.predicted[0]
    if first.share is not None:
        parts = [f"‘{labels[p.class_]}’ {percent(p.share or 0)}" for p in sample.predicted[:3]]
        return f"{', '.join(parts)} of the map"
    return f"‘{labels[first.class_]}’ {percent(first.prob)}"
