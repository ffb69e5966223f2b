"""From an encoder's vectors to their record in the audit, with the pictures that it names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_audit.artifacts import (
    AlikePart,
    ClassAgreement,
    DuplicatePair,
    EmbeddingAudit,
    HubPicture,
    NamedPicture,
    NearestOf,
    NearPair,
    OutlyingPicture,
)
from leap_audit.artifacts.frozen import Frozen
from leap_audit.measure.draws import generator
from leap_audit.measure.embedding.alike import AlikeOptions, AlikeRegion, alike_region
from leap_audit.measure.embedding.duplicates import Duplicate, near_duplicates
from leap_audit.measure.embedding.folders import ClassSeparation, separation_of
from leap_audit.measure.embedding.moved import moved_by
from leap_audit.measure.embedding.quality import quality_links
from leap_audit.measure.embedding.spread import hubs_of, nearest_of, vector_spread
from leap_audit.pipeline.embedding import Embedded
from leap_audit.pipeline.prototypes import sample_stem
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = ["EmbeddingParts", "alike_pairs", "hidden_embedding", "measure_embedding"]

LISTED = 60
"""Duplicates, and pictures with their neighbours, that a record lists at most."""
NEAREST = 3
CHANGED = 48
"""Pictures that changes are tried on at most."""
PAIRS = 3
"""Pairs of pictures of which it is asked what makes them alike."""
HUBS = 4


@dataclass(frozen=True, eq=False)
class EmbeddingParts:
    """What was measured of an encoder, and the pictures of what makes two alike."""

    record: EmbeddingAudit
    faded: dict[str, tuple[Array, AlikeRegion]] = field(default_factory=dict)
    """Path -> a picture, and the region of it that is shown."""
    maps: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """Path -> a ranking, (height, width)."""


def measure_embedding(
    embedded: Embedded, seed: int, progress: Progress, *, explained: bool = True
) -> EmbeddingParts:
    """Measure the vectors of an encoder on the photographs of an audit.

    explained: whether it is asked what makes pictures alike, and changes are tried on CHANGED
    pictures and not on half as many, which takes most of the time.
    """
    album, vectors, run = embedded.album, embedded.vectors, embedded.run
    total = len(vectors)
    pictures = np.stack(album.pictures)
    spread = vector_spread(vectors)
    hubs = hubs_of(vectors, generator(seed, "embedding hubs"))
    duplicates = near_duplicates(album.pictures, vectors, album.digests)
    pairs = [(each.first, each.second) for each in duplicates]
    apart = separation_of(vectors, album.known, generator(seed, "embedding classes"), pairs)
    cosines, nearest = nearest_of(vectors, min(NEAREST, total - 1))
    chosen = np.arange(total)
    most = CHANGED if explained else CHANGED // 2
    if total > most:
        drawn = generator(seed, "embedding pictures").choice(total, most, replace=False)
        chosen = np.sort(drawn)
    with progress.stage("Changing pictures", 1) as advance:
        changes = moved_by(pictures[chosen], vectors, chosen, embedded.vectors_of, seed, pairs)
        links = quality_links(
            pictures[chosen],
            np.linalg.norm(vectors[chosen], axis=1),
            lambda several: np.linalg.norm(embedded.vectors_of(several), axis=1),
            generator(seed, "embedding lengths"),
        )
        advance(1)
    alike: list[AlikePart] = []
    faded: dict[str, tuple[Array, AlikeRegion]] = {}
    maps: dict[str, NDArray[np.uint8]] = {}
    explaining = alike_pairs(cosines, nearest, pairs) if explained else []
    with progress.stage("Comparing pictures", max(1, 2 * len(explaining))) as advance:
        for number, (i, j) in enumerate(explaining):
            for side, (one, other) in (("first", (i, j)), ("second", (j, i))):
                found = alike_region(run, pictures[one], vectors[other], AlikeOptions(), seed)
                stem = f"images/alike-{number:02d}-{side}"
                faded[f"{stem}.png"] = (pictures[one], found)
                maps[f"{stem}-mask.png"] = found.ranking
                alike.append(_alike(_named(embedded, one), _named(embedded, other), stem, found))
                advance(1)
    order = np.argsort(-hubs.times, kind="stable")[:HUBS]
    record = EmbeddingAudit(
        output=run.model.identity.output,
        dimensions=int(vectors.shape[1]),
        pictures=total,
        directions=embedded.directions,
        scale=embedded.scale,
        kind=embedded.kind,
        effective_rank=spread.effective_rank,
        possible_rank=spread.possible_rank,
        mean_cosine=spread.mean_cosine,
        still=spread.still,
        neighbours=hubs.neighbours,
        hubness=hubs.skewness,
        hubness_usual=hubs.usual,
        hubness_centred=hubs.centred,
        hubs=tuple(
            HubPicture(picture=_named(embedded, int(hubs.chosen[i])), times=int(hubs.times[i]))
            for i in order
        ),
        nearest=tuple(
            NearestOf(
                picture=_named(embedded, i),
                nearest=tuple(_named(embedded, int(j)) for j in nearest[i]),
                cosines=tuple(map(float, cosines[i])),
            )
            for i in range(min(total, LISTED))
        ),
        duplicates=tuple(_duplicate(embedded, each) for each in duplicates[:LISTED]),
        lengths=links,
        changes=changes,
        alike=tuple(alike),
    )
    if apart is not None:
        record = _with_classes(record, embedded, apart)
    return EmbeddingParts(record, faded, maps)


def alike_pairs(
    cosines: Array, nearest: Array, duplicates: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the nearest pairs that are no duplicates, each picture once, the nearest first.

    cosines, nearest: (n, k) of each picture's neighbours and their places.
    """
    same = {frozenset(each) for each in duplicates}
    order = np.argsort(-cosines, axis=None, kind="stable")
    found: list[tuple[int, int]] = []
    used: set[int] = set()
    for place in order:
        i, column = divmod(int(place), cosines.shape[1])
        j = int(nearest[i, column])
        if used & {i, j} or frozenset((i, j)) in same:
            continue
        used |= {i, j}
        found.append((min(i, j), max(i, j)))
        if len(found) == PAIRS:
            break
    return found


def hidden_embedding(record: EmbeddingAudit) -> EmbeddingAudit:
    """Return the record without the pictures that it names."""

    def hidden(value: Any) -> Any:
        if isinstance(value, NamedPicture):
            return value.model_copy(update={"image": ""})
        if isinstance(value, tuple):
            return tuple(map(hidden, value))
        if isinstance(value, Frozen):
            own = {name: hidden(getattr(value, name)) for name in type(value).model_fields}
            blank = {"image": ""} if isinstance(value, AlikePart) else {}
            return value.model_copy(update={**own, **blank})
        return value

    found = hidden(record)
    assert isinstance(found, EmbeddingAudit)
    return found


def _named(embedded: Embedded, place: int) -> NamedPicture:
    return NamedPicture(file=embedded.album.names[place], image=f"images/{sample_stem(place)}.png")


def _duplicate(embedded: Embedded, each: Duplicate) -> DuplicatePair:
    folders, known = embedded.folders, embedded.album.known
    a, b = known[each.first], known[each.second]
    return DuplicatePair(
        first=_named(embedded, each.first),
        second=_named(embedded, each.second),
        cosine=each.cosine,
        correlation=each.correlation,
        equal=each.equal,
        mirrored=each.mirrored,
        across=bool(folders) and folders[each.first] != folders[each.second],
        classes_differ=a is not None and b is not None and a != b,
    )


def _alike(one: NamedPicture, other: NamedPicture, stem: str, found: AlikeRegion) -> AlikePart:
    return AlikePart(
        picture=one,
        other=other,
        image=f"{stem}.png",
        mask=f"{stem}-mask.png",
        area=found.area,
        cosine=found.cosine,
        kept=found.kept,
        erased=found.erased,
        blank=found.blank,
        enough=found.enough,
    )


def _with_classes(
    record: EmbeddingAudit, embedded: Embedded, apart: ClassSeparation
) -> EmbeddingAudit:
    names, known = embedded.names, embedded.album.known
    return record.model_copy(
        update={
            "same_class": apart.same,
            "different_class": apart.different,
            "agreement": apart.agreement,
            "agreement_chance": apart.chance,
            "by_class": tuple(
                ClassAgreement(name=names[k], agreement=share) for k, share in apart.by_class
            ),
            "near": tuple(
                NearPair(
                    first=_named(embedded, each.first),
                    second=_named(embedded, each.second),
                    cosine=each.cosine,
                )
                for each in apart.near
            ),
            "far": tuple(
                OutlyingPicture(
                    picture=_named(embedded, each.place),
                    own=names[known[each.place] or 0],
                    own_cosine=each.own,
                    nearer=names[each.nearer],
                    nearer_cosine=each.other,
                )
                for each in apart.far
            ),
        }
    )
