"""An audit shown again, and judged again, from its audit.json; nothing is computed anew."""

import shutil
from pathlib import Path

from leap_audit.artifacts import Audit
from leap_audit.errors import AuditRefused
from leap_audit.pipeline.flow import AuditResult
from leap_audit.policy import judge, read_policy
from leap_audit.report import write_report
from leap_audit.report.folder import AuditFolder
from leap_audit.report.junit import hold_place, junit_of_audit, write_junit

__all__ = ["render_again"]

_VIEWS = frozenset({"audit.json", "report.html", "report.pdf", "results.csv"})


def render_again(
    given: Path,
    *,
    policy: str | Path | None = None,
    junit: Path | None = None,
    out: Path | None = None,
) -> AuditResult:
    """Write every view of an audit again; return the audit and where it lies.

    given: the folder of an audit, or its audit.json. policy: judge it by this one, a file or the
    name of a ready one; None keeps the verdict it has. junit: also write its checks there. out:
    write to another folder instead of in place. In place the folder is swapped in one step, and
    what else an audit keeps there is kept.

    Raises AuditRefused: it is no audit. PictureRefused: a picture it names is missing, broken or
    outside its folder. ConfigRefused: the policy. OutputRefused: the place to write to.
    """
    folder = (given if given.is_dir() else given.parent).absolute()
    audit = Audit.read(given)
    if policy is not None:
        audit = judge(audit, read_policy(policy))
    place = out.absolute() if out else folder
    if junit is not None:
        hold_place(junit, place)
    with AuditFolder.open(place) as opened:
        _carry(folder, opened.staging, everything=out is None)
        write_report(audit, opened.staging)
        place = opened.publish(audit.status == "complete")
    if junit is not None:
        write_junit(junit_of_audit(audit), junit)
    return AuditResult(place if out else given if given.is_dir() else given.parent, audit)


def _carry(folder: Path, staging: Path, *, everything: bool) -> None:
    """Copy the pictures of an audit, and with `everything` what else it keeps beside its views."""
    kept = sorted(folder.iterdir()) if everything else [folder / "images"]
    for entry in kept:
        if entry.name == "images" and not entry.is_symlink() and entry.is_dir():
            for picture in sorted(entry.iterdir()):
                _copy(picture, staging / "images")
        elif entry.name not in _VIEWS:
            _copy(entry, staging)


def _copy(entry: Path, folder: Path) -> None:
    if entry.is_symlink() or not entry.is_file():
        raise AuditRefused(
            f"{entry}: is a link or no plain file, which no audit writes; take it away."
        )
    shutil.copyfile(entry, folder / entry.name)
