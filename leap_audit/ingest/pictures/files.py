"""Find photographs in folders, by file name; DICOM files by their magic bytes."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from leap_audit.errors import PictureRefused
from leap_audit.ingest.pictures.dicom import is_dicom

__all__ = ["DICOM_SUFFIXES", "VOLUMES", "PicturePaths", "find_pictures"]

_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
_ARRAY = ".npy"
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
VOLUMES = (".nii", ".nii.gz")


class PicturePaths(Sequence[Path]):
    """The paths of many pictures, as texts: a `Path` that was used keeps eight times as much."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> "PicturePaths": ...
    def __getitem__(self, place: int | slice) -> "Path | PicturePaths":
        if isinstance(place, slice):
            return PicturePaths(self._texts[place])
        return Path(self._texts[place])

    def __iter__(self) -> Iterator[Path]:
        return map(Path, self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def find_pictures(paths: Sequence[Path]) -> Sequence[Path]:
    """Return the pictures in files and folders, each once, in the order given, folders by name.

    Folders are searched to any depth; hidden files and files that are neither named like pictures
    nor DICOM files are passed over, and so is the index DICOMDIR. A file that is named itself is
    always taken.

    Raises PictureRefused: a path is missing, or a folder has no picture in it.
    """
    found: dict[str, None] = {}
    for place, path in enumerate(paths, 1):
        try:
            path.stat()
        except OSError as error:
            # The name of a DICOM file may be that of a patient.
            hidden = path.suffix.lower() in DICOM_SUFFIXES
            where = f"the DICOM file given as number {place} of --samples" if hidden else path
            raise PictureRefused(f"{where}: cannot be read ({error.strerror}).") from None
        if not path.is_dir() and not path.is_file():  # a pipe would be waited for
            raise PictureRefused(f"{path}: is not a file.")
        pictures = _walk(path, set()) if path.is_dir() else iter([path])
        first = next(pictures, None)
        if first is None:
            raise PictureRefused(
                f"{path}: no pictures in this folder (JPEG, PNG, BMP, GIF, WebP, TIFF, PPM, DICOM "
                f"or arrays, .npy).{_volumes(path)}"
            )
        found[str(first)] = None
        found.update((str(each), None) for each in pictures)
    return PicturePaths(found)


def _walk(folder: Path, visited: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield the pictures below a folder by name; links are followed, each folder entered once."""
    try:
        status = folder.stat()
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise PictureRefused(f"{folder}: cannot be read ({error.strerror}).") from None
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    for name in names:
        entry = folder / name
        if name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, visited)
        elif entry.is_file() and _is_named_like_one(entry):
            yield entry


def _is_named_like_one(entry: Path) -> bool:
    suffix = entry.suffix.lower()
    return suffix in (*_SUFFIXES, _ARRAY, *DICOM_SUFFIXES) or (
        entry.name.upper() != "DICOMDIR" and is_dicom(entry)
    )


def _volumes(folder: Path) -> str:
    """What to do with the NIfTI volumes of a folder without pictures."""
    if any(entry.name.lower().endswith(VOLUMES) for entry in folder.rglob("*")):
        return " It has NIfTI volumes, which are not read: write their slices as PNG or DICOM."
    return ""
