"""Checkpoints with all weights of their networks, and the pictures that these are asked about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from leap_audit.artifacts import Preprocessing
from leap_audit.ingest.pictures.photographs import PhotographNames
from leap_audit.measure.examples.methods import Checkpoint
from leap_audit.measure.examples.whole_network import WholeCheckpoint, WholeNetwork
from leap_audit.measure.run import Run
from leap_audit.pipeline.features import mapped_pictures
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = ["LabelledFiles", "with_whole_networks"]


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Some of the pictures of folders, and the class of each."""

    paths: Sequence[Path]
    names: PhotographNames
    which: Array
    """Places among the paths."""
    labels: Array
    """(which,) the class of each."""


def with_whole_networks(
    found: Sequence[Checkpoint],
    networks: Sequence[WholeNetwork],
    runs: Sequence[Run],
    training: LabelledFiles,
    pictures: LabelledFiles,
    folder: Path,
    progress: Progress,
    photo_range: tuple[float, float] | None,
) -> list[Checkpoint]:
    """Return the checkpoints with their whole networks and the pictures as these see them.

    folder: holds the pictures while they are in use. Pictures are read once for all networks that
    see them in the same way.
    """
    mapped: list[tuple[Preprocessing, Array, Array]] = []
    result = []
    for one, network, run in zip(found, networks, runs, strict=True):
        how = run.model.preprocessing
        same = [(x, y) for other, x, y in mapped if other == how]
        if same:
            x, y = same[0]
        else:
            x, y = (
                mapped_pictures(
                    how, of.paths, of.names, list(map(int, of.which)), folder, progress, photo_range
                )
                for of in (training, pictures)
            )
            mapped.append((how, x, y))
        whole = WholeCheckpoint(network, (x, training.labels), (y, pictures.labels))
        result.append(replace(one, whole=whole))
    return result
