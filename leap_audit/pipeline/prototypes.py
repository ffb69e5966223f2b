"""The prototypes of an audit: each measured as its PNG shows it, and recorded."""

from collections.abc import Iterator, Sequence

import numpy as np

from leap_audit.artifacts import Entanglement, EntanglementMatrix, Neighbour, Prototype, Stability
from leap_audit.config import AuditOptions
from leap_audit.ingest.classes.names import display_name
from leap_audit.ingest.pictures.bands import write_bands
from leap_audit.ingest.pictures.images import write_picture
from leap_audit.measure.entanglement import Shared, measure_entanglement, standardised
from leap_audit.measure.prototype import Drawn
from leap_audit.measure.run import Run
from leap_audit.measure.stability import agreement, interval, nearest, similarity
from leap_audit.pipeline.work import Measurements
from leap_audit.run.session import Array

__all__ = ["levels", "record_prototypes", "stem"]

LISTED = 10
"""Classes in a prototype's table of entanglement, the target included."""
NEAREST = 3
"""Samples listed beside a prototype."""


def record_prototypes(
    drawn: Sequence[Drawn],
    run: Run,
    seen: Measurements,
    options: AuditOptions,
    samples: Sequence[Array] = (),
) -> list[Drawn]:
    """Measure what has been drawn, each prototype beside the others; record and return the shown.

    Of the prototypes of one target from several seeds the one is shown that reached most, as of
    several starts of a search the best is its answer; the others are its stability. samples: the
    photographs of `seen.samples`, as the model saw them.
    """
    if not drawn:
        return []
    pictures = np.stack([levels(each.picture) for each in drawn])
    bands = []
    for each, picture in zip(drawn, pictures, strict=True):
        write_picture(seen.folder / _image(each), picture)
        preprocessing = run.model.preprocessing
        bands.append(write_bands(seen.folder, _image(each), picture, preprocessing))
    logits = run.logits(pictures)
    summary = run.model.answer.summary
    probs = [summary(scores).probs for scores in run.scores(pictures)]
    targets = [each.request.target for each in drawn]
    reached = [float(row[list(target)].mean()) for row, target in zip(logits, targets, strict=True)]
    shared, _ = measure_entanglement(run, pictures, targets)
    features = _features(run, pictures)
    beside = _features(run, np.stack(samples)) if len(samples) else features[:0]
    weight = options.prototype.objective_weight
    groups = list(_grouped(drawn, seen.seeds, [weight * logit for logit in reached]))
    firsts = [group[0] for group in groups]
    seen.matrix = _matrix([targets[i] for i in firsts], [shared[i] for i in firsts])
    for group in groups:
        i = group[0]
        each, target = drawn[i], drawn[i].request.target
        own = logits[i, list(target)]
        seeds = [shared[j] for j in group]
        seen.prototypes.append(
            Prototype(
                target=target,
                name=" + ".join(display_name(seen.classes, k) for k in target),
                replicate=each.request.replicate // seen.seeds,
                image=_image(each),
                bands=bands[i],
                logit=reached[i],
                prob=float(probs[i][list(target)].sum()),
                rank=int((logits[i] > own.min()).sum()) + 1,
                steps=each.step,
                converged=each.converged,
                curve=each.curve,
                entanglements=tuple(
                    _entanglement(k, seeds, logits[firsts], firsts.index(i), probs[i], seen.classes)
                    for k in [*target, *shared[i].others(target)][:LISTED]
                ),
                stability=_stability(
                    [drawn[j] for j in group],
                    seeds,
                    [reached[j] for j in group],
                    features[group],
                ),
                nearest=tuple(
                    Neighbour(file=seen.samples[n].file, image=seen.samples[n].image, similarity=s)
                    for n, s in nearest(features[i], beside, NEAREST)
                ),
            )
        )
    return [drawn[i] for i in firsts]


def _matrix(targets: Sequence[tuple[int, ...]], shared: Sequence[Shared]) -> EntanglementMatrix:
    """The entanglement of every prototype with every class of a target."""
    classes = tuple(dict.fromkeys(k for target in targets for k in target))
    rows = [[each.cosines.get(k) for k in classes] for each in shared]
    return EntanglementMatrix(
        classes=classes,
        cosines=tuple(tuple(None if c is None else round(c, 4) for c in row) for row in rows),
    )


def _grouped(drawn: Sequence[Drawn], seeds: int, reached: Sequence[float]) -> Iterator[list[int]]:
    """Yield the places of what is one prototype from several seeds, first of what reached most."""
    groups: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for place, each in enumerate(drawn):
        groups.setdefault((each.request.target, each.request.replicate // seeds), []).append(place)
    for places in groups.values():
        yield sorted(places, key=lambda place: -reached[place])


def levels(picture: Array) -> Array:
    """Return the picture on 8-bit levels, as its PNG holds it."""
    return np.asarray(np.round(picture * 255) / 255, np.float32)


def stem(each: Drawn) -> str:
    """Return the name, without folder and suffix, of the prototype's files."""
    classes = "-".join(f"{k:04d}" for k in each.request.target)
    return f"prototype-{classes}-{each.request.replicate}"


def _image(each: Drawn) -> str:
    return f"images/{stem(each)}.png"


def _features(run: Run, pictures: Array) -> Array:
    """What pictures are compared by: the penultimate features, or the logits without them."""
    if run.weights is None:
        return run.logits(pictures)
    return run.features(pictures)


def _entanglement(
    class_: int,
    seeds: Sequence[Shared],
    logits: Array,
    row: int,
    probs: Array,
    names: Sequence[str],
) -> Entanglement:
    between = interval(seeds, class_)
    return Entanglement(
        class_=class_,
        name=names[class_],
        entanglement=seeds[0].cosines[class_],
        logit=float(logits[row, class_]),
        prob=float(probs[class_]),
        standardised=standardised(logits, row, class_),
        low=between[0] if between else None,
        high=between[1] if between else None,
    )


def _stability(
    group: Sequence[Drawn], shared: Sequence[Shared], logits: Sequence[float], features: Array
) -> Stability | None:
    """How much a prototype, first in its group, is like those from other seeds."""
    if len(group) < 2:
        return None
    return Stability(
        images=tuple(_image(each) for each in group[1:]),
        logits=tuple(logits),
        similarity=similarity(features),
        agreement=agreement(shared, group[0].request.target),
    )
