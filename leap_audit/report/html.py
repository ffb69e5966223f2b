"""An audit to one HTML file that needs nothing else: no script, no network, no second file."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import leap_audit
from leap_audit.artifacts import Audit, Prototype, Sample
from leap_audit.findings import RULES
from leap_audit.findings.names import ClassLabels, shortened, visible
from leap_audit.findings.numbers import count, percent
from leap_audit.report import wording
from leap_audit.report.charts import CALIBRATION_NEEDS, calibration, entanglement_matrix
from leap_audit.report.figures import curve, entanglement_scale
from leap_audit.report.limits import limits_of
from leap_audit.report.pictures import Pictures
from leap_audit.report.requirements import requirements

__all__ = ["render_html", "setting_rows", "started_at", "template_environment", "template_folder"]

TEXT_LIMIT = 4000
"""Characters of any one text of the audit that are displayed."""
ROWS_LIMIT = 200
"""Rows of any one table that are displayed."""
ENTANGLEMENTS_SHOWN = 8
THUMBNAILS_SHOWN = 12
TOP_FINDINGS = 3


def template_folder() -> Path:
    """Return where the templates lie: inside the package, or beside it in a source checkout."""
    package = Path(leap_audit.__file__).parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def template_environment() -> Environment:
    """Return what fills the templates: every value escaped, visible and of bounded length."""
    environment = Environment(
        loader=FileSystemLoader(template_folder()),
        # select_autoescape() looks at the file's ending and would leave report.html.j2 unescaped.
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["css"] = _css
    environment.filters |= {
        "name": shortened,
        "number": wording.number,
        "percent": percent,
        "signed": wording.signed,
    }
    return environment


def render_html(audit: Audit, folder: Path) -> str:
    """Return the report as HTML, with the pictures that lie in `folder` embedded.

    Raises PictureRefused: a picture the audit names is missing or outside `folder`.
    """
    environment = template_environment()
    labels = ClassLabels(audit.classes)
    pictures = Pictures(folder)
    environment.filters |= {"size": wording.size, "rows": setting_rows}
    environment.globals |= {
        "labels": labels,
        "pictures": pictures,
        "count": count,
        "curve": curve,
        "wording": wording,
        "where_averaged": wording.where_averaged(audit.model),
        "scale": entanglement_scale(audit.prototypes),
        "prototype_title": lambda each: _prototype_title(each, labels, audit),
        "sample_title": lambda each: _sample_title(each, labels),
        "ENTANGLEMENTS_SHOWN": ENTANGLEMENTS_SHOWN,
        "THUMBNAILS_SHOWN": THUMBNAILS_SHOWN,
        "TOP_FINDINGS": TOP_FINDINGS,
        "CALIBRATION_NEEDS": CALIBRATION_NEEDS,
        "ROWS_LIMIT": ROWS_LIMIT,
    }
    raised = {finding.id.split(":")[0] for finding in audit.findings}
    return environment.get_template("report.html.j2").render(
        audit=audit,
        started=started_at(audit.environment.started),
        limits=limits_of(audit),
        quiet_rules=[rule for rule in RULES if rule.id not in raised],
        requirements=requirements(),
        matrix=entanglement_matrix(audit, labels),
        calibration=calibration(audit.samples),
    )


def _css(name: str) -> Markup:
    return Markup((template_folder() / name).read_text(encoding="utf-8"))


def _shown(value: Any) -> Any:
    """Make every value that a template prints visible and of bounded length."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return "not measured" if value is None else value
    if len(value) > TEXT_LIMIT:
        return shortened(value, TEXT_LIMIT)
    return visible(value)


def started_at(said: str) -> datetime | None:
    """Return when an audit began, UTC, from what it says; None where that is no date."""
    try:
        started = datetime.fromisoformat(said)
    except ValueError:
        return None
    return started.replace(tzinfo=UTC) if started.tzinfo is None else started.astimezone(UTC)


def _prototype_title(prototype: Prototype, labels: ClassLabels, audit: Audit) -> str:
    title = labels.of(prototype.target)
    several = sum(each.target == prototype.target for each in audit.prototypes) > 1
    return f"{title}, replicate {prototype.replicate + 1}" if several else title


def _sample_title(sample: Sample, labels: ClassLabels) -> str:
    if not sample.predicted:
        return shortened(sample.file)
    first = sample.predicted[0]
    if first.share is not None:
        parts = [f"‘{labels[p.class_]}’ {percent(p.share or 0)}" for p in sample.predicted[:3]]
        return f"{shortened(sample.file)}: {', '.join(parts)} of the map"
    return f"{shortened(sample.file)}: ‘{labels[first.class_]}’ {percent(first.prob)}"


def setting_rows(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as rows of (dotted name, value)."""
    return list(_flat(value, prefix))


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple) and all(not isinstance(v, Mapping) for v in value):
        yield prefix, ", ".join(_scalar(each) for each in value) or "none"
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value, 1):
            yield from _flat(inner, f"{prefix} {position}".strip())
    else:
        yield prefix, "none" if isinstance(value, Mapping) else _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
