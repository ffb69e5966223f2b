"""From finished parts to the record of an audit: artifacts, and the pictures to write."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from leap_audit.artifacts import (
    Attribution,
    ClassSuspicion,
    DoubtedSample,
    EmbeddingAudit,
    EntanglementMatrix,
    Isolation,
    Prototype,
    Readings,
    Sample,
    Trial,
)
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.ingest.pictures.bands import write_bands
from leap_audit.ingest.pictures.images import write_mask, write_picture
from leap_audit.measure.embedding.alike import AlikeRegion
from leap_audit.measure.isolation.region import Region, shown
from leap_audit.measure.methods import Explanation, load_methods
from leap_audit.pipeline.doubted import label_doubts
from leap_audit.pipeline.experiments import coincident, outcome
from leap_audit.pipeline.maps import map_classes, map_levels, map_path
from leap_audit.pipeline.opinions import with_opinions
from leap_audit.pipeline.parts import Parts, result_of
from leap_audit.pipeline.prototypes import (
    bands_path,
    detections_of,
    image_path,
    matrix_of,
    prototype_records,
    sample_stem,
    stem,
)
from leap_audit.pipeline.study import (
    Answered,
    Study,
    answered_drawn,
    answered_photographs,
    groups,
    predicted,
    rereads,
)
from leap_audit.pipeline.tasks import (
    IsolationTask,
    explanations,
    explanations_of,
    isolation_units,
    photographs_to_isolate,
    prototypes_to_isolate,
    regions_of,
    tasks,
)
from leap_audit.pipeline.vectors import embedding_parts, hidden_embedding
from leap_audit.run.session import Array

__all__ = ["AuditParts", "assemble", "stem", "write_pictures"]

Owner = TypeVar("Owner", Sample, Prototype)
WITHOUT_PHOTOGRAPHS = (
    "The photographs were kept out of this report: it has the answers to them, and where in them "
    "the classes were found, but not the pictures."
)


@dataclass(frozen=True, eq=False)
class AuditParts:
    """What was measured, as artifacts, with the pictures that they name."""

    prototypes: tuple[Prototype, ...] = ()
    matrix: EntanglementMatrix | None = None
    samples: tuple[Sample, ...] = ()
    readings: Readings | None = None
    suspicion: tuple[ClassSuspicion, ...] = ()
    trials: tuple[Trial, ...] = ()
    embedding: EmbeddingAudit | None = None
    doubted: tuple[DoubtedSample, ...] = ()
    judged: int = 0
    """Photographs whose labels were judged."""
    notes: tuple[str, ...] = ()
    methods: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Array] = field(default_factory=dict)
    """Path in the folder -> (channels, height, width) in 0..1."""
    faded: dict[str, tuple[Array, Region | AlikeRegion]] = field(default_factory=dict)
    """Path -> a picture, and the region of it that is shown."""
    maps: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """Path -> a ranking or a map, (height, width)."""

    def without_photographs(self) -> "AuditParts":
        """Return the record without the photographs, and without what shows parts of them."""
        if not self.samples and self.embedding is None:
            return self
        hidden = {sample.image for sample in self.samples}
        hidden |= {each.image for sample in self.samples for each in sample.isolations}
        hidden |= {p.image for each in self.suspicion for p in each.pictures}
        embedding, doubted = self.embedding, self.doubted
        if embedding is not None:
            hidden |= {f"images/{sample_stem(i)}.png" for i in range(embedding.pictures)}
            hidden |= {each.image for each in embedding.alike}
            embedding = hidden_embedding(embedding)
        unseen = [each.picture.model_copy(update={"image": ""}) for each in doubted]
        doubted = tuple(
            each.model_copy(update={"picture": picture})
            for each, picture in zip(doubted, unseen, strict=True)
        )
        prototypes = tuple(
            each.model_copy(
                update={"nearest": tuple(n.model_copy(update={"image": ""}) for n in each.nearest)}
            )
            for each in self.prototypes
        )
        return replace(
            self,
            prototypes=prototypes,
            embedding=embedding,
            doubted=doubted,
            suspicion=tuple(s.model_copy(update={"pictures": ()}) for s in self.suspicion),
            samples=tuple(_hidden(sample) for sample in self.samples),
            notes=(*self.notes, WITHOUT_PHOTOGRAPHS),
            pictures={path: each for path, each in self.pictures.items() if path not in hidden},
            faded={path: each for path, each in self.faded.items() if path not in hidden},
        )


def _hidden(sample: Sample) -> Sample:
    isolations = tuple(each.model_copy(update={"image": ""}) for each in sample.isolations)
    return sample.model_copy(update={"image": "", "bands": None, "isolations": isolations})


def assemble(study: Study, parts: Parts) -> AuditParts:
    """Return the record of what is finished. It depends on the study and the parts alone."""
    photographs, shown_groups = answered_photographs(study, parts), groups(study, parts)
    pictures = {f"images/{sample_stem(each.index)}.png": each.picture for each in photographs}
    for drawn, answered in answered_drawn(study, parts):
        pictures[image_path(drawn)] = answered.picture
    doubts = label_doubts(study, photographs)
    record = AuditParts(
        prototypes=prototype_records(study, shown_groups, photographs),
        matrix=matrix_of(shown_groups) if shown_groups else None,
        samples=tuple(_sample(study, each, parts) for each in photographs),
        readings=_readings(study, parts),
        doubted=doubts.doubted,
        judged=doubts.judged,
        notes=(*study.album.notes, *doubts.notes),
        methods=_methods(study) if study.requests else {},
        pictures=pictures,
        maps={
            map_path(sample_stem(each.index)): map_levels(each.answer)
            for each in photographs
            if each.answer.first is not None
        },
    )
    of_samples = tasks(photographs_to_isolate(study, parts), parts)
    of_prototypes = tasks(prototypes_to_isolate(study, parts), parts)
    stems = [sample_stem(each.index) for each in photographs]
    record, samples = _isolated(study, parts, record, record.samples, stems, of_samples)
    samples, maps = with_opinions(study, parts, samples, stems, of_samples, record.maps)
    stems = [stem(group.drawn[0]) for group in shown_groups]
    record, prototypes = _isolated(study, parts, record, record.prototypes, stems, of_prototypes)
    found = outcome(study, parts)
    if study.embedded is not None:
        vectors = embedding_parts(study, study.embedded, parts)
        maps |= vectors.maps
        every = enumerate(study.album.pictures)  # also those without an answer may be shown
        record = replace(
            record,
            embedding=vectors.record,
            faded={**record.faded, **vectors.faded},
            pictures={f"images/{sample_stem(i)}.png": x for i, x in every} | record.pictures,
        )
    return replace(
        record,
        maps={**record.maps, **maps},
        samples=samples,
        prototypes=prototypes,
        suspicion=found.suspicion,
        trials=found.trials,
        pictures={**record.pictures, **found.pictures},
    )


def write_pictures(record: AuditParts, study: Study, folder: Path) -> None:
    """Write every picture that the record names under `folder`."""
    for path, picture in record.pictures.items():
        write_picture(folder / path, picture)
        write_bands(folder, path, picture, study.model.preprocessing)
    for path, (picture, region) in record.faded.items():
        write_picture(folder / path, shown(picture, region.inside))
    for path, map_ in record.maps.items():
        write_mask(folder / path, map_)


def _methods(study: Study) -> dict[str, Any]:
    """The entries of the method page, from the registry."""
    options = study.options
    chosen: dict[str, Any] = {
        "prototype": options.prototype,
        "isolation": options.isolation,
        "experiments": options.experiments,
    }
    chosen |= {n: own for n, (_, own) in {**study.opinions, **study.attributions}.items()}
    return {
        name: each.describe(chosen.get(name) or each.options(), study.setting)
        for name, each in load_methods().items()
        if each.kind != "attribution" or name in chosen
    }


def _readings(study: Study, parts: Parts) -> Readings | None:
    for unit in rereads(study):
        for each in result_of(unit, parts) or ():
            return each
    return None


def _sample(study: Study, answered: Answered, parts: Parts) -> Sample:
    album, i = study.album, answered.index
    image = f"images/{sample_stem(i)}.png"
    return Sample(
        file=album.names[i],
        sha256=album.digests[i],
        image=image,
        bands=bands_path(study, image),
        predicted=predicted(study, answered),
        known=album.known[i],
        map=map_path(sample_stem(i)) if answered.answer.first is not None else None,
        map_classes=map_classes(answered.answer),
        detections=detections_of(study, answered),
        coincident=coincident(study, parts).get(i, ()),
    )


def _isolated(
    study: Study,
    parts: Parts,
    record: AuditParts,
    owners: Sequence[Owner],
    stems: Sequence[str],
    wanted: Sequence[IsolationTask],
) -> tuple[AuditParts, tuple[Owner, ...]]:
    """The owners with their isolations and attributions, and the record with the pictures."""
    regions: list[list[Isolation]] = [[] for _ in owners]
    attributed: list[list[Attribution]] = [[] for _ in owners]
    faded, maps = dict(record.faded), dict(record.maps)
    found = regions_of(isolation_units(study, wanted), parts)
    for task, region in zip(wanted, found, strict=False):
        if region is not None:
            path = f"images/{stems[task.owner]}-{_which(study, task)}"
            faded[f"{path}.png"] = (task.subject.picture, region)
            maps[f"{path}-mask.png"] = region.ranking
            regions[task.owner].append(_isolation(study, task, region, path))
    for name in study.attributions:
        explained = explanations_of(explanations(study, name, wanted), parts)
        for task, explanation in zip(wanted, explained, strict=True):
            if explanation is not None:
                path = f"images/{stems[task.owner]}-{_which(study, task)}-{name}.png"
                made, maps[path] = _attribution(study, task, explanation, name, path)
                attributed[task.owner].append(made)
    updated = tuple(
        owner.model_copy(
            update={
                "isolations": tuple(sorted(of_owner, key=lambda each: -each.prob)),
                "attributions": tuple(maps_of_owner),
            }
        )
        for owner, of_owner, maps_of_owner in zip(owners, regions, attributed, strict=True)
    )
    return replace(record, faded=faded, maps=maps), updated


def _which(study: Study, task: IsolationTask) -> str:
    """Tell the isolations of a picture apart: by class, of a detector by object too."""
    if isinstance(study.model.answer, Detections):
        return f"object-{task.rank:02d}-class-{task.subject.class_:04d}"
    return f"class-{task.subject.class_:04d}"


def _isolation(study: Study, task: IsolationTask, region: Region, path: str) -> Isolation:
    class_ = task.subject.class_
    return Isolation(
        class_=class_,
        name=study.classes[class_],
        image=f"{path}.png",
        mask=f"{path}-mask.png",
        area=region.area,
        prob=region.prob,
        prob_keep=region.prob_keep,
        prob_delete=region.prob_delete,
        enough=region.enough,
        cosines=region.cosines,
        logit=task.logit,
        box=task.subject.box,
    )


def _attribution(
    study: Study, task: IsolationTask, explanation: Explanation, name: str, path: str
) -> tuple[Attribution, NDArray[np.uint8]]:
    """The attribution, and its map on 256 levels."""
    values = np.asarray(explanation.values, np.float64)
    low, high = float(values.min()), float(values.max())
    levels = np.rint((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    class_ = task.subject.class_
    made = Attribution(
        method=name,
        class_=class_,
        name=study.classes[class_],
        map=path,
        low=low,
        high=high,
        figures=explanation.figures,
    )
    return made, levels
