"""The two audits of a comparison, and the pictures that it takes from them."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from leap_audit.artifacts import (
    Audit,
    ClassSuspicion,
    EvidencePicture,
    Finding,
    Isolation,
    Prototype,
    Sample,
)
from leap_audit.compare.record import SideIdentity
from leap_audit.ingest.audits import ForeignAudit, open_audit
from leap_audit.report.pictures import Pictures
from leap_audit.text.filenames import legible

__all__ = ["Gallery", "Side"]


@dataclass(frozen=True)
class Side:
    """An audit and the folder it lies in."""

    audit: Audit
    folder: Path
    sha256: str = ""
    """Of its audit.json; empty where it was not read from one."""
    foreign: ForeignAudit | None = None
    """The decoded copy of it; None where this process made the audit."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the audit in a folder, or of an audit.json. Raises AuditRefused."""
        foreign = open_audit(path)
        return cls(foreign.audit, foreign.folder, foreign.sha256, foreign)

    @property
    def pictures(self) -> Path:
        """The folder that its pictures are read from."""
        return self.foreign.copy if self.foreign else self.folder

    @property
    def identity(self) -> SideIdentity:
        """The identity of the audit, as the comparison records it."""
        audit = self.audit
        return SideIdentity(
            folder=legible(self.folder.resolve().name),
            sha256=self.sha256,
            status=audit.status,
            verdict=audit.verdict,
            policy=audit.policy,
            started=audit.environment.started,
            model=audit.model,
            classes=len(audit.classes),
            prototypes=len(audit.prototypes),
            photographs=len(audit.samples),
            findings=len(audit.findings),
        )


class Gallery:
    """The pictures of a comparison: each written once, under a name made of what it shows."""

    def __init__(self, folder: Path, side: Side) -> None:
        self.folder = folder
        """Of the comparison; it has a folder `images`."""
        self._source = Pictures(side.pictures)
        self._names: dict[str, str] = {"": ""}

    def add(self, name: str) -> str:
        """Return the name, in the comparison, of a picture of the audit; '' stays ''.

        Raises PictureRefused: it is missing, no PNG, or outside the audit's folder.
        """
        if name not in self._names:
            out = io.BytesIO()
            self._source.read(name).save(out, "PNG")
            data = out.getvalue()
            copy = f"images/{hashlib.sha256(data).hexdigest()[:24]}.png"
            (self.folder / copy).write_bytes(data)
            self._names[name] = copy
        return self._names[name]

    def finding(self, finding: Finding) -> Finding:
        """Return the finding with its pictures in the comparison."""
        return finding.model_copy(update={"pictures": self._copied(finding.pictures)})

    def suspicion(self, row: ClassSuspicion) -> ClassSuspicion:
        """Return the suspicion of a class with its pictures in the comparison."""
        return row.model_copy(update={"pictures": self._copied(row.pictures)})

    def prototype(self, prototype: Prototype) -> Prototype:
        """Return the prototype with its picture in the comparison, without its isolations, its
        curve and the pictures beside it."""
        stability = prototype.stability
        bare = stability.model_copy(update={"images": ()}) if stability else None
        return prototype.model_copy(
            update={
                "image": self.add(prototype.image),
                "bands": self.add(prototype.bands) if prototype.bands else None,
                "stability": bare,
                "isolations": (),
                "nearest": (),
                "curve": (),
            }
        )

    def sample(self, sample: Sample) -> Sample:
        """Return the photograph with its picture in the comparison, without its isolations."""
        bands = self.add(sample.bands) if sample.bands else None
        image = self.add(sample.image)
        return sample.model_copy(update={"image": image, "bands": bands, "isolations": ()})

    def isolation(self, isolation: Isolation) -> Isolation:
        """Return the isolation with its pictures in the comparison."""
        image, mask = self.add(isolation.image), self.add(isolation.mask)
        return isolation.model_copy(update={"image": image, "mask": mask})

    def _copied(self, pictures: Sequence[EvidencePicture]) -> tuple[EvidencePicture, ...]:
        return tuple(each.model_copy(update={"image": self.add(each.image)}) for each in pictures)
