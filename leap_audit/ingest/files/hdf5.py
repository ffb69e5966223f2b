"""Refuse an HDF5 file that refers to another file."""

import io
from pathlib import Path
from typing import Any

from leap_audit.errors import ModelRefused, reason_of

__all__ = ["require_plain_hdf5"]

MOST_OBJECTS = 200_000


def require_plain_hdf5(data: bytes, path: Path) -> None:
    """Raise ModelRefused for a file with links to others, or numbers that lie in others.

    Those are external and soft links, datasets with external storage and virtual datasets. data:
    the bytes of the file; path: what messages name.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            _look_through(h5py, file, path)
    except OSError as error:
        raise ModelRefused(
            f"{path}: is not an HDF5 file, or was cut off on its way ({reason_of(error)}); save or "
            "copy it again."
        ) from None
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ModelRefused(f"{path}: its HDF5 is damaged ({reason_of(error)}).") from None


def _look_through(h5py: Any, file: Any, path: Path) -> None:
    waiting, visited, count = [file], set(), 0
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in visited:
            continue
        visited.add(address)
        for name in group:
            count += 1
            if count > MOST_OBJECTS:
                raise _refused(path, "more objects than any model")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refused(path, f"{name[:60]!r}, a link to another place or file")
            found = group[name]
            if isinstance(found, h5py.Group):
                waiting.append(found)
            elif isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
                raise _refused(path, f"{name[:60]!r}, whose numbers lie in another file")


def _refused(path: Path, what: str) -> ModelRefused:
    return ModelRefused(f"{path}: holds {what}, which no model needs; the file is hostile.")
