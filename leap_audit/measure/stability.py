"""What stays the same when chance changes, and which photographs the model sees as near."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from leap_audit.artifacts import ALIKE
from leap_audit.measure.entanglement import Shared, cosines_of
from leap_audit.run.session import Array

__all__ = ["TOP", "agreement", "faces", "interval", "nearest", "similarity"]

TOP = 3
"""How many of the most entangled classes are compared between seeds."""


def similarity(features: Array) -> float:
    """Return the mean cosine between any two rows of (seeds, features), -1..1."""
    cosines = cosines_of(features, features)
    pairs = [cosines[i, j] for i, j in combinations(range(len(features)), 2)]
    return float(np.mean(pairs))


def faces(features: Array, recognised: Sequence[bool]) -> tuple[tuple[int, ...], ...]:
    """Return the rows of (seeds, features) that show the same face of their class, face by face.

    Two prototypes that the model recognises show the same face if they look alike to it, or if
    others between them do. Rows that it does not recognise show none.
    """
    alike = cosines_of(features, features) >= ALIKE
    found: list[set[int]] = []
    for row in np.flatnonzero(recognised):
        touched = [face for face in found if any(alike[row, other] for other in face)]
        found = [face for face in found if face not in touched]
        found.append({int(row)}.union(*touched))
    return tuple(sorted(tuple(sorted(face)) for face in found))


def agreement(shared: Sequence[Shared], target: Sequence[int]) -> float:
    """Return the share of the `TOP` most entangled other classes that any two seeds agree on."""
    tops = [set(each.others(target)[:TOP]) for each in shared]
    return float(np.mean([len(a & b) / max(len(a), len(b), 1) for a, b in combinations(tops, 2)]))


def interval(shared: Sequence[Shared], class_: int) -> tuple[float, float] | None:
    """Return the least and the greatest cosine of a class over the seeds that compared it."""
    values = [each.cosines[class_] for each in shared if class_ in each.cosines]
    return (min(values), max(values)) if len(values) > 1 else None


def nearest(own: Array, others: Array, count: int) -> list[tuple[int, float]]:
    """Return (row, cosine) of at most `count` rows of `others`, the nearest to `own` first.

    own: (features,); others: (n, features). Both are centred on the mean of `others`, because
    features that are always on make everything alike.
    """
    if not len(others):
        return []
    centre = others.mean(0) if len(others) > 1 else np.zeros_like(others[0])
    cosines = cosines_of((own - centre)[None], others - centre)[0]
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(i), float(cosines[i])) for i in order]
