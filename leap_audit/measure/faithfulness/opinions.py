"""Second opinions: what other methods say of the first answer to a photograph.

They stand beside the isolation of that answer. Two that differ in kind, because each has blind
spots that the other has not: a gradient says what a small change does, a window over the picture
what its absence takes away. Which are the default was measured (docs/faithfulness.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leap_audit.config import Options
from leap_audit.errors import GradientUnavailable
from leap_audit.ingest.model import Model
from leap_audit.measure.faithfulness.checks import FAITHFULNESS_CHECKS, Checked
from leap_audit.measure.methods import Method, chosen_attributions, require
from leap_audit.measure.run import Run
from leap_audit.measure.smooth import blur_matrix
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array
from leap_audit.tables import layered

__all__ = [
    "CHECKED_PHOTOGRAPHS",
    "USUAL_OPINIONS",
    "Opined",
    "checked_photographs",
    "chosen_opinions",
    "evidence_for",
    "second_opinion",
]

USUAL_OPINIONS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": 16, "baseline": ("blur",)},
    "occlusion": {"parts": 4, "baseline": ("blur",)},
}
"""The methods that are tried as second opinions, in this order, with options that suit an audit."""
OPINIONS = 2
"""How many of them an audit has."""
CHECKED_PHOTOGRAPHS = 4
"""Photographs on which it is checked whether the maps depend on the class and on the weights."""
DEPENDENCE = ("other_class", "other_weights")
"""The checks of faithfulness that say so."""
BLUR = 1 / 28
"""Standard deviation of the blur of a map, as a fraction of the picture's short side."""


@dataclass(frozen=True, eq=False)
class Opined:
    """What a method says of one subject."""

    evidence: Array
    """(height, width), see `evidence_for`."""
    at: str
    """The tensor inside the model that was looked at, in words; empty: the picture."""
    other_class: float | None = None
    """Rank correlation with the map for the next most probable class; None: not checked."""
    other_weights: float | None = None
    """Rank correlation with the map of the model with shuffled weights; None: not checked."""


def second_opinion(
    run: Run,
    subject: Subject,
    method: Method,
    options: Options,
    seed: int,
    shuffled: Run | None = None,
) -> Opined | None:
    """Return what a method says of a subject; None where the score moves with nothing it looks at.

    shuffled: the model with shuffled weights, to check what the map depends on; None: no check.
    """
    try:
        (found,) = method.function(run, [subject], options, seed=seed)
    except GradientUnavailable:
        return None
    evidence = evidence_for(found.values).astype(np.float32)
    if shuffled is None:
        return Opined(evidence, found.at)
    checked = Checked(run, method, options, subject, found, seed, other=shuffled)
    depends = [FAITHFULNESS_CHECKS[name].figure(checked) for name in DEPENDENCE]
    return Opined(evidence, found.at, *depends)


def chosen_opinions(
    names: Sequence[str] | None, options: Mapping[str, Mapping[str, Any]], model: Model
) -> dict[str, tuple[Method, Options]]:
    """Return name -> (method, its options) of the second opinions on a model.

    names: None: the first OPINIONS of the usual ones that the model has everything for; ("none",):
    none.
    options: those that are set, by method and option.
    Raises ConfigRefused: there is no such method, or the model lacks what a named one needs.
    """
    if names is None:
        fitting = [name for name in USUAL_OPINIONS if not require(name, "attribution").unmet(model)]
        names = fitting[:OPINIONS]
    elif tuple(names) == ("none",):
        names = ()
    own = {
        name: layered(USUAL_OPINIONS.get(name, {}), dict(options.get(name, {}))) for name in names
    }
    chosen = chosen_attributions(names, own)
    for method, _ in chosen.values():
        method.require_of(model)
    return chosen


def evidence_for(values: Array) -> Array:
    """Return where a map finds what speaks for the class: its positive part, blurred.

    values: (height, width), signed. Maps of different methods differ in grain; blurred alike, they
    differ by place alone.
    """
    height, width = values.shape
    sigma = BLUR * min(height, width)
    positive = np.maximum(np.asarray(values, np.float64), 0)
    return np.asarray(blur_matrix(height, sigma) @ positive @ blur_matrix(width, sigma).T)


def checked_photographs(answers: Sequence[int], most: int = CHECKED_PHOTOGRAPHS) -> list[int]:
    """Return which photographs are checked: the first of every answer, then the second, ...

    answers: the class that each photograph was answered with.
    """
    earlier = [answers[:i].count(each) for i, each in enumerate(answers)]
    order = sorted(range(len(answers)), key=lambda i: (earlier[i], i))
    return sorted(order[:most])
