"""What a check looks at, and what it can answer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from leap_audit.artifacts import Audit, Prototype
from leap_audit.findings.evidence import Measurements, Seen
from leap_audit.text.names import ClassLabels
from leap_audit.text.numbers import listed

__all__ = ["Answer", "Figure", "NotAssessed", "Subject"]


@dataclass(frozen=True)
class Figure:
    """What a check found. `value` is in the unit of the check."""

    value: float
    text: str
    """What was found, in words, ending without a full stop."""
    low: float | None = None
    """The least the value may be where it was sampled; None where it was counted."""
    high: float | None = None


@dataclass(frozen=True)
class NotAssessed:
    """Why a check has no answer, as a clause that ends without a full stop."""

    reason: str


Answer = Figure | NotAssessed


@dataclass(frozen=True)
class Subject:
    """An audit, as one check of a policy looks at it."""

    audit: Audit
    classes: frozenset[int] | None = None
    """The classes that the check is restricted to; None for all."""
    allowed: frozenset[frozenset[int]] = frozenset()
    """Pairs of classes that are expected to be alike."""
    _measured: Measurements = field(init=False)

    def __post_init__(self) -> None:
        audit = self.audit
        measured = Measurements(
            audit.prototypes, audit.samples, audit.classes, Path(), audit.readings
        )
        object.__setattr__(self, "_measured", measured)

    @property
    def labels(self) -> ClassLabels:
        """What to call each class."""
        return self._measured.labels

    def named(self, classes: Iterable[int]) -> str:
        """Return the labels of some classes as a sentence says them."""
        return listed([f"‘{self.labels[index]}’" for index in classes])

    def concerns(self, classes: Iterable[int]) -> bool:
        """Return whether the check looks at something that is about these classes."""
        return self.classes is None or not self.classes.isdisjoint(classes)

    def targets(self) -> dict[tuple[int, ...], list[Prototype]]:
        """Return target -> its prototypes, of the targets that concern the check."""
        found = self._measured.replicates()
        return {target: made for target, made in found.items() if self.concerns(target)}

    def isolations(self) -> Iterator[Seen]:
        """Yield the isolations of classes that the model stated on the picture."""
        for seen in self._measured.isolations():
            if self.concerns([seen.isolation.class_]):
                yield seen

    def lacking(self, found: Iterable[int], what: str) -> NotAssessed | None:
        """Return why the check cannot be assessed if a class it names is not in `found`."""
        missing = sorted((self.classes or frozenset()) - set(found))
        return NotAssessed(f"{what} of {self.named(missing)}") if missing else None
