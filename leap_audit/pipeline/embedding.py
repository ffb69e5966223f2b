"""Read the model of an audit: of an encoder also its vectors, and what stands for classes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from leap_audit.config import AuditOptions
from leap_audit.errors import AuditIncomplete, ModelRefused
from leap_audit.ingest.classes.sandboxed import read_ground_truth_in_child
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.directions import Directions
from leap_audit.ingest.pictures.images import find_pictures
from leap_audit.ingest.zero_shot import zero_shot
from leap_audit.measure.embedding.directions import class_directions, principal_directions
from leap_audit.measure.plan import Batches
from leap_audit.pipeline.deadline import Deadline, TimeIsUp
from leap_audit.pipeline.embedded import DirectionsKind, Embedded
from leap_audit.pipeline.execution import InThisProcess, finish
from leap_audit.pipeline.parts import Parts, result_of
from leap_audit.pipeline.photographs import Album, read_album
from leap_audit.pipeline.reading import Understood, read, require_classes
from leap_audit.pipeline.spool import as_it_is
from leap_audit.pipeline.study import batches_of_options
from leap_audit.pipeline.units import Supply, ground_of
from leap_audit.pipeline.vector_units import Embed
from leap_audit.pipeline.work import Loaded
from leap_audit.progress import Progress
from leap_audit.run.session import Array
from leap_audit.text.filenames import legible
from leap_audit.text.numbers import count

__all__ = ["read_audited"]

LEAST = 8
"""Photographs below which nothing is measured of an encoder's vectors."""
TOGETHER = 32
"""Photographs whose vectors are kept in one part."""
MOST_FOLDERS = 200
"""Folders that are taken for classes at most."""
SETS = frozenset(
    {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "holdout"}
    | {"query", "queries", "gallery", "reference", "images", "samples"}
)
"""Names of folders that are parts of a data set and no classes."""


def read_audited(
    source: object,
    classes: str | Path | Sequence[str] | None,
    options: AuditOptions,
    told: Progress,
    parts: Parts,
    *,
    trust_model: bool = False,
    keep: Callable[[Array], Array] = as_it_is,
    deadline: Deadline | None = None,
    batches: Batches | None = None,
) -> tuple[Understood, Embedded | None]:
    """Return the model and its classes, and of an encoder its vectors on the photographs.

    An encoder is audited as the classifier of directions: those that the options name, else the
    centroids of the classes that folders or labels say, else the principal directions of the
    photographs. parts: of earlier runs, which keep the vectors. deadline: what ends the computing
    of vectors; those that are finished are returned. batches: those of an audit that is repeated.
    Other parameters as of `read`.

    Raises LeapAuditError: each refusal with its reason; an encoder without directions and with
    too few photographs among them. AuditIncomplete: stopped before LEAST had a vector.
    """
    understood = read(source, classes, options, told, trust_model=trust_model, embeddings=True)
    model = understood.model
    own = model.identity.task == "embedding"
    if not own and model.encoder is None:
        return understood, None
    if not options.samples:
        require_classes(model)
        return understood, None
    encoder = model.encoder or model
    paths = find_pictures(options.samples)
    if len(paths) < LEAST:
        if own:
            raise ModelRefused(
                f"{model.identity.file} is an encoder, and {count(len(paths), 'picture')} are too "
                f"few to measure its vectors. Give {LEAST} or more with --samples, or name "
                "directions that stand for classes with --directions."
            )
        return understood, None
    album = read_album(options, understood.names, encoder.preprocessing, told, keep)
    batches = batches or batches_of_options(encoder, options, parts)
    places, vectors, stopped = _vectors(
        encoder, album, batches, parts, told, deadline or Deadline()
    )
    if stopped is not None:
        album, paths = _part(album, places), tuple(paths[i] for i in places)
    names = understood.names
    if own:
        names, known = _classes(paths, album, classes, understood.names, options)
        album = replace(album, known=known)
    folders = () if album.private else tuple(str(path.resolve().parent) for path in paths)
    if not own:
        where, scale = str(options.directions.name), options.directions_scale  # type: ignore[union-attr]
        return understood, Embedded(
            album, folders, vectors, names, legible(where), scale, options.seed, stopped=stopped
        )
    declared = options.directions_scale if "directions_scale" in options.model_fields_set else None
    if names:
        found = class_directions(vectors, album.known, names, declared)
        kind: DirectionsKind = "classes"
        words = f"the centroids of {count(len(found.names), 'class', 'classes')}"
    else:
        found = principal_directions(vectors, declared)
        kind = "principal"
        words = "both ways along each principal direction of the photographs"
    told.note(f"{model.identity.file} is an encoder: {words} stand for classes.")
    index = {name: i for i, name in enumerate(found.names)}
    album = replace(
        album, known=tuple(None if k is None else index.get(names[k]) for k in album.known)
    )
    note = (
        f"The model is an encoder. {words[:1].upper()}{words[1:]} stand for classes. "
        "Probabilities and right answers in the report are about the cosines with them. These "
        "photographs made the directions."
    )
    classifier = understood._replace(
        model=zero_shot(encoder, Directions(found.vectors, found.scale, found.names), options.task),
        names=found.names,
        notes=(note, *understood.notes),
    )
    return classifier, Embedded(
        album,
        folders,
        vectors,
        found.names,
        words,
        found.scale,
        options.seed,
        kind,
        stopped,
    )


def _vectors(
    encoder: Model,
    album: Album,
    batches: Batches,
    parts: Parts,
    told: Progress,
    deadline: Deadline,
) -> tuple[list[int], Array, BaseException | None]:
    """The places of the photographs that have a vector, these vectors, and what stopped the rest.

    Raises AuditIncomplete: it was stopped before LEAST had one.
    """
    ground = ground_of(encoder, batches.threads, batches.predictions)
    pictures = album.pictures
    units = [
        Embed(ground, Supply(pictures[i : i + TOGETHER], (), (), ()))
        for i in range(0, len(pictures), TOGETHER)
    ]
    executor = InThisProcess(Loaded(encoder, ground), batches.workers)
    stopped: BaseException | None = None
    try:
        with told.stage("Computing vectors", len(pictures)) as advance:
            finish(units, executor, parts, deadline.timed(advance))
    except (KeyboardInterrupt, TimeIsUp) as reason:
        stopped = reason
    places: list[int] = []
    found = []
    for number, unit in enumerate(units):
        if (vectors := result_of(unit, parts)) is not None:
            places += range(number * TOGETHER, number * TOGETHER + len(vectors))
            found.append(vectors)
    if stopped is not None and len(places) < LEAST:
        raise AuditIncomplete(
            f"stopped when {count(len(places), 'photograph')} had a vector, too few for a report. "
            "The same command goes on from there.",
            interrupted=not isinstance(stopped, TimeIsUp),
        ) from None
    return places, np.concatenate(found), stopped


def _part(album: Album, places: Sequence[int]) -> Album:
    """The album of some of its photographs."""
    note = (
        f"The audit was stopped when {len(places):,} of {len(album.pictures):,} photographs had a "
        "vector. The others are left out."
    )
    return replace(
        album,
        pictures=tuple(album.pictures[i] for i in places),
        names=tuple(album.names[i] for i in places),
        digests=tuple(album.digests[i] for i in places),
        known=tuple(album.known[i] for i in places),
        notes=(*album.notes, note),
    )


def _classes(
    paths: Sequence[Path],
    album: Album,
    classes: object,
    named: tuple[str, ...],
    options: AuditOptions,
) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    """The classes of the photographs by what the user named, else by their folders."""
    nothing: tuple[int | None, ...] = (None,) * len(paths)
    if classes is not None:
        known = read_ground_truth_in_child(paths, named, options.labels, private=album.private)
        return (named, tuple(known)) if _several(known) else ((), nothing)
    folders = [path.resolve().parent.name for path in paths]
    several = sorted(set(folders))
    sets = all(name.casefold() in SETS for name in several)
    if album.private or sets or not 2 <= len(several) <= MOST_FOLDERS:
        return (), nothing
    found = tuple(several.index(folder) for folder in folders)
    if not _several(found):
        return (), nothing
    return tuple(map(legible, several)), found


def _several(known: Sequence[int | None]) -> bool:
    """Whether two classes have two pictures each."""
    times = Counter(each for each in known if each is not None)
    return sum(number > 1 for number in times.values()) >= 2
