"""An in-toto test-result statement about the model.

Statement v1 with the predicate https://in-toto.io/attestation/test-result/v0.1.
"""

import json
from typing import Any

from leap_audit.artifacts import Audit
from leap_audit.artifacts.audit import FILE
from leap_audit.attach.record import Record
from leap_audit.errors import AuditRefused

__all__ = ["PREDICATE", "STATEMENT", "intoto_of", "statement_of"]

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
RESULTS = {"PASS": "PASSED", "WARN": "WARNED", "FAIL": "FAILED"}


def intoto_of(record: Record) -> bytes:
    """Return the statement as JSON. Raises AuditRefused as `statement_of` does."""
    return (json.dumps(statement_of(record), indent=2, ensure_ascii=False) + "\n").encode()


def statement_of(record: Record) -> dict[str, Any]:
    """Return the statement: subject is the model, configuration the policy and audit.json.

    Raises AuditRefused: there is no verdict to state, or the audit is not whole and passed.
    """
    audit = record.audit
    if audit.policy is None or audit.verdict not in RESULTS:
        raise AuditRefused(
            f"{record.folder}: has no verdict, so that there is no result to state; audit it "
            "against a policy first."
        )
    if audit.status != "complete" and audit.verdict != "FAIL":
        raise AuditRefused(
            f"{record.folder}: the audit was interrupted, which states no result; run it again."
        )
    policy = audit.policy
    return {
        "_type": STATEMENT,
        "subject": [{"name": audit.model.file, "digest": {"sha256": audit.model.sha256}}],
        "predicateType": PREDICATE,
        "predicate": {
            "result": RESULTS[audit.verdict],
            "configuration": [
                {"name": policy.file or policy.name, "digest": {"sha256": policy.sha256}},
                {"name": FILE, "digest": {"sha256": record.sha256}},
            ],
            "passedTests": _checks(audit, "PASS"),
            "warnedTests": _checks(audit, "WARN"),
            "failedTests": _checks(audit, "FAIL"),
        },
    }


def _checks(audit: Audit, status: str) -> list[str]:
    return [check.id for check in audit.checks if check.status == status]
