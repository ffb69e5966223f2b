"""What the commands that judge an audit have in common: their flags, and how they end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from leap_audit.cli.flags import option
from leap_audit.errors import AuditIncomplete, reason_of

if TYPE_CHECKING:
    from leap_audit.artifacts import Audit

__all__ = ["Junit", "Policy", "checks_of", "exit_code", "lines_of_checks", "refusals_in"]

_PANEL = "Verdict"


Policy = Annotated[
    str | None,
    option(
        "--policy",
        _PANEL,
        "Thresholds to judge by: a TOML file, or default, first-week, release.",
        "FILE|NAME",
    ),
]
Junit = Annotated[
    Path | None, option("--junit", _PANEL, "Write the checks as JUnit XML, for CI.", "FILE.xml")
]


@contextmanager
def refusals_in(junit: Path | None, folder: Path) -> Iterator[None]:
    """Write to `junit` why there is no audit in `folder`, if there is none.

    So what an earlier run left there is not taken for the answer of this one. Where an audit was
    interrupted its own checks have been written.
    """
    if junit is None:
        yield
        return
    from leap_audit.publish.folder import write_file
    from leap_audit.report.junit import hold_place, junit_of_refusal

    hold_place(junit, folder)
    try:
        yield
    except AuditIncomplete:
        raise
    except (Exception, KeyboardInterrupt) as error:
        write_file(junit, junit_of_refusal(f"{type(error).__name__}: {reason_of(error)}."))
        raise


def exit_code(audit: "Audit") -> int:
    """Return 0 for what is done or passed, 1 for a threshold failed, 3 where there is no verdict.

    That is where the audit is incomplete, or a policy was given and could not be assessed.
    """
    if audit.status == "incomplete":
        return 3
    if audit.verdict == "FAIL":
        return 1
    return 3 if audit.verdict == "NOT ASSESSED" and audit.policy is not None else 0


def checks_of(audit: "Audit") -> dict[str, Any]:
    """Return the policy and its checks for programs: each with value, threshold and sentences."""
    return {
        "policy": audit.policy.name if audit.policy else None,
        "checks": [check.model_dump(mode="json") for check in audit.checks],
    }


def lines_of_checks(audit: "Audit", limit: int = 10) -> list[str]:
    """Return a line for each check that failed, warned, or kept the audit from a verdict."""
    grave = [check for check in audit.checks if check.status == "FAIL"]
    grave += [check for check in audit.checks if check.status == "WARN"]
    grave += [c for c in audit.checks if c.status == "NOT ASSESSED" and c.required]
    lines = [
        f"  {check.status}: {check.id}: {check.measured} Threshold: {check.threshold}"
        for check in grave[:limit]
    ]
    if len(grave) > limit:
        lines.append(f"  and {len(grave) - limit} more checks in the report")
    return lines
