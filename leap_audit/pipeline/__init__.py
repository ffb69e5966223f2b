"""The whole way, from a file to a report: each stage called once, in order."""

from leap_audit.pipeline.flow import audit
from leap_audit.pipeline.inspection import Inspection, inspect
from leap_audit.pipeline.result import AuditResult

__all__ = ["AuditResult", "Inspection", "audit", "inspect"]
