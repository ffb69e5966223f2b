"""A finished audit that something is made of, and what is said of it in a few figures."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from leap_audit.artifacts import Audit
from leap_audit.artifacts.audit import FILE
from leap_audit.digests import sha256_of
from leap_audit.errors import AuditRefused

__all__ = ["Figure", "Record", "figures_of"]


@dataclass(frozen=True)
class Figure:
    """One of the few figures that an audit is summed up in."""

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

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the audit in `folder`. Raises AuditRefused: there is none, or it is broken."""
        if not folder.is_dir():
            raise AuditRefused(
                f"{folder}: is no folder of an audit; give the one that `leap-audit MODEL` wrote."
            )
        audit = Audit.read(folder)
        return cls(folder, audit, sha256_of(folder / FILE))

    def file(self, name: str) -> Path:
        """Return the place of a file in the folder. Raises AuditRefused: it is not there."""
        path = self.folder / name
        if not path.is_file():
            raise AuditRefused(f"{path}: is missing from the audit; run the audit again.")
        return path


def figures_of(audit: Audit) -> list[Figure]:
    """Return the key figures of an audit, each counted from what audit.json holds.

    What was not measured is said to be so.
    """
    coverage = audit.coverage
    severities = Counter(finding.severity for finding in audit.findings)
    isolations = [i for p in audit.prototypes for i in p.isolations]
    isolations += [i for s in audit.samples for i in s.isolations]
    readings = audit.readings
    found = ", ".join(f"{n} {severity}" for severity, n in severities.items())  # gravest first
    return [
        Figure("status", "Status", audit.status),
        Figure("verdict", "Verdict", audit.verdict),
        Figure(
            "classes", "Classes audited", f"{coverage.classes_audited} of {coverage.classes_in_all}"
        ),
        Figure(
            "prototypes",
            "Prototypes the model answers with their class",
            _of([p.rank == 1 for p in audit.prototypes]),
        ),
        Figure("isolations", "Isolations that kept the class", _of([i.enough for i in isolations])),
        Figure("photographs", "Photographs examined", str(len(audit.samples))),
        Figure(
            "right",
            "Photographs of known classes answered right",
            "not measured" if readings is None else f"{readings.right} of {readings.photographs}",
        ),
        Figure("findings", "Findings", found or "none"),
    ]


def _of(held: list[bool]) -> str:
    return f"{sum(held)} of {len(held)}" if held else "not measured"
