"""Labels that a model contradicts: which pictures of a folder look mislabelled."""

import math
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.examples.gathered import NO_LABEL, Gathered, softmax_rows
from leap_audit.measure.examples.last_layer import self_influence
from leap_audit.run.session import Array
from leap_audit.statistics import benjamini_hochberg

__all__ = ["DoubtedLabel", "JudgedLabels", "alike_in_words", "features_alike", "judged_labels"]

QUANTILE = 0.1
"""Of the probabilities that a class has on its own pictures."""
MARGIN = 4.0
"""How many times as probable as its label another class must be."""
FALSE = 0.01
"""The share of the pictures listed that may stand there by chance."""
ALIKE, RIGHT = 0.98, 0.9
"""Mean cosine from which features are alike, unless the scores are right on such a share."""
NORMAL = 1.4826
"""The standard deviation of a normal distribution, in median absolute deviations."""


@dataclass(frozen=True)
class DoubtedLabel:
    """A picture whose label the model contradicts."""

    place: int
    """Among the pictures that were looked at."""
    label: int
    suggested: int
    """The most probable class."""
    prob_label: float
    prob_suggested: float
    influence: float
    """Self-influence on the last layer."""
    q: float
    """The share of pictures listed by chance if the list went as far as this one, 0..1."""


@dataclass(frozen=True)
class JudgedLabels:
    """The pictures that look mislabelled, or why no label was judged."""

    doubted: tuple[DoubtedLabel, ...] = ()
    """The highest self-influence first."""
    alike: float | None = None
    """The mean cosine of features that are alike in all pictures, so that no label was judged."""


def features_alike(pictures: Gathered) -> float | None:
    """Return the mean cosine of features that are alike in all pictures; None of others.

    So they are behind a wrong preprocessing, and what differs is little more than rounding. Where
    scores give the right class nevertheless, they tell the pictures apart and count as not alike.
    """
    cosine = pictures.mean_cosine()
    labelled = np.flatnonzero(pictures.labels != NO_LABEL)
    if cosine < ALIKE or not pictures.classes or not len(labelled):
        return cosine if cosine >= ALIKE else None
    right = sum(
        int((pictures.scores(part).argmax(1) == pictures.labels[part]).sum())
        for part in (labelled[block] for block in pictures.chosen(labelled).blocks())
    )
    return cosine if right < RIGHT * len(labelled) else None


def alike_in_words(cosine: float, pictures: str) -> str:
    """Return what `features_alike` means for whoever asks about pictures, as a sentence."""
    return (
        f"The features of all {pictures} are nearly the same (their mean cosine is {cosine:.4f}), "
        "as behind a wrong preprocessing: check it. No label is judged, and which pictures are "
        "neighbours means little."
    )


def judged_labels(pictures: Gathered, *, bias: bool = True) -> JudgedLabels:
    """Return the pictures that look mislabelled, the highest self-influence first.

    A picture looks mislabelled where another class is as probable as on its own pictures but the
    least probable tenth (a threshold for each class, as in the confident learning of Northcutt et
    al. 2021, who take the mean), and MARGIN times as probable as the label; and where it is so by
    more than chance. Hard pictures of the right label are contradicted as well, the more pictures
    there are the more of them: so the logarithm of how many times as probable the best other class
    is must lie so far above its median over all pictures, in robust deviations (Iglewicz and
    Hoaglin 1993), that at most FALSE of those listed are expected to be there by chance (Benjamini
    and Hochberg 1995). The
    order is that of self-influence (Pruthi et al. 2020). Pictures without a label are left out. A
    model that has learned the wrong labels by heart does not contradict them: scores of a layer
    that was fitted without the picture do (`out_of_fold`). Nobody is listed where the features of
    all are alike (`features_alike`).
    """
    labelled = np.flatnonzero(pictures.labels != NO_LABEL)
    known = pictures.chosen(labelled)
    alike = features_alike(known if len(labelled) else pictures)
    if alike is not None or not len(labelled):
        return JudgedLabels(alike=alike)
    own, first, most, margin = _answers(known)
    enough = np.full(known.classes, np.inf)
    for class_ in np.unique(known.labels):
        enough[class_] = np.quantile(own[known.labels == class_], QUANTILE)
    chance = _chance(margin)
    doubted = (
        (first != known.labels)
        & (most >= enough[first])
        & (most >= MARGIN * own)
        & (chance <= FALSE)
    )
    influence = self_influence(known, bias=bias)
    order = [i for i in np.argsort(-influence, kind="stable") if doubted[i]]
    return JudgedLabels(
        tuple(
            DoubtedLabel(
                int(labelled[i]),
                int(known.labels[i]),
                int(first[i]),
                float(own[i]),
                float(most[i]),
                float(influence[i]),
                float(chance[i]),
            )
            for i in order
        )
    )


def _answers(known: Gathered) -> tuple[Array, Array, Array, Array]:
    """Of each picture, block by block: the probability of its label, the most probable class with
    its probability, and by how much the best other class lies above the label in the scores."""
    own, most, margin = (np.empty(len(known)) for _ in range(3))
    first = np.empty(len(known), np.int64)
    for part in known.blocks():
        scores, rows = known.scores(part), np.arange(part.stop - part.start)
        p, labels = softmax_rows(scores), known.labels[part]
        own[part], first[part], most[part] = p[rows, labels], p.argmax(1), p.max(1)
        of_label = scores[rows, labels]
        scores[rows, labels] = -np.inf
        margin[part] = scores.max(1) - of_label
    return own, first, most, margin


def _chance(margin: Array) -> Array:
    """(n,): the share of false ones among the pictures that are contradicted as much or more."""
    if not np.isfinite(margin).all():  # there is no other class
        return np.ones(len(margin))
    middle = float(np.median(margin))
    deviation = NORMAL * float(np.median(np.abs(margin - middle)))
    if not deviation > 0:
        return np.ones(len(margin))
    ps = [0.5 * math.erfc((each - middle) / deviation / math.sqrt(2)) for each in margin]
    return np.asarray(benjamini_hochberg(ps))
