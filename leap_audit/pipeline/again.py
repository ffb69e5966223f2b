"""An audit shown again, and judged again, from its audit.json; nothing is computed anew."""

import shutil
from pathlib import Path

from leap_audit.digests import sha256_of
from leap_audit.ingest.audits import ForeignAudit, open_audit, refusing_what_cannot_be_shown
from leap_audit.pipeline.result import AuditResult
from leap_audit.policy import judge, read_policy
from leap_audit.publish.folder import AuditFolder, write_file
from leap_audit.report import write_report
from leap_audit.report.junit import hold_place, junit_of_audit

__all__ = ["render_again"]


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
    write to another folder instead of in place. In place the folder is swapped in one step.

    Raises AuditRefused: it is no audit. PictureRefused: a picture it names is missing, broken or
    outside its folder. ConfigRefused: the policy. OutputRefused: the place to write to.
    """
    folder = (given if given.is_dir() else given.parent).absolute()
    opened_audit = open_audit(given)
    audit = opened_audit.audit
    if policy is not None:
        audit = judge(audit, read_policy(policy))
    place = out.absolute() if out else folder
    if junit is not None:
        hold_place(junit, place)
    with AuditFolder.open(place) as opened:
        files = _carry(opened_audit, opened.staging / "images")
        audit = audit.model_copy(update={"files": files if audit.files else {}})
        with refusing_what_cannot_be_shown(given):
            write_report(audit, opened.staging)
        place = opened.publish(audit.status == "complete")
    if junit is not None:
        write_file(junit, junit_of_audit(audit))
    return AuditResult(place if out else given if given.is_dir() else given.parent, audit)


def _carry(given: ForeignAudit, images: Path) -> dict[str, str]:
    """Copy the pictures of an audit, and return the SHA-256 of each.

    As bytes they are those that were audited, unless another version of Pillow wrote these.
    """
    digests = {}
    for picture in sorted((given.copy / "images").iterdir()):
        shutil.copyfile(picture, images / picture.name)
        digests[f"images/{picture.name}"] = sha256_of(picture)
    return digests
