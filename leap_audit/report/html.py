"""An audit to one HTML file that needs nothing else: no script, no network, no second file."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leap_audit.artifacts import Audit, Prototype, Sample
from leap_audit.findings import FINDING_RULES
from leap_audit.report import wording
from leap_audit.report.charts import CALIBRATION_NEEDS, calibration, entanglement_scale
from leap_audit.report.limits import limits_of, requirements
from leap_audit.report.matrix import entanglement_matrix
from leap_audit.report.pictures import Pictures
from leap_audit.report.selection import Selection, everything
from leap_audit.report.templates import started_at, template
from leap_audit.text.names import ClassLabels, shortened
from leap_audit.text.numbers import percent

__all__ = ["render_html"]

THUMBNAILS_SHOWN = 12
TOP_FINDINGS = 3


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


def render_html(audit: Audit, folder: Path, selection: Selection | None = None) -> str:
    """Return the report as HTML, with the pictures that lie in `folder` embedded.

    selection: the prototypes and photographs shown with all there is of them; the others are
    only in the index of pictures. None: all.

    Raises PictureRefused: a picture the audit names is missing or outside `folder`.
    """
    labels = ClassLabels(audit.classes)
    chosen = selection or everything(audit)
    raised = {finding.rule for finding in audit.findings}
    page: str = template("report.html.j2").render(
        audit=audit,
        labels=labels,
        pictures=Pictures(folder),
        prototypes=list(_prototypes(audit, labels, chosen)),
        photographs=list(_photographs(audit, labels, chosen)),
        where_averaged=wording.where_averaged(audit.model),
        scale=entanglement_scale(audit.prototypes),
        started=started_at(audit.environment.started),
        limits=limits_of(audit),
        quiet_rules=[rule for rule in FINDING_RULES if rule.id not in raised],
        requirements=requirements(),
        matrix=entanglement_matrix(audit, labels),
        calibration=calibration(audit.samples),
        CALIBRATION_NEEDS=CALIBRATION_NEEDS,
        THUMBNAILS_SHOWN=THUMBNAILS_SHOWN,
        TOP_FINDINGS=TOP_FINDINGS,
    )
    return page


def _prototypes(audit: Audit, labels: ClassLabels, chosen: Selection) -> Iterator[Entry]:
    times = Counter(each.target for each in audit.prototypes)
    for place, each in enumerate(audit.prototypes):
        name = labels.of(each.target)
        title = f"{name}, replicate {each.replicate + 1}" if times[each.target] > 1 else name
        facts = f"{percent(each.prob)}, place {each.rank:,}"
        yield Entry(each, f"prototype-{place + 1}", title, title, facts, place in chosen.prototypes)


def _photographs(audit: Audit, labels: ClassLabels, chosen: Selection) -> Iterator[Entry]:
    for place, each in enumerate(audit.samples):
        name, facts = shortened(each.file), _answer(each, labels)
        title = f"{name}: {facts}" if facts else name
        yield Entry(each, f"photograph-{place + 1}", title, name, facts, place in chosen.samples)


def _answer(sample: Sample, labels: ClassLabels) -> str:
    """What the model says to a photograph, in few words; nothing where it was not asked."""
    if not sample.predicted:
        return ""
    first = sample.predicted[0]
    if first.share is not None:
        parts = [f"‘{labels[p.class_]}’ {percent(p.share or 0)}" for p in sample.predicted[:3]]
        return f"{', '.join(parts)} of the map"
    return f"‘{labels[first.class_]}’ {percent(first.prob)}"
