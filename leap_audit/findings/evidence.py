"""What the rules look at, and the questions several of them ask of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leap_audit.artifacts import Isolation, ModelIdentity, Prototype, Readings, Sample
from leap_audit.text.names import ClassLabels, shortened

__all__ = ["STATED", "Measurements", "Seen", "core", "ranking_of"]

STATED = 0.1
"""From this probability on, a class counts as something the model said about a picture."""


@dataclass(frozen=True)
class Seen:
    """An isolation and the picture it was found on."""

    picture: str
    isolation: Isolation
    photograph: bool


@dataclass(frozen=True)
class Measurements:
    """Everything a rule may look at. Paths in it are relative to `folder`."""

    prototypes: Sequence[Prototype]
    samples: Sequence[Sample]
    classes: Sequence[str]
    folder: Path
    readings: Readings | None = None
    model: ModelIdentity | None = None
    labels: ClassLabels = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", ClassLabels(self.classes))

    def replicates(self) -> dict[tuple[int, ...], list[Prototype]]:
        """Return the prototypes of each target, in the order of the audit."""
        found: dict[tuple[int, ...], list[Prototype]] = {}
        for prototype in self.prototypes:
            found.setdefault(prototype.target, []).append(prototype)
        return found

    def isolations(self) -> Iterator[Seen]:
        """Yield the isolations of classes that the model stated (see STATED) on the picture.

        Not of those that the model states as surely on the picture erased, as it may a background.
        """
        for prototype in self.prototypes:
            where = f"the prototype of ‘{self.labels.of(prototype.target)}’"
            yield from (Seen(where, each, False) for each in prototype.isolations if _counts(each))
        for sample in self.samples:
            where = f"photograph {shortened(sample.file)}"
            yield from (Seen(where, each, True) for each in sample.isolations if _counts(each))


def _counts(isolation: Isolation) -> bool:
    return isolation.prob >= STATED and isolation.carried


def ranking_of(folder: Path, isolation: Isolation) -> NDArray[np.uint8]:
    """Return the ranking of all pixels, (height, width), 255 where the class needs it first."""
    with Image.open(folder / isolation.mask, formats=["PNG"]) as picture:
        return np.asarray(picture.convert("L"), np.uint8)


def core(folder: Path, isolation: Isolation, largest: float) -> NDArray[np.float64]:
    """Return which pixels of the mask rank first, as weights that sum to 1, (height, width).

    They are the brightest `isolation.area` of the picture, at most the fraction `largest` and at
    least one pixel. Pixels that tie at the edge of the region share what is left of it.
    """
    ranking = ranking_of(folder, isolation)
    count = max(1, round(min(isolation.area, largest) * ranking.size))
    edge = np.sort(ranking, axis=None)[-count]
    above = ranking > edge
    tied = ranking == edge
    weights = above + tied * ((count - above.sum()) / tied.sum())
    return np.asarray(weights / count, dtype=np.float64)
