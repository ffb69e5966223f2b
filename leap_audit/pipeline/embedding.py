"""An encoder in an audit: its vectors on the photographs, and what stands for classes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from leap_audit.config import AuditOptions
from leap_audit.errors import ModelRefused
from leap_audit.ingest import load
from leap_audit.ingest.classes.sandboxed import read_ground_truth_in_child
from leap_audit.ingest.inputs.selection import read_inputs
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.directions import Directions
from leap_audit.ingest.pictures.images import find_pictures
from leap_audit.measure.embedding.directions import class_directions, principal_directions
from leap_audit.measure.run import Run
from leap_audit.pipeline.parts import Parts
from leap_audit.pipeline.photographs import Album, read_album
from leap_audit.pipeline.plain import digest
from leap_audit.pipeline.reading import Understood, read, require_classes
from leap_audit.pipeline.spool import as_it_is
from leap_audit.progress import Progress, Silent
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array
from leap_audit.text.filenames import legible
from leap_audit.text.numbers import count

DirectionsKind: TypeAlias = Literal["named", "classes", "principal"]

__all__ = ["Embedded", "read_audited"]

LEAST = 8
"""Photographs below which nothing is measured of an encoder's vectors."""
BATCH = 16
MOST_FOLDERS = 200
"""Folders that are taken for classes at most."""
SETS = frozenset(
    {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "holdout"}
    | {"query", "queries", "gallery", "reference", "images", "samples"}
)
"""Names of folders that are parts of a data set and no classes."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """An encoder and its vectors on the photographs of an audit."""

    run: Run
    album: Album
    """`known` counts `names`."""
    folders: tuple[str, ...]
    """Of each photograph; empty where the paths may name patients."""
    vectors: Array
    """(photographs, dimensions), as the encoder gives them."""
    names: tuple[str, ...]
    """Of the classes that the folders or labels say; empty: none."""
    directions: str
    """What stands for classes, in words."""
    scale: float
    """What the cosines are multiplied by."""
    kind: DirectionsKind = "named"
    """See `EmbeddingAudit.kind`."""

    def vectors_of(self, pictures: Array) -> Array:
        """Return the vectors of other pictures, (n, dimensions)."""
        return self.run.logits(np.asarray(pictures, np.float32))


def read_audited(
    source: object,
    classes: str | Path | Sequence[str] | None,
    options: AuditOptions,
    told: Progress,
    parts: Parts,
    *,
    trust_model: bool = False,
    keep: Callable[[Array], Array] = as_it_is,
) -> tuple[Understood, Embedded | None]:
    """Return the model and its classes, and of an encoder its vectors on the photographs.

    An encoder is audited as the classifier of directions: those that the options name, else the
    centroids of the classes that folders or labels say, else the principal directions of the
    photographs. parts: of earlier runs, which keep the vectors. Other parameters as of `read`.

    Raises LeapAuditError: each refusal with its reason; an encoder without directions and with
    too few photographs among them.
    """
    understood = read(source, classes, options, told, trust_model=trust_model, embeddings=True)
    model = understood.model
    own = model.identity.task == "embedding"
    if not own and options.directions is None:
        return understood, None
    if not options.samples:
        require_classes(model)
        return understood, None
    encoder = model if own else _encoder(source, options, trust_model=trust_model)
    paths = find_pictures(options.samples)
    if len(paths) < LEAST:
        if own:
            raise ModelRefused(
                f"{model.identity.file} is an encoder, and {count(len(paths), 'picture')} are too "
                f"few to measure its vectors: give {LEAST} or more with --samples, or name "
                "directions that stand for classes with --directions."
            )
        return understood, None
    album = read_album(options, understood.names, encoder.preprocessing, told, keep)
    names = understood.names
    if own:
        names, known = _classes(paths, album, classes, understood.names, options)
        album = replace(album, known=known)
    run = Run(encoder, min(BATCH, len(paths)), options.threads)
    vectors = _vectors(run, album, parts, told)
    folders = () if album.private else tuple(str(path.resolve().parent) for path in paths)
    if not own:
        where, scale = str(options.directions.name), options.directions_scale  # type: ignore[union-attr]
        return understood, Embedded(run, album, folders, vectors, names, legible(where), scale)
    declared = options.directions_scale if "directions_scale" in options.model_fields_set else None
    if names:
        found = class_directions(vectors, album.known, names, declared)
        kind: DirectionsKind = "classes"
        words = f"the centroids of {count(len(found.names), 'class', 'classes')}"
    else:
        found = principal_directions(vectors, declared)
        kind = "principal"
        words = "the principal directions of the photographs, both ways"
    told.note(f"{model.identity.file} is an encoder: {words} stand for classes.")
    index = {name: i for i, name in enumerate(found.names)}
    known = tuple(None if k is None else index.get(names[k]) for k in album.known)
    album = replace(album, known=known)
    again = read(
        source,
        found.names,
        options,
        Silent(),
        trust_model=trust_model,
        directions=Directions(found.vectors, found.scale, found.names),
    )
    notes = (
        f"The model is an encoder. {words[:1].upper()}{words[1:]} stand for classes: what the "
        "report says of probabilities and right answers is of the cosines with them, and the "
        "directions were made of these photographs.",
    )
    again = again._replace(notes=(*notes, *again.notes), classes_sha256=understood.classes_sha256)
    return again, Embedded(run, album, folders, vectors, found.names, words, found.scale, kind)


def _encoder(source: object, options: AuditOptions, *, trust_model: bool) -> Model:
    """The encoder without the directions that make a classifier of it."""
    return load(
        source,
        options.preprocessing,
        choose_provider(options.provider),
        task="embedding",
        output=options.output,
        inputs=read_inputs(options.input, options.set, options.signature),
        trust_model=trust_model,
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


def _vectors(run: Run, album: Album, parts: Parts, told: Progress) -> Array:
    key = f"embedding-{digest([run.model.digest, run.model.provider.name, album.digests])}"
    kept = parts.get(key)
    if isinstance(kept, np.ndarray) and len(kept) == len(album.pictures):
        return kept
    found = []
    with told.stage("Computing vectors", len(album.pictures)) as advance:
        for start in range(0, len(album.pictures), run.batch):
            found.append(run.logits(np.stack(album.pictures[start : start + run.batch])))
            advance(len(found[-1]))
    parts[key] = vectors = np.concatenate(found)
    return vectors
