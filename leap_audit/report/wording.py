"""Sentences and numbers of the report: each says in plain words what the figures say."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from leap_audit.artifacts import (
    Audit,
    Isolation,
    ModelIdentity,
    Outcome,
    Preprocessing,
    Prototype,
    Sample,
    Stability,
)
from leap_audit.ingest.pictures.preprocessing import shown_bands
from leap_audit.text.numbers import count, decimal, percent

__all__ = [
    "averaging",
    "channels",
    "data_digest",
    "file_size",
    "isolation_check",
    "number",
    "probability_meaning",
    "probability_source",
    "prototype_reading",
    "reading",
    "signed",
    "stability_reading",
    "status_sentence",
    "verdict_sentence",
    "where_averaged",
]

_CHIPS: dict[Outcome, str] = {
    "carried": "check passed",
    "not needed": "enough, not needed",
    "not enough": "check failed",
    "nothing to isolate": "nothing to isolate",
    "trace": "traces only",
}
SAYS = 0.5
"""From this probability on, the model says a class; below it gives the class some probability."""


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
    own, *others = (number(value, 1) for value in stability.logits)
    return (
        f"From {count(len(stability.images), 'other seed')}: logits {', '.join(others)}, where the "
        f"one shown has {own}; features alike {signed(stability.similarity)}; "
        f"{percent(stability.agreement)} of the three most entangled classes in common."
    )


def isolation_check(isolation: Isolation) -> str:
    """Return in two or three words how the isolation did in its own check."""
    return _CHIPS[isolation.outcome]


def reading(isolation: Isolation, label: str) -> str:
    """Return what the three probabilities of an isolation mean."""
    area, whole = percent(isolation.area), percent(isolation.prob)
    keep, delete = percent(isolation.prob_keep), percent(isolation.prob_delete)
    if isolation.outcome == "trace":
        return (
            f"The model gives the whole picture only {whole} for ‘{label}’. The marked {area} is "
            f"where it sees most of it: {keep} when kept alone, {delete} when erased. This shows "
            "a trace, not an answer."
        )
    if isolation.outcome == "nothing to isolate":
        return (
            f"The model gives ‘{label}’ {whole} on this picture and as much when all of it is "
            f"erased, so no part of it carries the class. {keep} with only the marked {area} kept, "
            f"{delete} with it erased."
        )
    if isolation.outcome == "not enough":
        return (
            f"No region of at most 60\u00a0% of the picture was enough: with only the marked "
            f"{area} kept, ‘{label}’ falls from {whole} to {keep}; with it erased, the model gives "
            f"{delete}. Do not explain the answer with this picture."
        )
    verb = "still says" if isolation.prob_keep >= SAYS else "still gives"
    kept = f"Keeping only this {area} of the picture, the model {verb} ‘{label}’ with {keep}"
    if isolation.outcome == "not needed":
        return (
            f"{kept}; but erasing it still leaves {delete}. The region is enough, yet other parts "
            "carry the class as well."
        )
    return f"{kept}; erasing it leaves {delete}."


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


def where_averaged(model: ModelIdentity) -> str:
    """Return where the probabilities of an isolation were taken, nothing without a map."""
    return "" if model.places == (1, 1) else " where the model says it on the whole picture"


def probability_meaning(model: ModelIdentity) -> str:
    """Return what a probability of this model says."""
    if model.independent:
        return "How probable the model holds a class, by itself: several can hold at once."
    return "The share the model gives a class, all classes together making 100\u00a0%."


def probability_source(model: ModelIdentity, classes: int) -> str:
    """Return what a probability of this model was computed from."""
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


def prototype_reading(prototype: Prototype, label: str, classes: int, over: str = "") -> str:
    """Return what the model makes of a prototype. over: what its probability is averaged over."""
    if prototype.rank == 1:
        place = f"the model's first answer among {count(classes, 'class', 'classes')}"
        prob = percent(prototype.prob)
        return f"On this picture ‘{label}’ is {place}, with a probability of {prob}{over}."
    return (
        f"On this picture ‘{label}’ comes only in place {prototype.rank} of {classes:,}, with a "
        f"probability of {percent(prototype.prob)}{over}: the search did not reach the class."
    )


def data_digest(samples: Sequence[Sample]) -> str:
    """Return one SHA-256 of all photographs: of their digests and names, a line each, sorted."""
    lines = sorted(f"{sample.sha256}  {sample.file}\n" for sample in samples)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def status_sentence(audit: Audit) -> str:
    """Return what the status of the audit means."""
    if audit.status == "complete":
        return "Everything that was planned was measured."
    return (
        "The audit was interrupted. What follows is what was finished by then; "
        "what is missing was not measured. Not a basis for a sign-off."
    )


def verdict_sentence(audit: Audit) -> str:
    """Return what the verdict means."""
    if audit.verdict == "NOT ASSESSED" and audit.policy is None:
        return "No thresholds were declared, so nothing was passed or failed. A person decides."
    return {
        "PASS": "Every declared threshold that could be assessed was met.",
        "WARN": "No declared threshold was missed, but a warning level was reached.",
        "FAIL": "At least one declared threshold was missed.",
        "NOT ASSESSED": "The audit is incomplete, so the declared thresholds give no verdict."
        if audit.status == "incomplete"
        else "What the declared thresholds ask for could not be assessed, so nothing was passed.",
    }[audit.verdict]
