"""How far changes of whole pictures move an encoder's vectors."""

from collections.abc import Mapping, Sequence

import numpy as np

from leap_audit.artifacts import EmbeddingChange
from leap_audit.measure.draws import generator
from leap_audit.measure.embedding.quality import WITHOUT
from leap_audit.measure.embedding.spread import unit_vectors
from leap_audit.measure.experiments.changes import CHANGES, PictureChange
from leap_audit.run.session import Array
from leap_audit.statistics import wilson

__all__ = ["change_names", "moved_by", "pictures_changed"]


def change_names(channels: int) -> tuple[str, ...]:
    """Return the names of the changes of pictures with so many channels."""
    return tuple(each.name for each in CHANGES if channels == 3 or not each.coloured)


def pictures_changed(pictures: Array, change: str, seed: int) -> Array:
    """Return changed pictures, (n, channels, height, width) in 0..1.

    change: a name of `change_names`, or a quality that is taken from them (`WITHOUT`); empty: they
    stay as they are. seed: of the noise.
    """
    if not change:
        return pictures
    if change in WITHOUT:
        return np.asarray(WITHOUT[change](pictures), np.float32)
    chosen: PictureChange = next(each for each in CHANGES if each.name == change)
    rng = generator(seed, f"embedding change {change}")
    return np.clip(chosen.applied(pictures, rng), 0, 1).astype(np.float32)


def moved_by(
    vectors: Array,
    chosen: Array,
    changed: Mapping[str, Array],
    same: Sequence[tuple[int, int]] = (),
) -> tuple[EmbeddingChange, ...]:
    """Return what each change does to the vectors of some of the pictures.

    A changed copy that is as near to another picture as to its own is not found again: so it is
    with every change where an encoder gives all pictures one vector.

    vectors: of all pictures, (n, d). chosen: the places of those that were changed, (m,). changed:
    name of a change -> the vectors of their changed copies, (m, d). same: pairs of places that show
    the same: each may be found for the other.
    """
    units = unit_vectors(vectors)
    row = {int(place): i for i, place in enumerate(chosen)}
    both = [*same, *((j, i) for i, j in same)]
    pairs = [(row[i], j) for i, j in both if i in row]
    beside = tuple(np.array(pairs, np.int64).reshape(-1, 2).T)
    found = []
    for change, copies in changed.items():
        cosines = unit_vectors(copies) @ units.T
        rows = np.arange(len(chosen))
        own = cosines[rows, chosen].copy()
        cosines[rows, chosen] = -np.inf
        cosines[beside] = -np.inf
        again = int((own > cosines.max(1) + 1e-6).sum())
        low, high = wilson(again, len(chosen))
        found.append(
            EmbeddingChange(
                change=change,
                pictures=len(chosen),
                cosine=float(np.median(own)),
                found=again,
                low=low,
                high=high,
            )
        )
    return tuple(found)
