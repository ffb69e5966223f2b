"""Units of work on an encoder's vectors; see `units`."""

from dataclasses import dataclass

from leap_audit.measure.embedding.alike import AlikeOptions, AlikeRegion
from leap_audit.pipeline.units import Supplied, Unit
from leap_audit.run.session import Array

__all__ = ["Embed", "Liken"]


@dataclass(frozen=True, eq=False)
class Embed(Supplied[Array]):
    """Compute an encoder's vectors of photographs. Result: (photographs, dimensions)."""

    noun = "vectors"

    change: str = ""
    """What is done to the photographs before; see `pictures_changed`."""
    seed: int = 0
    """Of what the change draws."""

    @property
    def steps(self) -> int:
        return len(self.supply.photographs)


@dataclass(frozen=True, eq=False)
class Liken(Unit[AlikeRegion]):
    """Ask what makes a picture like another, of an encoder. Result: `AlikeRegion`."""

    noun = "regions that make pictures alike"

    picture: Array
    vector: Array
    """Of the other."""
    options: AlikeOptions
    seed: int

    @property
    def steps(self) -> int:
        return 1
