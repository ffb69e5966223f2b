"""The whole way, from a file to a report: each stage called once, in order."""

from leap_audit.pipeline.flow import AuditResult, audit

__all__ = ["AuditResult", "audit"]
