"""An encoder in an audit: its vectors on the photographs, and the figures that follow from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from leap_audit.measure.draws import generator
from leap_audit.measure.embedding.duplicates import Duplicate, near_duplicates
from leap_audit.measure.embedding.folders import ClassSeparation, separation_of
from leap_audit.measure.embedding.spread import Hubs, Spread, hubs_of, nearest_of, vector_spread
from leap_audit.pipeline.photographs import Album
from leap_audit.run.session import Array

__all__ = ["DirectionsKind", "Embedded", "VectorFigures"]

DirectionsKind: TypeAlias = Literal["named", "classes", "principal"]
NEAREST = 3


@dataclass(frozen=True, eq=False)
class VectorFigures:
    """What vectors say without the encoder that made them."""

    spread: Spread
    hubs: Hubs
    duplicates: tuple[Duplicate, ...]
    apart: ClassSeparation | None
    """None without classes."""
    cosines: Array
    """(photographs, k) with the nearest others of each."""
    nearest: Array
    """(photographs, k) the places of these."""

    @property
    def same(self) -> list[tuple[int, int]]:
        """Return the pairs of photographs that show the same."""
        return [(each.first, each.second) for each in self.duplicates]


@dataclass(frozen=True, eq=False)
class Embedded:
    """An encoder's vectors on the photographs of an audit."""

    album: Album
    """`known` counts `names`."""
    folders: tuple[str, ...]
    """Of each photograph; empty where the paths may name patients."""
    vectors: Array
    """(photographs, dimensions), as the encoder gives them."""
    names: tuple[str, ...]
    """Of the classes that the folders or labels say; empty: none."""
    directions: str
    """What stands for classes, in words."""
    scale: float
    """What the cosines are multiplied by."""
    seed: int
    """Of all that is drawn."""
    kind: DirectionsKind = "named"
    """See `EmbeddingAudit.kind`."""
    stopped: BaseException | None = None
    """What stopped the audit before all photographs had a vector; the others are left out."""

    @cached_property
    def figures(self) -> VectorFigures:
        """Return what the vectors say, computed once."""
        album, vectors = self.album, self.vectors
        duplicates = near_duplicates(album.pictures, vectors, album.digests)
        pairs = [(each.first, each.second) for each in duplicates]
        return VectorFigures(
            vector_spread(vectors),
            hubs_of(vectors, generator(self.seed, "embedding hubs")),
            duplicates,
            separation_of(vectors, album.known, generator(self.seed, "embedding classes"), pairs),
            *nearest_of(vectors, min(NEAREST, len(vectors) - 1)),
        )

    def chosen(self, most: int) -> Array:
        """Return the places of the photographs that changes are tried on, at most so many."""
        total = len(self.vectors)
        if total <= most:
            return np.arange(total)
        drawn = generator(self.seed, "embedding pictures").choice(total, most, replace=False)
        return np.sort(drawn)
