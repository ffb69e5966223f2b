"""The units of work on an encoder's vectors, and the record of what is finished of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from leap_audit.ingest.model import Model
from leap_audit.measure.draws import generator
from leap_audit.measure.embedding.alike import AlikeOptions, AlikeRegion
from leap_audit.measure.embedding.duplicates import Duplicate
from leap_audit.measure.embedding.folders import ClassSeparation
from leap_audit.measure.embedding.moved import change_names, moved_by
from leap_audit.measure.embedding.quality import WITHOUT, lengths_differ, quality_links
from leap_audit.pipeline.embedded import Embedded
from leap_audit.pipeline.parts import Parts, result_of
from leap_audit.pipeline.prototypes import sample_stem
from leap_audit.pipeline.study import Study
from leap_audit.pipeline.units import Ground, Supply
from leap_audit.pipeline.vector_units import Embed, Liken
from leap_audit.run.session import Array

__all__ = [
    "EmbeddingParts",
    "alike_pairs",
    "change_units",
    "embedding_parts",
    "hidden_embedding",
    "liken_units",
]

LISTED = 60
"""Duplicates, and pictures with their neighbours, that a record lists at most."""
HUBS = 4


@dataclass(frozen=True, eq=False)
class EmbeddingParts:
    """What was measured of an encoder, and the pictures of what makes two alike."""

    record: EmbeddingAudit
    faded: dict[str, tuple[Array, AlikeRegion]] = field(default_factory=dict)
    """Path -> a picture, and the region of it that is shown."""
    maps: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """Path -> a ranking, (height, width)."""


def change_units(study: Study, embedded: Embedded) -> dict[str, Embed]:
    """Return the unit of each change of photographs, and of each quality that is taken from them.

    Qualities are taken only where the vectors have different lengths.
    """
    chosen = embedded.chosen(study.options.vectors.changed)
    supply = Supply(tuple(embedded.album.pictures[i] for i in chosen), (), (), ())
    names = change_names(study.model.picture_shape[0])
    qualities = tuple(WITHOUT) if lengths_differ(embedded.vectors[chosen]) else ()
    ground, seed = _ground(study), study.options.seed
    return {name: Embed(ground, supply, name, seed) for name in (*names, *qualities)}


def liken_units(study: Study, embedded: Embedded) -> dict[tuple[int, int], Liken]:
    """Return the units that ask what makes near photographs alike, by the places of the two."""
    figures, ground = embedded.figures, _ground(study)
    pairs = alike_pairs(figures.cosines, figures.nearest, figures.same, study.options.vectors.pairs)
    return {
        (one, other): Liken(
            ground,
            embedded.album.pictures[one],
            embedded.vectors[other],
            AlikeOptions(),
            study.options.seed,
        )
        for i, j in pairs
        for one, other in ((i, j), (j, i))
    }


def _ground(study: Study) -> Ground:
    """The ground of units on the encoder, whatever directions stand for classes."""
    encoder: Model = study.model.encoder or study.model
    return replace(study.ground, model=encoder.digest)


def embedding_parts(study: Study, embedded: Embedded, parts: Parts) -> EmbeddingParts:
    """Return what is finished of the measurements of an encoder's vectors, as a record."""
    album, vectors, figures = embedded.album, embedded.vectors, embedded.figures
    spread, hubs = figures.spread, figures.hubs
    total = len(vectors)
    chosen = embedded.chosen(study.options.vectors.changed)
    planned = change_units(study, embedded)
    results = {name: result_of(unit, parts) for name, unit in planned.items()}
    changed = {name: copies for name, copies in results.items() if copies is not None}
    without = {name: found for name, found in changed.items() if name in WITHOUT}
    changes = {name: found for name, found in changed.items() if name not in WITHOUT}
    regions = liken_units(study, embedded)
    alike: list[AlikePart] = []
    faded: dict[str, tuple[Array, AlikeRegion]] = {}
    maps: dict[str, NDArray[np.uint8]] = {}
    for number, ((one, other), unit) in enumerate(regions.items()):
        if (region := result_of(unit, parts)) is not None:
            stem = f"images/alike-{number // 2:02d}-{('first', 'second')[number % 2]}"
            faded[f"{stem}.png"] = (album.pictures[one], region)
            maps[f"{stem}-mask.png"] = region.ranking
            alike.append(_alike(_named(embedded, one), _named(embedded, other), stem, region))
    order = np.argsort(-hubs.times, kind="stable")[:HUBS]
    record = EmbeddingAudit(
        output=study.model.identity.output,
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
                nearest=tuple(_named(embedded, int(j)) for j in figures.nearest[i]),
                cosines=tuple(map(float, figures.cosines[i])),
            )
            for i in range(min(total, LISTED))
        ),
        duplicates=tuple(_duplicate(embedded, each) for each in figures.duplicates[:LISTED]),
        lengths=quality_links(
            np.stack([album.pictures[i] for i in chosen]),
            vectors[chosen],
            without,
            generator(embedded.seed, "embedding lengths"),
        ),
        changes=moved_by(vectors, chosen, changes, figures.same),
        alike=tuple(alike),
        lacking=_lacking(planned, changed, len(regions), len(alike)),
    )
    if figures.apart is not None:
        record = _with_classes(record, embedded, figures.apart)
    return EmbeddingParts(record, faded, maps)


def _lacking(
    planned: dict[str, Embed], changed: dict[str, Array], regions: int, alike: int
) -> tuple[str, ...]:
    """What an audit that was stopped did not measure, in words."""
    found = []
    if missing := [name for name in planned if name not in changed]:
        found.append(f"{len(missing)} of {len(planned)} changes of pictures")
    if alike < regions:
        found.append(f"{regions - alike} of {regions} regions that make pictures alike")
    return tuple(found)


def alike_pairs(
    cosines: Array, nearest: Array, duplicates: Sequence[tuple[int, int]], most: int
) -> list[tuple[int, int]]:
    """Return the nearest pairs that are no duplicates, each picture once, the nearest first.

    cosines, nearest: (n, k) of each picture's neighbours and their places. most: pairs at most.
    """
    same = {frozenset(each) for each in duplicates}
    order = np.argsort(-cosines, axis=None, kind="stable")
    found: list[tuple[int, int]] = []
    used: set[int] = set()
    for place in order:
        if len(found) == most:
            break
        i, column = divmod(int(place), cosines.shape[1])
        j = int(nearest[i, column])
        if used & {i, j} or frozenset((i, j)) in same:
            continue
        used |= {i, j}
        found.append((min(i, j), max(i, j)))
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
