"""A finished audit and its key figures."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from leap_audit.artifacts import Audit
from leap_audit.errors import AuditRefused
from leap_audit.files import read_regular
from leap_audit.findings.evidence import stated_classes
from leap_audit.ingest.audits import ForeignAudit, open_audit
from leap_audit.text.names import ClassLabels

__all__ = ["Figure", "Record", "figures_of"]

LARGEST_VIEW = 1 << 30
"""Bytes of a report that may be attached."""


@dataclass(frozen=True)
class Figure:
    """A key figure of an audit."""

    id: str
    label: str
    text: str


@dataclass(frozen=True)
class Record:
    """The folder of an audit, and what its audit.json holds."""

    folder: Path
    audit: Audit
    sha256: str
    """Of audit.json."""
    foreign: ForeignAudit | None = None
    """The decoded copy of it; None where this process made the audit."""

    @classmethod
    def read(cls, folder: Path, *, altered: bool = False) -> Self:
        """Return the audit in `folder`; altered: also one with other pictures than it records.

        Raises AuditRefused: there is none, or it is broken.
        """
        if not folder.is_dir():
            raise AuditRefused(
                f"{folder}: is no folder of an audit; give the one that `leap-audit MODEL` wrote."
            )
        foreign = open_audit(folder, altered=altered)
        return cls(folder, foreign.audit, foreign.sha256, foreign)

    @property
    def pictures(self) -> Path:
        """The folder that its pictures are read from: a copy that was made of them."""
        return self.foreign.copy if self.foreign else self.folder

    def require_plain_files(self) -> None:
        """Raise AuditRefused where something in the folder is a link or no plain file."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise AuditRefused(
                    f"{path}: is a link or no plain file, which no audit writes; take it away."
                )

    def file(self, name: str) -> bytes:
        """Return what a file in the folder holds.

        Raises AuditRefused: it is not there, or a link, which may lead to any file of this machine.
        """
        path = self.folder / name
        if path.is_symlink() or not path.is_file():
            raise AuditRefused(
                f"{path}: is missing from the audit, or a link; run the audit again."
            )
        try:
            return read_regular(path, LARGEST_VIEW)
        except OSError as error:
            raise AuditRefused(f"{path}: cannot be read ({error.strerror}).") from None


def figures_of(audit: Audit) -> list[Figure]:
    """Return the key figures of an audit, each counted from what audit.json holds.

    Those that were not measured say so.
    """
    coverage = audit.coverage
    severities = Counter(finding.severity for finding in audit.findings)
    labels = ClassLabels(audit.classes)
    stated = [s.isolation for s in stated_classes(audit.prototypes, audit.samples, labels)]
    readings = audit.readings
    raised = ", ".join(f"{n} {severity}" for severity, n in severities.items())  # gravest first
    return [
        Figure("status", "Status", audit.status),
        Figure("verdict", "Verdict", audit.verdict),
        Figure(
            "classes", "Classes audited", f"{coverage.classes_audited} of {coverage.classes_in_all}"
        ),
        Figure(
            "prototypes",
            "Prototypes that the model answers with their class",
            _of([p.rank == 1 for p in audit.prototypes]),
        ),
        Figure(
            "isolations",
            "Explanations with a key region that is enough",
            _of([i.outcome != "not enough" for i in stated]),
        ),
        Figure("photographs", "Photographs examined", str(len(audit.samples))),
        Figure(
            "right",
            "Labelled photographs answered right",
            "not measured" if readings is None else f"{readings.right} of {readings.photographs}",
        ),
        Figure("findings", "Findings", raised or "none"),
    ]


def _of(held: list[bool]) -> str:
    return f"{sum(held)} of {len(held)}" if held else "not measured"
