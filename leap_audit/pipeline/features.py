"""Features and scores of folders of pictures, kept on the disk by digest.

A row is kept for each model and each content of a picture, so that a run that was stopped goes on
where it was, and pictures that were added cost themselves alone.
"""

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leap_audit.artifacts import Preprocessing
from leap_audit.errors import OutputRefused, PictureRefused
from leap_audit.ingest.pictures.photographs import (
    PhotographNames,
    photograph_names,
    read_photographs,
)
from leap_audit.ingest.pictures.sandboxed import photographs_child
from leap_audit.measure.examples.gathered import NO_LABEL, Gathered
from leap_audit.measure.run import Run
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = ["FeatureFile", "gather", "hashed_pictures", "mapped_pictures", "read_shard"]

SHARD, NUMBERS = 256, 40_000_000
"""Pictures, and numbers of theirs, that are in memory at once."""
IN_CHILD = 16_384
"""Pictures that one child may read: what it takes to let it read them grows with their number."""
KEY = 32
"""Bytes of a digest."""


class FeatureFile:
    """Rows of one model, by the SHA-256 of the picture: a file of numbers and one of digests.

    Rows are written before their digests, so that what a killed process leaves behind is the end
    of a file, which is cut off.
    """

    def __init__(self, folder: Path, name: str, width: int) -> None:
        self._rows, self._keys = folder / f"{name}.f32", folder / f"{name}.sha256"
        self._width = width
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in (self._rows, self._keys):
                path.touch()
            count = min(self._rows.stat().st_size // (4 * width), self._keys.stat().st_size // KEY)
            os.truncate(self._rows, count * 4 * width)
            os.truncate(self._keys, count * KEY)
            keys = np.frombuffer(self._keys.read_bytes(), np.uint8)
        except OSError as error:
            raise OutputRefused(
                f"{folder}: features cannot be kept there ({error.strerror})."
            ) from None
        self._digests = [keys.reshape(count, KEY)]
        self._index: tuple[Array, Array, Array] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._digests))

    def places(self, digests: Sequence[str]) -> Array:
        """Return (n,) the rows of pictures; -1 of those that have none."""
        if self._index is None:
            every = np.concatenate(self._digests)
            begin = _beginnings(every)
            order = np.argsort(begin, kind="stable")
            self._digests, self._index = [every], (every, order, begin[order])
        every, order, begin = self._index
        wanted = _read(digests)
        ours = _beginnings(wanted)
        at = np.searchsorted(begin, ours)
        found = np.full(len(wanted), -1, np.int64)
        left = np.arange(len(wanted))
        while True:  # once more where several digests begin alike
            left = left[at[left] < len(begin)]
            left = left[begin[at[left]] == ours[left]]
            if not len(left):
                return found
            rows = order[at[left]]
            same = (every[rows] == wanted[left]).all(1)
            found[left[same]] = rows[same]
            left = left[~same]
            at[left] += 1

    def add(self, digests: Sequence[str], rows: Array) -> None:
        """Append rows, (n, width). Raises OutputRefused: they cannot be written."""
        try:
            with self._rows.open("ab") as file:
                file.write(np.ascontiguousarray(rows, np.float32).tobytes())
                file.flush()
                os.fsync(file.fileno())
            with self._keys.open("ab") as file:
                file.write(b"".join(map(bytes.fromhex, digests)))
        except OSError as error:
            raise OutputRefused(f"{self._rows}: cannot be written ({error.strerror}).") from None
        self._digests.append(_read(digests))
        self._index = None

    def gathered(self, digests: Sequence[str], features: int) -> Gathered:
        """Return the rows of these pictures, of whose numbers so many are features."""
        order = self.places(digests)
        rows = np.zeros((0, self._width), np.float32)
        if len(self):
            rows = np.memmap(self._rows, np.float32, "r", shape=(len(self), self._width))
        return Gathered(rows, features, order, np.full(len(order), NO_LABEL, np.int64))


def _read(digests: Sequence[str]) -> Array:
    """Digests in hexadecimal as bytes, (n, KEY)."""
    return np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, KEY)


def _beginnings(digests: Array) -> Array:
    """(n,) the first eight bytes of each, as a number."""
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).ravel()


def hashed_pictures(paths: Sequence[Path], progress: Progress) -> PhotographNames:
    """Return the names and digests of pictures, which are hashed in a child process."""
    ask: Callable[..., Any] | None = None
    asked = 0
    with (
        contextlib.ExitStack() as child,
        progress.stage("Hashing the pictures", len(paths)) as advance,
    ):

        def counted(function: Callable[..., object], /, *args: object) -> object:
            nonlocal asked, ask
            if ask is None or asked % IN_CHILD == 0:
                child.close()
                ask = child.enter_context(photographs_child(paths[asked : asked + IN_CHILD]))
            asked += 1
            advance()
            return ask(function, *args)

        return photograph_names(paths, counted)


def read_shard(
    paths: Sequence[Path],
    names: PhotographNames,
    which: Sequence[int],
    preprocessing: Preprocessing,
    photo_range: tuple[float, float] | None,
    ask: Callable[..., Any],
) -> list[Array]:
    """Return some of the pictures as the model sees them.

    ask: calls a function in the child that may read them (`photographs_child`). Raises
    PictureRefused: one cannot be read, or has more than 8 bits and nothing says which of
    its numbers are black and white: a range of some of the pictures is not that of all.
    """
    chosen = [paths[i] for i in which]
    part = PhotographNames(
        tuple(names.names[i] for i in which),
        names.private,
        tuple(names.labels[i] for i in which),
        tuple(names.digests[i] for i in which),
    )
    read = read_photographs(chosen, part, preprocessing, photo_range, ask=ask)
    if any("do not declare their range" in note for note in read.notes):
        raise PictureRefused(
            f"{part.labels[0]} and others: have more than 8 bits and do not declare their range; "
            "pass --photo-range LOW,HIGH, the numbers that are black and white."
        )
    return list(read.pictures)


def gather(
    run: Run,
    paths: Sequence[Path],
    names: PhotographNames,
    folder: Path,
    progress: Progress,
    photo_range: tuple[float, float] | None = None,
) -> Gathered:
    """Return features and scores of pictures; those that the folder lacks are computed.

    A model without a linear layer at its end has its scores for features.
    """
    classes = run.model.classes
    width = 0 if run.weights is None else int(run.weights.shape[1])
    suffix = "" if photo_range is None else "-{:g}-{:g}".format(*photo_range)
    name = f"{run.model.digest[:32]}{suffix}"
    kept = FeatureFile(folder, name, width + classes)
    lacking = np.flatnonzero(kept.places(names.digests) < 0)
    which = sorted({names.digests[i]: int(i) for i in lacking}.values())
    preprocessing = run.model.preprocessing
    with progress.stage("Computing features", len(paths)) as advance:
        advance(len(paths) - len(which))
        for start in range(0, len(which), IN_CHILD):
            several = which[start : start + IN_CHILD]
            with photographs_child([paths[i] for i in several]) as ask:
                for part in _parts(several, preprocessing):
                    read = read_shard(paths, names, part, preprocessing, photo_range, ask)
                    kept.add([names.digests[i] for i in part], _rows(run, np.stack(read)))
                    advance(len(part))
    return kept.gathered(names.digests, width or classes)


def mapped_pictures(
    preprocessing: Preprocessing,
    paths: Sequence[Path],
    names: PhotographNames,
    which: Sequence[int],
    folder: Path,
    progress: Progress,
    photo_range: tuple[float, float] | None = None,
) -> Array:
    """Return some pictures as a model sees them, (n, channels, height, width), mapped into memory.

    They lie in a file of the folder without a name, which is gone when nobody uses it any longer.
    """
    size = (len(preprocessing.mean), *preprocessing.input_size)
    try:
        with (
            tempfile.TemporaryFile(dir=folder) as file,
            photographs_child([paths[i] for i in which]) as ask,
            progress.stage("Reading the pictures", len(which)) as advance,
        ):
            for part in _parts(which, preprocessing):
                read = read_shard(paths, names, part, preprocessing, photo_range, ask)
                file.write(np.asarray(read, np.float32).tobytes())
                advance(len(part))
            file.flush()
            return np.memmap(file, np.float32, "r", shape=(len(which), *size))
    except OSError as error:
        raise OutputRefused(
            f"{folder}: pictures cannot be kept there ({error.strerror})."
        ) from None


def _parts(which: Sequence[int], preprocessing: Preprocessing) -> Iterator[Sequence[int]]:
    """Pictures in order, as many at once as may be in memory."""
    size = len(preprocessing.mean) * math.prod(preprocessing.input_size)
    step = max(1, min(SHARD, NUMBERS // size))
    for start in range(0, len(which), step):
        yield which[start : start + step]


def _rows(run: Run, pictures: Array) -> Array:
    """Features and scores of pictures; scores alone where there are no features."""
    scores = run.logits(pictures)
    if run.weights is None:
        return scores
    return np.concatenate([run.features(pictures), scores], 1)
