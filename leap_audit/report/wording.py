"""Sentences and numbers of the report: each says in plain words what the figures say."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from leap_audit.artifacts import (
    ALIKE,
    Audit,
    Coincident,
    Declared,
    Isolation,
    ModelIdentity,
    Preprocessing,
    Prototype,
    Sample,
    Stability,
)
from leap_audit.findings.evidence import labelled_answers
from leap_audit.ingest.pictures.preprocessing import shown_bands
from leap_audit.statistics import wilson
from leap_audit.text.names import ClassLabels
from leap_audit.text.numbers import count, decimal, listed, percent

__all__ = [
    "averaging",
    "averaging_of_prototypes",
    "channels",
    "coincidence",
    "confirmed_pairs",
    "data_digest",
    "detections_counted",
    "facts_of",
    "file_size",
    "noun",
    "number",
    "object_number",
    "objects_found",
    "opinions_reading",
    "probability_meaning",
    "probability_source",
    "prototype_reading",
    "raised",
    "right_sentence",
    "signed",
    "stability_reading",
    "status_sentence",
    "task_of",
    "verdict_sentence",
    "where_averaged",
]


def number(value: Any, digits: int = 2) -> str:
    """Return a number with a fixed count of decimals, or that it was not measured."""
    if value is None or not math.isfinite(value):
        return "not measured"
    return decimal(value, digits)


def signed(value: float | None) -> str:
    """Return a number with its sign, as for a cosine."""
    text = number(value)
    return f"+{text}" if text[0].isdigit() else text


def file_size(count_of_bytes: int) -> str:
    """Return a file size in the unit that suits it."""
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count_of_bytes >= power:
            return f"{count_of_bytes / power:.1f}\u00a0{unit}"
    return f"{count_of_bytes} bytes"


def stability_reading(stability: Stability) -> str:
    """Return how much prototypes from several seeds agree."""
    if stability.faces is not None:
        return _faces_reading(stability.faces, len(stability.logits))
    if stability.similarity is None:
        return "Compare the repeat runs by eye: the model gives one number, which tells none apart."
    verb = "differ" if stability.similarity < ALIKE else "look alike"
    return (
        f"Repeat runs {verb}: feature similarity {decimal(stability.similarity)} (alike from "
        f"{decimal(ALIKE)}). Same top-3 related classes: {percent(stability.agreement)}."
    )


def _faces_reading(faces: Sequence[Sequence[int]], runs: int) -> str:
    recognised = sum(map(len, faces))
    if not faces:
        return f"The model recognises none of {count(runs, 'run')} that were pushed apart."
    said = f"The model recognises {recognised} of {count(runs, 'run')} that were pushed apart: "
    if len(faces) == 1:
        return f"{said}they show one face of this class."
    return (
        f"{said}they show {len(faces)} faces of this class (feature similarity between them below "
        f"{decimal(ALIKE)})."
    )


def objects_found(sample: Sample, labels: ClassLabels) -> str:
    """Return what a detector finds in a photograph, in few words: '2 dogs' is 'dog (2)'."""
    times = Counter(each.class_ for each in sample.detections)
    if not times:
        return "nothing found"
    return listed([labels[k] if n == 1 else f"{labels[k]} ({n})" for k, n in times.items()], 4)


def confirmed_pairs(sample: Sample) -> list[Coincident]:
    """Return the pairs of detections at one place that held up when they were tried.

    Two classes where both are found again on the mirrored picture; one class twice where
    covering what the boxes share loses both.
    """
    classes = [each.class_ for each in sample.detections]
    return [
        pair
        for pair in sample.coincident
        if (pair.covered if classes[pair.first] == classes[pair.second] else pair.held)
    ]


def object_number(sample: Sample | None, isolation: Isolation) -> int:
    """Return which of the objects of a photograph an isolation is of, from 1 on; 0: of none."""
    if sample is None or isolation.box is None:
        return 0
    same = (
        number
        for number, each in enumerate(sample.detections, 1)
        if each.box == isolation.box and each.class_ == isolation.class_
    )
    return next(same, 0)


def coincidence(sample: Sample, pair: Coincident, labels: ClassLabels) -> str:
    """Return what two detections at one place come to, of `confirmed_pairs`."""
    first, second = sample.detections[pair.first], sample.detections[pair.second]
    numbers = f"Objects {pair.first + 1} and {pair.second + 1}"
    if first.class_ != second.class_:
        both = f"‘{labels[first.class_]}’ and ‘{labels[second.class_]}’"
        return f"{numbers} are {both} at one place, and again on the mirrored picture."
    label = labels[first.class_]
    return f"{numbers} may be one ‘{label}’: covering what they share loses both."


def opinions_reading(sample: Sample) -> str:
    """Return how far other methods agree with the key region and with one another."""
    named = [(each.method.replace("_", " "), each.agreement) for each in sample.opinions]
    said = [f"{percent(value)} ({name})" for name, value in named if value is not None]
    parts = []
    if said:
        of = "its" if len(said) == 1 else "their"
        parts.append(
            f"Of {of} highest tenth, {listed(said)} is in the highest tenth of the key region's "
            "ranking."
        )
    if sample.opinions_agree is not None:
        parts.append(f"They have {percent(sample.opinions_agree)} of it in common.")
    if parts:
        parts.append("By chance it would be 10\u00a0%.")
    return " ".join(parts)


def averaging(model: ModelIdentity) -> str:
    """Return over what a figure is averaged, nothing where a picture gets one answer."""
    if model.places == (1, 1):
        return ""
    rows, columns = model.places
    if model.region is None:
        return f", averaged over the {rows} × {columns} places of the map"
    top, left, bottom, right = (percent(side) for side in model.region)
    return (
        f", averaged over a part of the {rows} × {columns} map: from {top} to {bottom} of its "
        f"height and {left} to {right} of its width"
    )


def averaging_of_prototypes(audit: Audit) -> str:
    """Return over what the figures of prototypes are averaged: of a map, its middle."""
    middle = audit.config.get("prototype", {}).get("middle")
    if not middle or audit.model.places == (1, 1):
        return averaging(audit.model)
    return f", averaged over the middle {percent(2 * middle)} of the map"


def raised(config: Mapping[str, Any]) -> str:
    """Return what the search for prototypes raised."""
    objective = config.get("prototype", {}).get("objective")
    return "standardised logit" if objective == "standardised" else "logit"


def where_averaged(model: ModelIdentity) -> str:
    """Return where the probabilities of an isolation were taken, nothing without a map."""
    return "" if model.places == (1, 1) else " where the model says it on the whole picture"


def task_of(audit: Audit) -> str:
    """Return the kind of answer the model gives; an encoder is audited by directions."""
    if audit.encoder:
        return "embedding, audited as a classifier of directions"
    return audit.model.task


def noun(audit: Audit, number: int = 1) -> str:
    """Return what is audited of a model: classes, or of some encoders directions that are none."""
    if audit.embedding is not None and audit.embedding.kind == "principal":
        return "direction" if number == 1 else "directions"
    return "class" if number == 1 else "classes"


def probability_meaning(model: ModelIdentity) -> str:
    """Return what a probability of this model says."""
    if model.task == "detection":
        return (
            "How confident the detector is that a box holds an object of the class. Changed "
            "pictures are judged by the score: the greatest product of this and the overlap with "
            "the object's box."
        )
    if model.independent:
        return (
            "How probable the model considers a class by itself. Several classes can hold at once."
        )
    return "The share that the model gives a class. All classes together make 100\u00a0%."


def detections_counted(model: ModelIdentity) -> str:
    """Return which detections of a detector count; empty of any other model."""
    if model.threshold is None:
        return ""
    said = f"from a confidence of {percent(model.threshold)} on"
    if model.overlap is None:
        return f"{said}; each row is an object of its own"
    return f"{said}; boxes of a class that share more than {percent(model.overlap)} are one object"


def probability_source(model: ModelIdentity, classes: int) -> str:
    """Return what a probability of this model was computed from."""
    if model.task == "detection":
        return "The confidence that the detector's format defines, of the row of the box."
    if model.probabilities == "given":
        return f"The model's own number{averaging(model)}; the logit is its logarithm."
    if model.independent:
        return f"The sigmoid of the class's own logit{averaging(model)}."
    if model.task == "binary":
        return "The sigmoid of the single score, which the two classes share."
    return f"Computed from the logits of all {classes:,} classes{averaging(model)}."


def channels(preprocessing: Preprocessing) -> str:
    """Return the order of the channels, and of bands which are shown in which colour."""
    if preprocessing.channel_order != "BANDS":
        return preprocessing.channel_order
    bands = len(preprocessing.mean)
    return f"{count(bands, 'band')}, as they are; {shown_bands(bands)}"


def prototype_reading(prototype: Prototype, label: str, audit: Audit) -> str:
    """Return what the model makes of a prototype."""
    prob, classes = percent(prototype.prob), len(audit.classes)
    if audit.model.task == "detection":
        return _object_reading(prototype, label, audit)
    over = averaging_of_prototypes(audit)
    if prototype.rank == 1:
        return (
            f"On this picture the model answers ‘{label}’, first of "
            f"{count(classes, 'class', 'classes')}, with a probability of {prob}{over}."
        )
    return (
        f"On this picture ‘{label}’ is only in place {prototype.rank:,} of {classes:,}, with a "
        f"probability of {prob}{over}. The search did not reach the class."
    )


def _object_reading(prototype: Prototype, label: str, audit: Audit) -> str:
    """Return what a detector finds in the middle of a prototype."""
    prob, least = percent(prototype.prob), audit.model.threshold or 0.0
    place = f"first of {count(len(audit.classes), 'class', 'classes')}"
    if prototype.rank > 1:
        place = f"only in place {prototype.rank:,} of {len(audit.classes):,}"
    said = f"In the middle of this picture ‘{label}’ is {place}, with a confidence of {prob}"
    if len(audit.classes) == 1:
        said = f"In the middle of this picture ‘{label}’ has a confidence of {prob}"
    if prototype.prob < least:
        return f"{said}: too little to be found ({percent(least)})."
    return f"{said}." if prototype.rank == 1 else f"{said}. The search did not reach the class."


def data_digest(samples: Sequence[Sample]) -> str:
    """Return one SHA-256 of all photographs: of their digests and names, a line each, sorted."""
    lines = sorted(f"{sample.sha256}  {sample.file}\n" for sample in samples)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def status_sentence(audit: Audit) -> str:
    """Return what the status of the audit means."""
    if audit.status == "complete":
        return "Everything that was planned was measured."
    return (
        "The audit was interrupted. This report holds what was finished by then; the rest was not "
        "measured. Do not base a decision on it."
    )


def verdict_sentence(audit: Audit) -> str:
    """Return what the verdict means."""
    if audit.verdict == "NOT ASSESSED" and audit.policy is None:
        return "No pass/fail criteria were set. The reviewer decides."
    return {
        "PASS": "Every criterion that could be assessed was met.",
        "WARN": "No criterion failed, but a warning level was reached.",
        "FAIL": "At least one criterion was not met.",
        "NOT ASSESSED": "The audit is incomplete, so the criteria give no verdict."
        if audit.status == "incomplete"
        else "The criteria could not be assessed, so nothing passed.",
    }[audit.verdict]


def facts_of(declared: Declared) -> list[tuple[str, str]]:
    """Return (what, value) of the declared facts; the value is empty where one was not declared."""
    return [
        ("Intended use", declared.purpose),
        ("Owner", declared.owner),
        ("Version", declared.version),
        ("Training data", declared.data),
    ]


def right_sentence(audit: Audit) -> str:
    """Return on how many labelled photographs the model is right; empty where none has a label."""
    if audit.model.task == "detection":
        return _found_sentence(audit.samples)
    known = labelled_answers(audit.samples)
    if not known:
        return ""
    right = sum(each.right for each in known)
    if audit.centroids:
        return (
            f"Nearest to the centroid of their class: {right} of "
            f"{count(len(known), 'labelled photograph')}. The centroids were made of them, so this "
            "is no accuracy."
        )
    low, high = wilson(right, len(known))
    return (
        f"Right on {right} of {count(len(known), 'labelled photograph')} "
        f"({percent(low)} to {percent(high)})."
    )


def _found_sentence(samples: Sequence[Sample]) -> str:
    """Return on how many labelled photographs a detector finds an object of the label's class."""
    known = [each for each in samples if each.known is not None]
    if not known:
        return ""
    right = sum(any(d.class_ == each.known for d in each.detections) for each in known)
    low, high = wilson(right, len(known))
    return (
        f"The labelled object is found on {right} of {count(len(known), 'labelled photograph')} "
        f"({percent(low)} to {percent(high)})."
    )
