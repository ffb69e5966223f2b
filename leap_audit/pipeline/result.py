"""The result of an audit: the record, its folder, and how Python and notebooks show it."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path

from leap_audit.artifacts import Audit, Finding
from leap_audit.findings import concern_of
from leap_audit.report.pictures import Pictures
from leap_audit.report.templates import template
from leap_audit.text.filenames import legible
from leap_audit.text.names import visible
from leap_audit.text.numbers import count

__all__ = ["AuditResult"]

FINDINGS = 5
"""Findings on a card; the report has them all."""
PROTOTYPES = 12
"""Prototypes on a card of a notebook."""


@dataclass(frozen=True, repr=False)
class AuditResult:
    """A finished audit and the folder that holds it.

    Its repr is a card of a few lines: verdict, overall concern, findings, the place of the report.
    A notebook shows the card with the prototypes.
    """

    folder: Path
    audit: Audit

    @property
    def report(self) -> Path:
        """The HTML report; report.pdf, audit.json and results.csv are beside it."""
        return self.folder / "report.html"

    def open(self) -> bool:
        """Open the HTML report in the web browser; return whether one could be started."""
        return webbrowser.open(self.report.resolve().as_uri())

    def __repr__(self) -> str:
        return "\n".join(
            [
                f"Audit of {visible(self.audit.model.file)}: {self._extent()}",
                f"  Verdict   {self.audit.verdict}",
                f"  Concern   {concern_of(self.audit).level}",
                *(f"  Finding   {each.severity}: {visible(each.title)}" for each in self._first()),
                *([f"            {self._more()}"] if self._more() else []),
                f"  Report    {legible(self.report)}",
            ]
        )

    def _repr_html_(self) -> str:
        """Return the card as HTML, which Jupyter shows in place of the repr."""
        return template("result.html.j2").render(
            audit=self.audit,
            concern=concern_of(self.audit),
            extent=self._extent(),
            findings=self._first(),
            more=self._more(),
            pictures=Pictures(self.folder),
            prototypes=self.audit.prototypes[:PROTOTYPES],
            report=legible(self.report),
            link=self.report.resolve().as_uri(),
        )

    def _extent(self) -> str:
        coverage = self.audit.coverage
        return (
            f"{self.audit.status}, {coverage.classes_audited} of {coverage.classes_in_all} "
            f"classes, {count(len(self.audit.samples), 'photograph')}"
        )

    def _first(self) -> tuple[Finding, ...]:
        return self.audit.findings[:FINDINGS]

    def _more(self) -> str:
        more = len(self.audit.findings) - FINDINGS
        return f"and {count(more, 'more finding')}" if more > 0 else ""
