"""The photographs of an audit whose labels look wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import DoubtedSample, NamedPicture
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.measure.examples.gathered import Gathered
from leap_audit.measure.examples.mislabelled import alike_in_words, judged_labels
from leap_audit.measure.examples.probe import out_of_fold, ridge_of
from leap_audit.pipeline.prototypes import sample_stem
from leap_audit.pipeline.study import Answered, Study

__all__ = ["LabelDoubts", "label_doubts"]

LEAST, LEAST_OF_CLASS = 40, 5
"""Photographs, in all and of a class, below which no label is doubted."""
LARGEST_FIT = 200_000_000
"""Photographs times classes times features above which the layer takes too long to fit."""


@dataclass(frozen=True)
class LabelDoubts:
    """The photographs whose labels look wrong, and how many were judged."""

    doubted: tuple[DoubtedSample, ...] = ()
    """The highest self-influence first."""
    judged: int = 0
    notes: tuple[str, ...] = ()
    """Why none was judged, where that needs a word."""


def _judged(study: Study, photographs: Sequence[Answered]) -> list[Answered]:
    """The photographs whose labels can be judged; none where there are too few.

    A layer is fitted to features without a fifth of the photographs, so each class needs some.
    """
    if type(study.model.answer) is not Softmax or study.model.answer.places != 1:
        return []
    known = study.album.known
    times = Counter(known[each.index] for each in photographs)
    chosen = [
        each
        for each in photographs
        if known[each.index] is not None and times[known[each.index]] >= LEAST_OF_CLASS
    ]
    classes = len({known[each.index] for each in chosen})
    if len(chosen) < LEAST or classes < 2:
        return []
    size = len(chosen) * classes * chosen[0].features.size
    return chosen if size <= LARGEST_FIT else []


def label_doubts(study: Study, photographs: Sequence[Answered]) -> LabelDoubts:
    """Return the photographs that look mislabelled, by a layer that was fitted without them."""
    chosen, known = _judged(study, photographs), study.album.known
    if not chosen:
        return LabelDoubts()
    classes = sorted({class_ for each in chosen if (class_ := known[each.index]) is not None})
    labels = [classes.index(class_) for e in chosen if (class_ := known[e.index]) is not None]
    gathered = Gathered.of(np.stack([each.features for each in chosen]), None, labels)
    scored = out_of_fold(gathered, len(classes), ridge_of(gathered))
    judged = judged_labels(scored)
    if judged.alike is not None:
        return LabelDoubts(notes=(alike_in_words(judged.alike, "photographs"),))
    doubted = tuple(
        DoubtedSample(
            picture=NamedPicture(
                file=study.album.names[chosen[each.place].index],
                image=f"images/{sample_stem(chosen[each.place].index)}.png",
            ),
            known=classes[each.label],
            suggested=classes[each.suggested],
            prob_known=each.prob_label,
            prob_suggested=each.prob_suggested,
            self_influence=each.influence,
            q=each.q,
        )
        for each in judged.doubted
    )
    return LabelDoubts(doubted, len(chosen))
