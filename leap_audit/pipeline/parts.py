"""Results of units of work by their keys, in memory or as files that outlive the process."""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from leap_audit.artifacts import Cosines, OtherReading, Readings, Trial
from leap_audit.ingest.outputs.answer import Summary
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.embedding.alike import AlikeRegion
from leap_audit.measure.entanglement import Shared
from leap_audit.measure.experiments.carry import Shown, TriedMark
from leap_audit.measure.experiments.seek import Sought
from leap_audit.measure.experiments.study import Tried
from leap_audit.measure.faithfulness.opinions import Opined
from leap_audit.measure.isolation.region import Region
from leap_audit.measure.methods import Explanation
from leap_audit.measure.objects.changes import Coincidence
from leap_audit.measure.prototype import Drawn, Painting, Request, Stage
from leap_audit.pipeline.plain import decoded, encoded
from leap_audit.pipeline.runs import Runs
from leap_audit.pipeline.spool import Spool, as_it_is
from leap_audit.pipeline.units import Located, Predicted, R, Unit
from leap_audit.run.session import Array

__all__ = ["Parts", "PartsFolder", "load_part", "result_of", "save_part"]

Parts = MutableMapping[str, object]
"""Key of a unit -> its result, of the units that are finished."""
TYPES: dict[str, type] = {
    each.__name__: each
    for each in (
        AlikeRegion,
        Coincidence,
        Cosines,
        DetectedBox,
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


def load_part(file: Path, keep: Callable[[Array], Array] = as_it_is) -> Any:
    """Return the result in a file, bit for bit as it was saved.

    keep: what an array is exchanged for, with the same content. Raises FileNotFoundError: there is
    no such file. ValueError: it is damaged, or no part of an audit.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as members:
            tree = json.loads(members[TREE].tobytes())
            arrays = [members[str(i)] for i in range(len(members.files) - 1)]
    except FileNotFoundError:
        raise
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: is no part of an audit ({error})") from None
    except zipfile.BadZipFile as error:
        raise ValueError(f"{file}: is damaged ({error})") from None
    arrays = [keep(array) for array in arrays]
    try:
        return decoded(tree, arrays, TYPES)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: is no part of an audit ({error})") from None


class PartsFolder(MutableMapping[str, object]):
    """Finished units as files of a folder, one for each key.

    A damaged file counts as absent, so that its unit is done again. A result is read once; its
    arrays are then read-only, and take no memory (see `Spool`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.runs = Runs(folder)
        self._spool = Spool(folder)
        self._read: dict[str, object] = {}

    def keep(self, array: Array) -> Array:
        """Return the same array, read-only, where it takes no memory."""
        return self._spool.keep(array)

    def __getitem__(self, key: str) -> Any:
        if key not in self._read:
            try:
                self._read[key] = load_part(self._file(key), self.keep)
            except (FileNotFoundError, ValueError):
                raise KeyError(key) from None
            self.runs.use(key)
        return self._read[key]

    def __setitem__(self, key: str, result: object) -> None:
        save_part(result, self._file(key))
        self._read.pop(key, None)
        self.runs.finished(key)

    def __delitem__(self, key: str) -> None:
        self._read.pop(key, None)
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


def result_of(unit: Unit[R], parts: Parts) -> R | None:
    """Return the result of a unit; None where it is not finished."""
    return cast(R | None, parts.get(unit.key))
