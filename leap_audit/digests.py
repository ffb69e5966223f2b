"""Hash files with SHA-256."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from leap_audit.files import open_regular

__all__ = ["digest_of", "files_of", "sha256_of"]


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits. Raises OSError."""
    with open_regular(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def digest_of(files: Sequence[Path]) -> str:
    """Return the SHA-256 of a file's bytes; of several, of their names and digests in order."""
    if len(files) == 1:
        return sha256_of(files[0])
    top = Path(*_common(files))
    lines = "".join(f"{sha256_of(file)}  {file.relative_to(top).as_posix()}\n" for file in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def files_of(path: Path) -> list[Path]:
    """Return the file, or all files below the folder in order."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _common(files: Sequence[Path]) -> Iterator[str]:
    for parts in zip(*(file.parent.parts for file in files), strict=False):
        if len(set(parts)) > 1:
            return
        yield parts[0]
