"""What is asked of the detections of an audit, by rules, checks and the report."""

from collections.abc import Iterable
from dataclasses import dataclass

from leap_audit.artifacts import Coincident, Detection, Sample, Trial

__all__ = ["Pair", "Removal", "pairs_of", "removals"]


@dataclass(frozen=True)
class Pair:
    """Two detections at one place of a photograph."""

    file: str
    image: str
    first: Detection
    second: Detection
    how: Coincident

    @property
    def two(self) -> bool:
        """Whether they are of two classes."""
        return self.first.class_ != self.second.class_


@dataclass(frozen=True)
class Removal:
    """What a change of the whole picture does to the objects of all classes."""

    kind: str
    objects: int
    changed: int
    """Objects that are no longer found."""
    control: int
    classes: tuple[int, ...]
    """Those that lose half of their objects or more."""

    @property
    def share(self) -> float:
        """Return the share of objects that are lost, 0..1."""
        return self.changed / self.objects


def pairs_of(samples: Iterable[Sample]) -> list[Pair]:
    """Return all pairs of detections at one place, in the order of the photographs."""
    return [
        Pair(s.file, s.image, s.detections[each.first], s.detections[each.second], each)
        for s in samples
        for each in s.coincident
    ]


def removals(trials: Iterable[Trial]) -> list[Removal]:
    """Return what each usual change loses, over all classes, in the order of the trials."""
    by_kind: dict[str, list[Trial]] = {}
    for each in trials:
        if each.experiment == "removal":
            by_kind.setdefault(each.kind, []).append(each)
    return [
        Removal(
            kind,
            sum(t.pictures for t in several),
            sum(t.changed for t in several),
            sum(t.control for t in several),
            tuple(t.class_ for t in several if t.changed >= t.pictures / 2),
        )
        for kind, several in by_kind.items()
    ]
