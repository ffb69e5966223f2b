"""The verdict: an audit compared with declared thresholds."""

from leap_audit.policy.checks import CHECKS, CheckKind
from leap_audit.policy.declared import READY, Policy, read_policy, ready_text
from leap_audit.policy.verdict import judge, overall

__all__ = [
    "CHECKS",
    "READY",
    "CheckKind",
    "Policy",
    "judge",
    "overall",
    "read_policy",
    "ready_text",
]
