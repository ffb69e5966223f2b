"""A CycloneDX ML-BOM: the model as a component, with a model card and its evidence.

CycloneDX 1.6. The Python library of CycloneDX holds no model cards, so that the document is
written here; the tests hold it against the schema in that library.
"""

import base64
import hashlib
import json
import uuid
from typing import Any

import leap_audit
from leap_audit.artifacts import Audit
from leap_audit.artifacts.audit import FILE
from leap_audit.attach.record import Record, figures_of
from leap_audit.attach.strip import shown_prototypes, strip_of
from leap_audit.report.limits import limits_of
from leap_audit.report.templates import started_at
from leap_audit.text.names import ClassLabels, visible

__all__ = ["bom_of", "cyclonedx_of"]

_NAMES = uuid.UUID("6f0d3c3e-3a8e-5d0a-9d35-0c1f6d1f2d51")
"""What serial numbers are derived from, so that the same audit has the same."""


def cyclonedx_of(record: Record) -> bytes:
    """Return the bill of materials as JSON; the same audit gives the same bytes."""
    return (json.dumps(bom_of(record), indent=2, ensure_ascii=False) + "\n").encode()


def bom_of(record: Record) -> dict[str, Any]:
    """Return the bill of materials. Raises AuditRefused, PictureRefused: a file is missing."""
    audit, model = record.audit, record.audit.model
    digest = [{"alg": "SHA-256", "content": model.sha256}]
    component = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": visible(model.file),
        "hashes": digest,
        "evidence": {
            "identity": [
                {
                    "field": "hash",
                    "confidence": 1,
                    "concludedValue": model.sha256,
                    "methods": [{"technique": "hash-comparison", "confidence": 1}],
                }
            ]
        },
        "modelCard": _card(record),
        "externalReferences": [
            _evidence(record, FILE, "Everything that was measured"),
            _evidence(record, "report.pdf", "The report"),
        ],
    }
    metadata: dict[str, Any] = {
        "tools": {
            "components": [
                {
                    "type": "application",
                    "name": "leap-audit",
                    "version": audit.environment.versions.get("leap-audit", leap_audit.__version__),
                }
            ]
        },
        "component": component,
    }
    if (when := _timestamp(audit)) is not None:
        metadata = {"timestamp": when} | metadata
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMES, record.sha256)}",
        "version": 1,
        "metadata": metadata,
    }


def _card(record: Record) -> dict[str, Any]:
    audit, model = record.audit, record.audit.model
    return {
        "modelParameters": {
            "task": f"image {'embedding' if audit.embedding is not None else model.task}",
            "inputs": [{"format": "image"}],
            "outputs": [{"format": f"scores of {len(audit.classes)} classes"}],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [*_figures(audit), *_checks(audit)],
            "graphics": {
                "description": "Pictures made to raise one class (prototypes)",
                "collection": _graphics(record),
            },
        },
        "considerations": {
            "technicalLimitations": [
                *(f"{visible(limit.title)}. {visible(limit.text)}" for limit in limits_of(audit)),
                *(
                    f"Suspicion ({finding.severity}): {visible(finding.title)}. "
                    f"{visible(finding.evidence)} {visible(finding.limits)}".rstrip()
                    for finding in audit.findings
                ),
            ],
        },
        "properties": [
            {"name": "leap-audit:schema", "value": audit.schema_},
            {"name": "leap-audit:status", "value": audit.status},
            {"name": "leap-audit:verdict", "value": audit.verdict},
        ],
    }


def _figures(audit: Audit) -> list[dict[str, str]]:
    return [{"type": figure.label, "value": visible(figure.text)} for figure in figures_of(audit)]


def _checks(audit: Audit) -> list[dict[str, str]]:
    """The checks of the policy, each with what it was held against."""
    return [
        {
            "type": f"check {visible(check.id)}",
            "value": f"{check.status}: {visible(check.measured)}",
            "slice": visible(check.threshold),
        }
        for check in audit.checks
    ]


def _graphics(record: Record) -> list[dict[str, Any]]:
    labels = ClassLabels(record.audit.classes)
    return [
        {
            "name": labels.of(each.target),
            "image": {
                "contentType": "image/png",
                "encoding": "base64",
                "content": base64.b64encode(strip_of([each], record.pictures)).decode("ascii"),
            },
        }
        for each in shown_prototypes(record.audit)
    ]


def _evidence(record: Record, name: str, about: str) -> dict[str, Any]:
    return {
        "type": "evidence",
        "url": name,
        "comment": about,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(record.file(name)).hexdigest()}],
    }


def _timestamp(audit: Audit) -> str | None:
    """When the audit began, as a time that JSON schemas know; None where it does not say."""
    started = started_at(audit.environment.started)
    return None if started is None else started.isoformat(timespec="seconds")
