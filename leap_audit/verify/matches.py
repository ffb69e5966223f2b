"""Compare the digests in audit.json with the files: model, classes, photographs, pictures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leap_audit.artifacts import Audit
from leap_audit.digests import digest_of, files_of, sha256_of
from leap_audit.publish.folder import CONTENTS
from leap_audit.text.filenames import legible

__all__ = ["WRONG", "FileState", "Row", "match_files", "match_folder"]

FileState = Literal[
    "matches", "differs", "missing", "new", "not recorded", "not given", "cannot be told"
]
WRONG: frozenset[FileState] = frozenset({"differs", "missing", "new"})
"""What says that something is no longer as it was; the rest says what nobody looked at."""


@dataclass(frozen=True)
class Row:
    """The result of one comparison."""

    kind: str
    file: str
    state: FileState
    about: str = ""


def match_files(
    audit: Audit, model: Path | None, classes: Path | None, samples: Sequence[Path]
) -> list[Row]:
    """Return a row for the model, for the class file and for each photograph.

    samples: files and folders, as for an audit. Raises PictureRefused: one of them is not there.
    """
    rows = [_matched("model", audit.model.file, audit.model.sha256, model)]
    recorded = audit.model.classes_sha256
    if audit.model.classes_file is not None and recorded is not None:
        rows.append(_matched("classes", audit.model.classes_file, recorded, classes))
    elif classes is not None:
        rows.append(Row("classes", classes.name, "not recorded", "the audit had no class file"))
    return rows + list(_photographs(audit, samples))


def match_folder(audit: Audit, folder: Path) -> list[Row]:
    """Return a row for each picture that is recorded, and for each file that is none of an audit's.

    Pictures that match are one row together.
    """
    there = {file.relative_to(folder).as_posix(): file for file in files_of(folder)}
    wrong = list(_pictures(audit, there))
    if not audit.files:
        wrong.append(
            Row("pictures", "images/", "not recorded", "an older version wrote this audit")
        )
    elif not wrong:
        wrong.append(Row("pictures", "images/", "matches", f"{len(audit.files)} files"))
    strange = [name for name in there if name.partition("/")[0] not in CONTENTS]
    return wrong + [Row("folder", name, "new", "not a file of an audit") for name in strange]


def _matched(kind: str, name: str, recorded: str, given: Path | None) -> Row:
    if given is None:
        return Row(kind, name, "not given", f"pass --{kind} to compare it")
    if not given.exists():
        return Row(kind, str(given), "missing")
    files = files_of(given)
    if not files:
        return Row(kind, str(given), "differs", "an empty folder")
    found = digest_of(files)
    if found == recorded:
        return Row(kind, str(given), "matches", f"SHA-256 {found[:12]}…")
    return Row(kind, str(given), "differs", f"SHA-256 {found[:12]}…, recorded {recorded[:12]}…")


def _photographs(audit: Audit, samples: Sequence[Path]) -> Iterator[Row]:
    if not samples:
        if audit.samples:
            count = f"{len(audit.samples)} photographs"
            yield Row("photographs", count, "not given", "pass --samples to compare them")
        return
    from leap_audit.ingest.pictures.images import find_pictures
    from leap_audit.ingest.pictures.photographs import photograph_names

    left: dict[str, list[Path]] = {}
    files = find_pictures(samples)
    names = photograph_names(files)
    shown = dict(zip(files, names.names if names.private else map(str, files), strict=True))
    for file, digest in zip(files, names.digests, strict=True):
        left.setdefault(digest, []).append(file)
    lost = []
    for sample in audit.samples:
        if left.get(sample.sha256):
            left[sample.sha256].pop(0)
        else:
            lost.append(sample.file)
    matched = len(audit.samples) - len(lost)
    if matched:
        yield Row("photographs", f"{matched} of {len(audit.samples)}", "matches")
    others = [file for several in left.values() for file in several]
    for name in lost:
        changed = next(
            (
                file
                for file in others
                if not names.private and legible(file.name) == Path(name).name
            ),
            None,
        )
        if changed is not None:
            others.remove(changed)
        yield Row("photograph", name, "missing" if changed is None else "differs")
    yield from (Row("photograph", shown[file], "new", "not audited") for file in others)


def _pictures(audit: Audit, there: dict[str, Path]) -> Iterator[Row]:
    if not audit.files:
        return
    for name, recorded in audit.files.items():
        if name not in there:
            yield Row("picture", name, "missing")
        elif there[name].is_symlink() or sha256_of(there[name]) != recorded:
            yield Row("picture", name, "differs")
    found: Iterable[str] = (name for name in there if name.startswith("images/"))
    yield from (Row("picture", name, "new") for name in found if name not in audit.files)
