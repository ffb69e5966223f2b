"""The photographs of an audit: found, read and named."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leap_audit.artifacts import Preprocessing
from leap_audit.config import AuditOptions
from leap_audit.ingest.classes.sandboxed import read_ground_truth_in_child
from leap_audit.ingest.pictures.dicom import is_dicom
from leap_audit.ingest.pictures.images import find_pictures
from leap_audit.ingest.pictures.photographs import photograph_names, read_photographs
from leap_audit.ingest.pictures.sandboxed import photographs_child, require_no_links
from leap_audit.pipeline.spool import as_it_is
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = ["NO_PHOTOGRAPHS", "Album", "album_of", "read_album"]


@dataclass(frozen=True, eq=False)
class Album:
    """The photographs of an audit, as the model sees them."""

    pictures: tuple[Array, ...] = ()
    """(channels, height, width) in 0..1 each."""
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    """The SHA-256 of what each was read from."""
    known: tuple[int | None, ...] = ()
    """The class that each is known to show; None where nobody said."""
    private: bool = False
    """Whether the paths of the photographs may name patients."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how they were read."""


NO_PHOTOGRAPHS = Album()


def read_album(
    options: AuditOptions,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    progress: Progress,
    keep: Callable[[Array], Array] = as_it_is,
) -> Album:
    """Return the photographs that the options name, read in a child process.

    keep: what each is exchanged for, with the same content.

    Raises PictureRefused: one cannot be read. ClassesRefused, PictureRefused: the table of labels.
    """
    if not options.samples:
        return NO_PHOTOGRAPHS
    paths = find_pictures(options.samples)
    if not options.follow_links:
        require_no_links(paths, options.samples, private=any(map(is_dicom, paths)))
    with (
        photographs_child(paths) as ask,
        progress.stage("Reading the photographs", len(paths)) as advance,
    ):
        names = photograph_names(paths, ask)
        read = read_photographs(
            paths, names, preprocessing, options.photo_range, advance, ask, keep
        )
    for note in read.notes:
        progress.note(note)
    known = read_ground_truth_in_child(paths, classes, options.labels, private=names.private)
    return Album(
        tuple(read.pictures), names.names, names.digests, tuple(known), names.private, read.notes
    )


def album_of(pictures: Sequence[Array]) -> Album:
    """Return pictures that come as arrays, numbered: (channels, height, width) in 0..1 each."""
    return Album(
        pictures=tuple(pictures),
        names=tuple(f"sample {number}" for number in range(len(pictures))),
        digests=tuple(hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures),
        known=(None,) * len(pictures),
    )
