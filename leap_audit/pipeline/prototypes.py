"""The prototypes of an audit: each measured as its PNG shows it, and recorded."""

from collections.abc import Sequence

import numpy as np

from leap_audit.artifacts import Entanglement, Prototype
from leap_audit.config import PrototypeOptions
from leap_audit.ingest.bands import write_bands
from leap_audit.ingest.classes import display_name
from leap_audit.ingest.pictures import write_picture
from leap_audit.measure.answer import answer_of
from leap_audit.measure.entanglement import Shared, measure_entanglement, standardised
from leap_audit.measure.forward import Classifier
from leap_audit.measure.prototype import Drawn
from leap_audit.pipeline.record import Measurements
from leap_audit.run.session import Array

__all__ = ["levels", "record_prototypes", "stem"]

LISTED = 10
"""Classes in a prototype's table of entanglement, the target included."""


def record_prototypes(
    drawn: Sequence[Drawn],
    classifier: Classifier,
    options: PrototypeOptions,
    seen: Measurements,
    threads: int,
) -> None:
    """Measure what has been drawn, each prototype beside the others, and record it."""
    if not drawn:
        return
    pictures = np.stack([levels(each.picture) for each in drawn])
    logits = classifier.logits(pictures)
    independent = classifier.model.identity.independent
    probs = [answer_of(scores, independent).probs for scores in classifier.scores(pictures)]
    targets = [each.request.target for each in drawn]
    shared, _ = measure_entanglement(classifier, pictures, targets, threads)
    for i, each in enumerate(drawn):
        target = each.request.target
        image = f"images/{stem(each)}.png"
        write_picture(seen.folder / image, pictures[i])
        bands = write_bands(seen.folder, image, pictures[i], classifier.model.preprocessing)
        own = logits[i, list(target)]
        seen.prototypes.append(
            Prototype(
                target=target,
                name=" + ".join(display_name(seen.classes, k) for k in target),
                replicate=each.request.replicate,
                image=image,
                bands=bands,
                logit=float(own.mean()),
                prob=float(probs[i][list(target)].sum()),
                rank=int((logits[i] > own.min()).sum()) + 1,
                steps=options.steps,
                converged=each.converged,
                curve=each.curve,
                entanglements=tuple(
                    Entanglement(
                        class_=k,
                        name=seen.classes[k],
                        entanglement=shared[i].cosines[k],
                        logit=float(logits[i, k]),
                        prob=float(probs[i][k]),
                        standardised=standardised(logits, i, k),
                    )
                    for k in _listed(shared[i], target)
                ),
            )
        )


def levels(picture: Array) -> Array:
    """Return the picture on 8-bit levels, as its PNG holds it."""
    return np.asarray(np.round(picture * 255) / 255, np.float32)


def stem(each: Drawn) -> str:
    """Return the name, without folder and suffix, of the prototype's files."""
    classes = "-".join(f"{k:04d}" for k in each.request.target)
    return f"prototype-{classes}-{each.request.replicate}"


def _listed(shared: Shared, target: tuple[int, ...]) -> list[int]:
    """The target's classes, then the others in falling order of entanglement."""
    others = sorted(
        (k for k in shared.cosines if k not in target), key=lambda k: -shared.cosines[k]
    )
    return [*target, *others][:LISTED]
