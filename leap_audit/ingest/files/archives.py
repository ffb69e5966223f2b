"""Read a foreign ZIP archive: check every entry, and write a new archive from the checked ones.

A framework reads an archive in its own way: by names that differ in case, by the second of two
entries, by files of an older layout. So it never opens the original archive, but a new one with the
checked entries and nothing else.
"""

import io
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from leap_audit.errors import ModelRefused, reason_of
from leap_audit.files import read_regular

__all__ = ["LARGEST_FILE", "Archive", "open_archive", "write_archive"]

LARGEST_FILE = 64 << 30
MOST_ENTRIES = 100_000
LARGEST_FACTOR = 200
"""How much larger than the archive its contents may be: weights hardly shrink."""
LEAST_CONTENTS = 64 << 20
NAME = re.compile(r"[\w.\-+= /]{1,500}", re.ASCII)


class Archive:
    """The entries of a ZIP archive by their names, none of them twice, none that leads outside."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self._path, self._archive = path, archive
        self.entries: dict[str, zipfile.ZipInfo] = {}
        infos = archive.infolist()
        if len(infos) > MOST_ENTRIES:
            raise self.refused(f"holds {len(infos):,} entries, more than any model")
        visited: set[str] = set()
        for info in infos:
            self._look_at(info)
            if info.is_dir():
                continue
            if info.filename.casefold() in visited:
                raise self.refused(f"holds {info.filename[:80]!r} twice")
            visited.add(info.filename.casefold())
            self.entries[info.filename] = info
        contents = sum(info.file_size for info in infos)
        if contents > max(LEAST_CONTENTS, LARGEST_FACTOR * size):
            raise self.refused(f"its contents claim {contents:,} bytes, of an archive of {size:,}")

    def read(self, name: str, at_most: int | None = None) -> bytes:
        """Return the bytes of an entry. Raises ModelRefused: longer than that, or damaged."""
        info = self.entries[name]
        if at_most is not None and info.file_size > at_most:
            raise self.refused(f"{name[:80]!r} in it is too large for what it is")
        data = self._archive.read(info)
        if len(data) != info.file_size:
            raise self.refused(f"{name[:80]!r} in it has another size than it claims")
        return data

    def refused(self, what: str) -> ModelRefused:
        """Return the error that says what is wrong with the archive."""
        return ModelRefused(f"{self._path}: {what}; the file is damaged or hostile.")

    def _look_at(self, info: zipfile.ZipInfo) -> None:
        name = info.filename
        parts = name.split("/")
        if not NAME.fullmatch(name) or name.startswith("/") or ".." in parts:
            raise self.refused(f"holds an entry called {name[:80]!r}, which no exporter writes")
        if info.flag_bits & 0x1 or stat.S_ISLNK(info.external_attr >> 16):
            raise self.refused(f"{name[:80]!r} in it is encrypted or a link")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open the archive in a file, which is read once. Raises ModelRefused: damaged or hostile."""
    try:
        data = read_regular(path, LARGEST_FILE)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield Archive(path, archive, len(data))
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror or error}).") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelRefused(
            f"{path}: its archive is damaged, or was cut off on its way "
            f"({reason_of(error)}); copy it again."
        ) from None


def write_archive(contents: Mapping[str, bytes]) -> bytes:
    """Return a ZIP archive of these entries, none of them compressed."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return written.getvalue()
