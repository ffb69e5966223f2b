"""Results of units of work by their keys, in memory or as files that outlive the process."""

import json
import os
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from leap_audit.artifacts import OtherReading, Readings, Trial
from leap_audit.ingest.outputs.answer import Summary
from leap_audit.measure.entanglement import Shared
from leap_audit.measure.experiments.carry import Shown, TriedMark
from leap_audit.measure.experiments.seek import Sought
from leap_audit.measure.experiments.study import Tried
from leap_audit.measure.faithfulness.opinions import Opined
from leap_audit.measure.isolation.region import Region
from leap_audit.measure.methods import Explanation
from leap_audit.measure.prototype import Drawn, Painting, Request, Stage
from leap_audit.pipeline.plain import decoded, encoded
from leap_audit.pipeline.units import Located, Predicted, R, Unit

__all__ = ["Parts", "PartsFolder", "load_part", "result_of", "save_part"]

Parts = MutableMapping[str, object]
"""Key of a unit -> its result, of the units that are finished."""
TYPES: dict[str, type] = {
    each.__name__: each
    for each in (
        Drawn,
        Explanation,
        Located,
        Opined,
        OtherReading,
        Painting,
        Predicted,
        Readings,
        Region,
        Request,
        Shared,
        Shown,
        Sought,
        Stage,
        Summary,
        Trial,
        Tried,
        TriedMark,
    )
}
TREE = "tree"
SUFFIX = ".npz"
RECENT = 64_000_000
"""Bytes of files whose results are also kept in memory, the last used."""


def save_part(result: object, file: Path) -> None:
    """Write a result to a .npz file, whole or not at all: JSON beside the arrays it refers to."""
    tree, arrays = encoded(result)
    text = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    members: dict[str, Any] = {TREE: text, **{str(i): array for i, array in enumerate(arrays)}}
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as stream:
            np.savez(stream, **members)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
        _flush_names(file.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _flush_names(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def load_part(file: Path) -> Any:
    """Return the result in a file, bit for bit as it was saved.

    Raises FileNotFoundError: there is none. ValueError: it is damaged, or no part of an audit.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as members:
            tree = json.loads(members[TREE].tobytes())
            arrays = [members[str(i)] for i in range(len(members.files) - 1)]
        found = decoded(tree, arrays, TYPES)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: is no part of an audit ({error})") from None
    except zipfile.BadZipFile as error:
        raise ValueError(f"{file}: is damaged ({error})") from None
    return found


class PartsFolder(MutableMapping[str, object]):
    """Finished units as files of a folder, one for each key.

    A damaged file counts as absent, so that its unit is done again. The results used last are
    kept in memory as well, up to `RECENT` bytes of their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._recent: OrderedDict[str, tuple[object, int]] = OrderedDict()
        self._bytes = 0
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, key: str) -> Any:
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key][0]
        try:
            result = load_part(self._file(key))
        except (FileNotFoundError, ValueError):
            raise KeyError(key) from None
        self._remember(key, result)
        return result

    def __setitem__(self, key: str, result: object) -> None:
        save_part(result, self._file(key))
        self._forget(key)
        self._remember(key, result)

    def __delitem__(self, key: str) -> None:
        self._forget(key)
        try:
            self._file(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return (file.stem for file in sorted(self._folder.glob(f"*{SUFFIX}")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"

    def _remember(self, key: str, result: object) -> None:
        size = self._file(key).stat().st_size
        self._recent[key] = (result, size)
        self._bytes += size
        while self._bytes > RECENT:
            self._forget(next(iter(self._recent)))

    def _forget(self, key: str) -> None:
        if key in self._recent:
            self._bytes -= self._recent.pop(key)[1]


def result_of(unit: Unit[R], parts: Parts) -> R | None:
    """Return the result of a unit; None where it is not finished."""
    return cast(R | None, parts.get(unit.key))
