"""How far changes of whole pictures move an encoder's vectors."""

from collections.abc import Callable, Sequence

import numpy as np

from leap_audit.artifacts import EmbeddingChange
from leap_audit.measure.draws import generator
from leap_audit.measure.embedding.spread import unit_vectors
from leap_audit.measure.experiments.changes import CHANGES, PictureChange
from leap_audit.run.session import Array
from leap_audit.statistics import wilson

__all__ = ["moved_by"]


def moved_by(
    pictures: Array,
    vectors: Array,
    chosen: Array,
    vectors_of: Callable[[Array], Array],
    seed: int,
    same: Sequence[tuple[int, int]] = (),
    changes: tuple[PictureChange, ...] = CHANGES,
) -> tuple[EmbeddingChange, ...]:
    """Return what each change does to the vectors of some of the pictures.

    A changed copy that is as near to another picture as to its own is not found again: so it is
    with every change where an encoder gives all pictures one vector.

    pictures: the chosen ones, (m, channels, height, width) in 0..1. vectors: of all, (n, d).
    chosen: the places, among all, of the pictures. vectors_of: the vectors of other pictures. seed:
    of the noise. same: pairs of places that show the same: each may be found for the
    other.
    """
    units = unit_vectors(vectors)
    row = {int(place): i for i, place in enumerate(chosen)}
    both = [*same, *((j, i) for i, j in same)]
    pairs = [(row[i], j) for i, j in both if i in row]
    beside = tuple(np.array(pairs, np.int64).reshape(-1, 2).T)
    found = []
    for change in changes:
        if change.coloured and pictures.shape[1] != 3:
            continue
        rng = generator(seed, f"embedding change {change.name}")
        changed = np.clip(change.applied(pictures, rng), 0, 1).astype(np.float32)
        cosines = unit_vectors(vectors_of(changed)) @ units.T
        rows = np.arange(len(chosen))
        own = cosines[rows, chosen].copy()
        cosines[rows, chosen] = -np.inf
        cosines[beside] = -np.inf
        again = int((own > cosines.max(1) + 1e-6).sum())
        low, high = wilson(again, len(chosen))
        found.append(
            EmbeddingChange(
                change=change.name,
                pictures=len(chosen),
                cosine=float(np.median(own)),
                found=again,
                low=low,
                high=high,
            )
        )
    return tuple(found)
