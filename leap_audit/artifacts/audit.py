"""The contents of audit.json: the one source of every view."""

import errno
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from leap_audit.artifacts.embedding import (
    DoubtedSample,
    EmbeddingAudit,
    are_centroids,
    is_encoder,
)
from leap_audit.artifacts.experiments import ClassSuspicion, Trial
from leap_audit.artifacts.frozen import Frozen
from leap_audit.artifacts.identity import Coverage, Declared, Environment, ModelIdentity
from leap_audit.artifacts.judged import Check, Finding, PolicyIdentity, Question, Verdict
from leap_audit.artifacts.measured import EntanglementMatrix, Prototype, Readings, Sample
from leap_audit.artifacts.plausible import implausible
from leap_audit.errors import AuditRefused, reason_of
from leap_audit.files import read_regular

__all__ = ["FILE", "LARGEST", "SCHEMA", "Audit"]

SCHEMA = "leap-audit/1"
FILE = "audit.json"
LARGEST = 256_000_000
"""Bytes of an audit.json that is read."""


class Audit(Frozen):
    schema_: Annotated[str, Field(alias="schema")] = SCHEMA
    status: Literal["complete", "incomplete"]
    verdict: Verdict = "NOT ASSESSED"
    policy: PolicyIdentity | None = None
    """The policy that the verdict follows from; None where nobody declared thresholds."""
    checks: tuple[Check, ...] = ()
    """In the order of the policy."""
    declared: Declared = Declared()
    """What the user says about the model; the audit does not check it."""
    model: ModelIdentity
    classes: tuple[str, ...]
    environment: Environment
    config: dict[str, Any]
    coverage: Coverage
    methods: dict[str, Any] = Field(default_factory=dict)
    """Stage -> its method and the figures it ran with, for the method page."""
    notes: tuple[str, ...] = ()
    """Notes for the reader on how this audit was made: assumptions, duplicates, caps."""
    prototypes: tuple[Prototype, ...] = ()
    matrix: EntanglementMatrix | None = None
    """None where no prototype was made."""
    samples: tuple[Sample, ...] = ()
    readings: Readings | None = None
    """None where no photograph's class is known."""
    suspicion: tuple[ClassSuspicion, ...] = ()
    """A row for each audited class, in the order of their prototypes; empty in audits of versions
    without experiments."""
    experiments: tuple[Trial, ...] = ()
    """Every trial, corrected over all of them."""
    embedding: EmbeddingAudit | None = None
    """The vectors of an encoder; None of a model that is none."""
    doubted: tuple[DoubtedSample, ...] = ()
    """Photographs that look mislabelled, the highest self-influence first."""
    judged: int = 0
    """Photographs whose labels were judged for that."""
    findings: tuple[Finding, ...] = ()
    questions: tuple[Question, ...] = ()
    """Every rule that was applied; empty in audits that did not record them."""
    files: dict[str, str] = Field(default_factory=dict)
    """Path in the folder -> SHA-256 of each picture; empty in audits that did not record them."""

    @property
    def encoder(self) -> bool:
        """Return whether the model is an encoder, and directions stand for classes."""
        return is_encoder(self.model, self.embedding)

    @property
    def centroids(self) -> bool:
        """Return whether classes are centroids of the labelled photographs."""
        return are_centroids(self.embedding)

    @model_validator(mode="after")
    def _targets_exist(self) -> Self:
        """Also of findings whose target was read from their id, which `implausible` cannot see."""
        if any(index >= len(self.classes) for each in self.findings for index in each.target):
            raise ValueError("findings: one is about a class that is not among the classes")
        return self

    @model_validator(mode="after")
    def _matrix_fits(self) -> Self:
        if self.matrix is not None:
            rows = self.matrix.cosines
            if len(rows) != len(self.prototypes) or any(
                len(row) != len(self.matrix.classes) for row in rows
            ):
                raise ValueError("matrix: needs a row per prototype and a column per class")
        return self

    def write(self, folder: Path) -> None:
        """Write `folder`/audit.json, the single source of every other view."""
        text = self.model_dump_json(by_alias=True, indent=1)
        (folder / FILE).write_text(text + "\n", encoding="utf-8", newline="\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the audit in `folder`, or of the file audit.json itself.

        Raises AuditRefused: there is none, it is broken, or a later version wrote it.
        """
        path = folder / FILE if folder.is_dir() else folder
        try:
            data = read_regular(path, LARGEST)
        except FileNotFoundError:
            raise AuditRefused(
                f"{path}: there is no audit; give the folder that `leap-audit MODEL` wrote."
            ) from None
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise AuditRefused(
                    f"{path}: is above {LARGEST // 10**6} MB, too large an audit."
                ) from None
            raise AuditRefused(f"{path}: cannot be read ({error.strerror}).") from None
        return cls.parse(data, path)

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Self:
        """Return the audit that the bytes of an audit.json hold; path: what messages name.

        Raises AuditRefused: broken, of a later version, or with what no audit holds.
        """
        try:
            record = json.loads(data)
            schema = record.get("schema") if isinstance(record, dict) else None
        except (ValueError, RecursionError) as error:
            raise AuditRefused(f"{path}: is not JSON ({reason_of(error)}).") from None
        if schema != SCHEMA:
            holds = repr(schema)[:40] if schema is not None else "no schema"
            raise AuditRefused(
                f"{path}: holds {holds}, not {SCHEMA!r}; the version of leap-audit that wrote it "
                "can read it."
            )
        if wrong := implausible(record):
            raise AuditRefused(
                f"{path}: holds {wrong}, which no audit does; it was changed. Run the audit again."
            )
        try:
            return cls.model_validate(record)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise AuditRefused(
                f"{path}: is not a whole audit ({where}: {first['msg']}); it was changed or "
                "another version wrote it. Run the audit again."
            ) from None
