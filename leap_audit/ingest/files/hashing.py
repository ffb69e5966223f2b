"""Read a file together with its SHA-256.

A file that changes meanwhile is refused, so that the digest in the report belongs to the bytes that
were measured.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from leap_audit.digests import sha256_of
from leap_audit.errors import LeapAuditError
from leap_audit.files import require_regular

__all__ = ["read_hashed"]

R = TypeVar("R")


def read_hashed(
    path: Path, read: Callable[[], R], refusal: type[LeapAuditError], label: str = ""
) -> tuple[R, str]:
    """Return the result of `read` on a file, and the SHA-256 of the bytes that it read.

    label: what messages call the file; its path unless given.

    Raises `refusal`: the file is no regular one, or changed while it was read.
    """
    where = label or str(path)
    try:
        before = require_regular(path)
        digest = sha256_of(path)
        result = read()
        after = require_regular(path)
    except OSError as error:
        raise refusal(f"{where}: cannot be read ({error.strerror or error}).") from None
    same = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    if any(getattr(before, each) != getattr(after, each) for each in same):
        raise refusal(f"{where}: changed while it was read; run the audit again.")
    return result, digest
