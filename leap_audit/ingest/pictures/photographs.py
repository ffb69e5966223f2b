"""Read all photographs of an audit: a label and the model's input for each."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_audit.artifacts import Preprocessing
from leap_audit.digests import sha256_of
from leap_audit.errors import PictureRefused
from leap_audit.ingest.files.hashing import read_hashed
from leap_audit.ingest.pictures.depth import PixelValues, UndeclaredPixels, measured_range
from leap_audit.ingest.pictures.dicom import DicomRendering, is_dicom
from leap_audit.ingest.pictures.files import DICOM_SUFFIXES
from leap_audit.ingest.pictures.images import decoded_picture, fitted
from leap_audit.ingest.pictures.sandboxed import require_short_head
from leap_audit.text.filenames import legible

__all__ = ["PhotographNames", "Photographs", "file_labels", "photograph_names", "read_photographs"]


@dataclass(frozen=True)
class PhotographNames:
    """The labels of photographs in the report and in messages."""

    names: tuple[str, ...]
    private: bool
    """Whether one is a DICOM file. Its name, its folder and those beside it may name a patient, so
    that none of the photographs' paths is told."""
    labels: tuple[str, ...]
    """In messages: where the paths are not told, with the place in order and the SHA-256."""
    digests: tuple[str, ...]
    """The SHA-256 of each."""


@dataclass(frozen=True)
class Photographs:
    """Photographs as the model sees them."""

    pictures: list[NDArray[np.float32]]
    """Each (channels, height, width) in 0..1."""
    notes: tuple[str, ...]
    """Sentences on what was taken for black and white, and on DICOM files."""


def _here(function: Callable[..., Any], /, *args: Any) -> Any:
    return function(*args)


def photograph_names(paths: Sequence[Path], ask: Callable[..., Any] = _here) -> PhotographNames:
    """Label photographs by file name or, where DICOM files are among them, by number.

    A file name comes with as many of its folders as tell it from the others. ask: calls a function
    where files are read, in a child (`photographs_child`) or here. Raises PictureRefused: one
    cannot be read.
    """
    medical = [is_dicom(path) for path in paths]
    digests = tuple(
        ask(_digest, _unread(path, number if any(medical) else None), path)
        for number, path in enumerate(paths, 1)
    )
    if not any(medical):
        return PhotographNames(tuple(file_labels(paths)), False, tuple(map(str, paths)), digests)
    names = tuple(
        f"{'dicom' if is_one else 'photograph'}-{number:04d}"
        for number, is_one in enumerate(medical, 1)
    )
    labels = tuple(
        f"{name} (number {i} of the photographs, in the order of their paths; SHA-256 "
        f"{digest[:12]}…)"
        for i, (name, digest) in enumerate(zip(names, digests, strict=True), 1)
    )
    return PhotographNames(names, True, labels, digests)


def _unread(path: Path, number: int | None) -> str:
    """What to call a photograph that was not read yet. number: where no path may be told."""
    if path.suffix.lower() in DICOM_SUFFIXES:  # its name may be that of a patient
        return "a DICOM file of --samples"
    if number is not None:
        return f"number {number} of the photographs, in the order of their paths"
    return str(path)


def _digest(where: str, path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise PictureRefused(f"{where}: cannot be read ({error.strerror or error}).") from None


def file_labels(paths: Sequence[Path]) -> list[str]:
    """Return each file's name, with as many of its folders as tell it from the other files."""
    depths = [1] * len(paths)
    while True:
        labels = [_end_of(path, depth) for path, depth in zip(paths, depths, strict=True)]
        times = Counter(labels)
        alike = [
            i
            for i, label in enumerate(labels)
            if times[label] > 1 and depths[i] < len(paths[i].parts)
        ]
        if not alike:
            return [legible(label) for label in labels]
        for i in alike:
            depths[i] += 1


def _end_of(path: Path, depth: int) -> str:
    """The last parts of a path, as a text of its own: those of a path are interned, which costs
    more for each of many pictures than the text."""
    return "/".join(("", *path.parts[-depth:]))[1:]


def read_photographs(
    paths: Sequence[Path],
    names: PhotographNames,
    preprocessing: Preprocessing,
    asked: tuple[float, float] | None = None,
    advance: Callable[[], object] = lambda: None,
    ask: Callable[..., Any] = _here,
    keep: Callable[[NDArray[Any]], NDArray[Any]] = lambda picture: picture,
) -> Photographs:
    """Return the photographs as the model sees them, and how they were read.

    asked: the numbers in files of more than 8 bits that are black and white; None: what the files
    declare, else what is measured over all of them (see depth.py). Those are decoded twice, so
    that never more than one is in memory at its own size. ask: as for `photograph_names`. keep:
    what each picture is exchanged for, with the same content.

    Raises PictureRefused: one cannot be read, or nothing says what is black and white.
    """
    pictures: dict[int, NDArray[np.float32]] = {}
    open_: dict[int, UndeclaredPixels] = {}
    shown: list[_Dicom] = []
    deep = cut = 0
    for i, (path, label) in enumerate(zip(paths, names.labels, strict=True)):
        read: _Read = _same(ask(_read, label, path, preprocessing, asked), names.digests[i], label)
        if read.dicom is not None:
            shown.append(read.dicom)
        if read.measured is not None:
            deep += 1
            cut += asked is not None and not (
                min(asked) <= read.measured.least and read.measured.most <= max(asked)
            )
            if read.picture is None:
                open_[i] = read.measured
        if read.picture is not None:
            pictures[i] = keep(read.picture)
            advance()
    notes = []
    if open_:
        span = measured_range(list(open_.values()), [names.labels[i] for i in open_])
        notes.append(_said(open_, span))
        for i in open_:
            label = names.labels[i]
            again = ask(_fitted, label, paths[i], preprocessing, span)
            pictures[i] = keep(_same(again, names.digests[i], label))
            advance()
    if asked is not None:
        notes.append(_of_asked(asked, deep, cut))
    notes += _of_dicom(shown)
    return Photographs([pictures[i] for i in range(len(paths))], tuple(notes))


@dataclass(frozen=True)
class _Dicom:
    """What the notes say of a DICOM file: see `leap_audit.ingest.pictures.dicom.Shown`."""

    how: str
    rescaled: bool
    inverted: bool
    burned_in: str


@dataclass(frozen=True)
class _Read:
    """A photograph as the model sees it, or its numbers, if they do not say what is black."""

    picture: NDArray[np.float32] | None
    measured: UndeclaredPixels | None
    dicom: _Dicom | None


def _read(
    label: str, path: Path, preprocessing: Preprocessing, asked: tuple[float, float] | None
) -> tuple[_Read, str]:
    """Decode a photograph; return it, and the SHA-256 of the file."""

    def read() -> _Read:
        require_short_head(path, label)
        found = decoded_picture(path, preprocessing, label=label, asked=asked)
        values = found.values if isinstance(found, DicomRendering) else found
        dicom = measured = picture = None
        if isinstance(found, DicomRendering):
            inverted = found.values.inverted
            dicom = _Dicom(found.how, found.rescaled, inverted, found.burned_in)
        if isinstance(values, PixelValues):
            measured = UndeclaredPixels.of(values, label)
        if not isinstance(values, PixelValues) or values.low_high is not None:
            picture = fitted(found, preprocessing, label)
        return _Read(picture, measured, dicom)

    return read_hashed(path, read, PictureRefused, label)


def _fitted(
    label: str, path: Path, preprocessing: Preprocessing, span: tuple[float, float]
) -> tuple[NDArray[np.float32], str]:
    """Decode a photograph of which black and white are known now."""

    def read() -> NDArray[np.float32]:
        return fitted(decoded_picture(path, preprocessing, label=label), preprocessing, label, span)

    return read_hashed(path, read, PictureRefused, label)


def _same(read: tuple[Any, str], digest: str, label: str) -> Any:
    """What was read, of the file that the record will name."""
    found, of = read
    if of != digest:
        raise PictureRefused(f"{label}: changed while it was read; run the audit again.")
    return found


def _said(found: dict[int, UndeclaredPixels], span: tuple[float, float]) -> str:
    least = min(each.least for each in found.values())
    most = max(each.most for each in found.values())
    bits = f", the range of {int(span[1]).bit_length()} bits" if span[1] > 1 else ""
    return (
        f"{_count(len(found))} of more than 8 bits do not declare their range and hold numbers "
        f"from {least:g} to {most:g}: {span[0]:g} was taken for black and {span[1]:g} for "
        f"white{bits} (--photo-range LOW,HIGH says otherwise)."
    )


def _of_asked(asked: tuple[float, float], deep: int, cut: int) -> str:
    if not deep:
        return "--photo-range changed nothing: no photograph has more than 8 bits."
    beyond = f"; {cut} of them go beyond that, and were cut off there" if cut else ""
    return (
        f"In {_count(deep)} {asked[0]:g} is black and {asked[1]:g} white, as --photo-range "
        f"says{beyond}."
    )


def _of_dicom(shown: Sequence[_Dicom]) -> list[str]:
    if not shown:
        return []
    ways = Counter(each.how for each in shown)
    used = ", ".join(f"{how} ({times})" for how, times in sorted(ways.items()))
    rescaled = sum(each.rescaled for each in shown)
    inverted = sum(each.inverted for each in shown)
    notes = [
        f"DICOM files among the photographs: {len(shown)}. What is black and white in each was "
        f"taken from: {used}; in {rescaled} after rescaling by slope and intercept or a "
        f"lookup table; {inverted} were inverted (MONOCHROME1). Another window may show the "
        "model something else.",
        "Names and folders of DICOM files may name patients. So the photographs have numbers, in "
        "the order of their paths, and no path of theirs is recorded.",
    ]
    burned = Counter(each.burned_in for each in shown)
    if burned["yes"] or burned["perhaps"]:
        notes.append(
            f"Text that was burned into the pixels may name a patient: {burned['yes']} files say "
            f"that they have such text, and {burned['perhaps']} are captures that do not say that "
            "they have none. Look at the photographs before passing on this report, or make it "
            "with --no-photographs."
        )
    return notes


def _count(number: int) -> str:
    return f"{number} photograph{'s' if number != 1 else ''}"
