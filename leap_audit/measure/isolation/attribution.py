"""The ranking of an isolation as a method of attribution, beside the others."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from leap_audit.config import IsolationOptions
from leap_audit.errors import UsageError
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.isolation.ranking import rankings
from leap_audit.measure.isolation.region import is_of_cosines
from leap_audit.measure.methods import GRADIENT, Explanation, Traits, method
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject, sharpness

__all__ = ["matched_subject"]


@method(
    "isolation_ranking",
    kind="attribution",
    options=IsolationOptions,
    needs=(GRADIENT,),
    source="after Fong, Patrick and Vedaldi 2019, Petsiuk et al. 2018 and Smilkov et al. 2017",
    cost="about 300 passes",
    check="probability with only the region kept, and with the region erased",
    traits=Traits(
        "the smooth ranking that keeps the class at every area, and loses it when erased",
        advice="What the audit's isolations are read off; optimised for insertion and deletion, "
        "so it does best by them.",
    ),
)
def isolation_ranking(
    run: Run, subjects: Sequence[Subject], options: IsolationOptions, *, seed: int
) -> Iterator[Explanation]:
    """The ranking of pixels that an isolation is read off."""
    scores = run.scores([subject.picture for subject in subjects])
    answer, cosines = run.model.answer, is_of_cosines(run.model)
    ready = [
        replace(matched_subject(subject), sharpness=sharpness(each, answer, cosines=cosines))
        for subject, each in zip(subjects, scores, strict=True)
    ]
    batch = max(1, min(run.batch, len(ready)))
    for found in rankings(run, ready, options, seed=seed, batch=batch, advance=lambda _: None):
        yield Explanation(np.asarray(found, np.float64))


def matched_subject(subject: Subject) -> Subject:
    """Return the subject whose probability an isolation keeps: a class's, or a detection's match.

    Raises UsageError: another target.
    """
    target = subject.target
    if target is None:
        return subject
    if not isinstance(target, DetectionTarget) or target.part != "class":
        raise UsageError(
            "isolation_ranking explains the probability of a class alone, of the picture or of a "
            "detection."
        )
    return replace(subject, target=None, box=target.matched.box)
