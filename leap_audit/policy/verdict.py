"""Compute the checks of a policy on an audit, and the verdict that follows from them."""

import math
from collections.abc import Sequence

from leap_audit.artifacts import Audit, Check, Verdict
from leap_audit.policy.declared import DeclaredCheck, Policy
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope

__all__ = ["judge", "overall"]


def judge(audit: Audit, policy: Policy) -> Audit:
    """Return the audit with its checks and its verdict by the policy.

    Raises ConfigRefused: the policy names a class that the model does not have.
    """
    checks = tuple(_judged(audit, declared) for declared in policy.checks)
    return audit.model_copy(
        update={
            "policy": policy.identity,
            "checks": checks,
            "verdict": overall(checks, complete=audit.status == "complete"),
        }
    )


def overall(checks: Sequence[Check], *, complete: bool) -> Verdict:
    """Return the verdict that follows from the checks.

    FAIL if any failed. NOT ASSESSED if the audit is incomplete, a required check was not
    assessed, or none was. WARN if any warned. Otherwise, PASS.
    """
    statuses = {check.status for check in checks}
    if "FAIL" in statuses:
        return "FAIL"
    open_ = any(check.required and check.status == "NOT ASSESSED" for check in checks)
    if not complete or open_ or statuses <= {"NOT ASSESSED"}:
        return "NOT ASSESSED"
    return "WARN" if "WARN" in statuses else "PASS"


def _judged(audit: Audit, declared: DeclaredCheck) -> Check:
    scope = Scope(audit, declared.classes_in(audit.classes), declared.allowed_in(audit.classes))
    answer = declared.kind.answer(scope)
    status, measured = _status(answer, declared)
    if audit.status != "complete" and not (status == "FAIL" and declared.kind.lasting):
        so_far = f"; so far {measured}" if status != "NOT ASSESSED" else ""
        status, measured = "NOT ASSESSED", f"the audit is incomplete{so_far}"
    assessed = status != "NOT ASSESSED" and isinstance(answer, Assessed)
    return Check(
        id=declared.id,
        question=declared.kind.question,
        status=status,
        measured=f"{measured[:1].upper()}{measured[1:]}.",
        threshold=f"{declared.threshold[:1].upper()}{declared.threshold[1:]}.",
        value=answer.value if assessed and isinstance(answer, Assessed) else None,
        required=declared.said.required,
    )


def _status(answer: Assessment, declared: DeclaredCheck) -> tuple[Verdict, str]:
    """Return what the figure means for the thresholds, and what was measured, in words.

    Where the figure was sampled, the check fails when its whole interval does, and warns when the
    whole interval lies on the wrong side of the warning level. Else it is not assessed when the
    interval holds the threshold: more of the same would be needed to tell.
    """
    if isinstance(answer, NotAssessed):
        return "NOT ASSESSED", answer.reason
    if not math.isfinite(answer.value):
        return "NOT ASSESSED", "what was measured is not a number"
    low = answer.value if answer.low is None else answer.low
    high = answer.value if answer.high is None else answer.high
    worst, best = (low, high) if declared.kind.better == "higher" else (-high, -low)
    fail, warn = (_signed(level, declared) for level in (declared.fail, declared.warn))
    if best < fail:
        return "FAIL", answer.text
    if best < warn:
        unsure = ": too few to tell whether it fails" if worst < fail else ""
        return "WARN", f"{answer.text}{unsure}"
    if worst < fail:
        return "NOT ASSESSED", f"{answer.text}: too few to tell on which side it lies"
    return ("WARN" if worst < warn else "PASS"), answer.text


def _signed(threshold: float | None, declared: DeclaredCheck) -> float:
    """Return the threshold so that what lies below it is bad; without one nothing does."""
    if threshold is None:
        return -math.inf
    return threshold if declared.kind.better == "higher" else -threshold
