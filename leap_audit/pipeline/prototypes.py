"""From finished prototypes to their record: what each shares with which classes and photographs."""

from collections.abc import Sequence

import numpy as np

from leap_audit.artifacts import (
    Detection,
    Entanglement,
    EntanglementMatrix,
    Neighbour,
    Prototype,
    Stability,
)
from leap_audit.ingest.classes.names import display_name
from leap_audit.measure.entanglement import standardised
from leap_audit.measure.overlap import Overlap, class_overlaps
from leap_audit.measure.prototype import Drawn
from leap_audit.measure.stability import agreement, faces, interval, nearest, similarity
from leap_audit.pipeline.study import LISTED, Answered, Group, Study
from leap_audit.run.session import Array
from leap_audit.text.names import joined

__all__ = [
    "bands_path",
    "detections_of",
    "image_path",
    "matrix_of",
    "prototype_records",
    "sample_stem",
    "stem",
]

NEAREST = 3
"""Samples listed beside a prototype."""
OVERLAPPING = 3
"""Classes that overlap most, which are listed whatever their cosine."""


def sample_stem(index: int) -> str:
    """Return the name, without folder and suffix, of a photograph's files."""
    return f"sample-{index:04d}"


def stem(drawn: Drawn) -> str:
    """Return the name, without folder and suffix, of a prototype's files."""
    classes = "-".join(f"{k:04d}" for k in drawn.request.target)
    return f"prototype-{classes}-{drawn.request.replicate}"


def image_path(drawn: Drawn) -> str:
    """Return the path of a prototype's picture in the audit's folder."""
    return f"images/{stem(drawn)}.png"


def bands_path(study: Study, image: str) -> str | None:
    """Return the path of the tiles that `write_bands` writes; None for a picture in colours."""
    if study.model.preprocessing.channel_order != "BANDS":
        return None
    return f"{image.removesuffix('.png')}-bands.png"


def prototype_records(
    study: Study, every: Sequence[Group], photographs: Sequence[Answered]
) -> tuple[Prototype, ...]:
    """Return the prototypes, each beside the others and beside the photographs."""
    logits = np.stack([group.answered[0].logits for group in every]) if every else np.zeros((0, 0))
    beside = np.stack([each.features for each in photographs]) if photographs else np.zeros((0, 0))
    album = study.album
    overlaps = _overlaps(study, every)
    found = []
    for row, group in enumerate(every):
        drawn, answered, target = group.drawn[0], group.answered[0], group.target
        probs = answered.answer.probs
        listed = [*target, *group.shared[0].others(target)][:LISTED]
        overlap = overlaps[row] if overlaps else None
        if overlap is not None:  # what overlaps most is listed, whatever its cosine
            listed += [k for k in overlap.strongest(target, OVERLAPPING) if k not in listed]
        one_number = answered.features.size == 1  # the same for all but its sign
        near = [] if one_number else nearest(answered.features, beside, NEAREST)
        found.append(
            Prototype(
                target=target,
                name=joined(display_name(study.classes, k) for k in target),
                replicate=drawn.request.replicate // study.seeds,
                image=image_path(drawn),
                bands=bands_path(study, image_path(drawn)),
                logit=group.reached[0],
                prob=float(probs[list(target)].sum()),
                rank=_rank(answered, target),
                steps=drawn.step,
                converged=drawn.converged,
                curve=drawn.curve,
                entanglements=tuple(
                    _entanglement(k, group, logits, row, probs, study.classes, overlap)
                    for k in listed
                ),
                stability=_stability(study, group),
                detections=detections_of(study, answered),
                nearest=tuple(
                    Neighbour(
                        file=album.names[photographs[n].index],
                        image=f"images/{sample_stem(photographs[n].index)}.png",
                        similarity=similar,
                    )
                    for n, similar in near
                ),
            )
        )
    return tuple(found)


def detections_of(study: Study, answered: Answered) -> tuple[Detection, ...]:
    """Return what a detector finds in a picture, the most confident first."""
    return tuple(
        Detection(
            class_=each.class_,
            name=study.classes[each.class_],
            prob=each.confidence,
            box=each.box,
        )
        for each in answered.objects
    )


def _overlaps(study: Study, every: Sequence[Group]) -> list[Overlap]:
    """The class overlap of each group; empty where the last step is not linear."""
    if study.weights is None:
        return []
    features = [np.stack([each.features for each in group.answered]) for group in every]
    return class_overlaps(features, [group.target for group in every], study.weights)


def matrix_of(every: Sequence[Group]) -> EntanglementMatrix:
    """Return the entanglement of every prototype with every class of a target."""
    classes = tuple(dict.fromkeys(k for group in every for k in group.target))
    rows = [[group.shared[0].cosines.get(k) for k in classes] for group in every]
    return EntanglementMatrix(
        classes=classes,
        cosines=tuple(tuple(None if c is None else round(c, 4) for c in row) for row in rows),
    )


def _entanglement(
    class_: int,
    group: Group,
    logits: Array,
    row: int,
    probs: Array,
    names: Sequence[str],
    overlap: Overlap | None,
) -> Entanglement:
    between = interval(group.shared, class_)
    combined = None if overlap is None else overlap.combined
    return Entanglement(
        class_=class_,
        name=names[class_],
        entanglement=group.shared[0].cosines[class_],
        logit=float(logits[row, class_]),
        prob=float(probs[class_]),
        standardised=standardised(logits, row, class_),
        low=between[0] if between else None,
        high=between[1] if between else None,
        overlap=None if combined is None else float(combined[class_]),
        weights=None if overlap is None else float(overlap.weights[class_]),
    )


def _rank(answered: Answered, target: tuple[int, ...]) -> int:
    """The place of the target among all classes; of several classes, that of the last of them."""
    return int((answered.logits > answered.logits[list(target)].min()).sum()) + 1


def _stability(study: Study, group: Group) -> Stability | None:
    """How much the prototype that is shown is like those from other seeds."""
    if len(group.drawn) < 2:
        return None
    features, target = np.stack([each.features for each in group.answered]), group.target
    pushed_apart = study.options.prototype.diversity > 0
    recognised = [_rank(each, target) <= len(target) for each in group.answered]
    return Stability(
        images=tuple(image_path(each) for each in group.drawn[1:]),
        logits=group.reached,
        similarity=similarity(features) if features.shape[1] > 1 else None,
        agreement=agreement(group.shared, target),
        faces=faces(features, recognised) if pushed_apart else None,
    )
