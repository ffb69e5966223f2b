"""The part of an audit that a check looks at, and the result of looking."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from leap_audit.artifacts import Audit, Prototype
from leap_audit.findings.evidence import StatedClass, by_target, stated_classes
from leap_audit.text.names import ClassLabels
from leap_audit.text.numbers import listed

__all__ = ["Assessed", "Assessment", "NotAssessed", "Scope"]


@dataclass(frozen=True)
class Assessed:
    """The figure of a check. `value` is in the unit of the check."""

    value: float
    text: str
    """The figure in words, ending without a full stop."""
    low: float | None = None
    """The least the value may be where it was sampled; None where it was counted."""
    high: float | None = None


@dataclass(frozen=True)
class NotAssessed:
    """The reason why a check has no figure, as a clause that ends without a full stop."""

    reason: str


Assessment = Assessed | NotAssessed


@dataclass(frozen=True)
class Scope:
    """An audit, restricted to what one check of a policy looks at."""

    audit: Audit
    classes: frozenset[int] | None = None
    """The classes that the check is restricted to; None for all."""
    allowed: frozenset[frozenset[int]] = frozenset()
    """Pairs of classes that are expected to be alike."""
    labels: ClassLabels = field(init=False)
    """What to call each class."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", ClassLabels(self.audit.classes))

    def named(self, classes: Iterable[int]) -> str:
        """Return the labels of some classes as words of a sentence."""
        return listed([f"‘{self.labels[index]}’" for index in classes])

    def concerns(self, classes: Iterable[int]) -> bool:
        """Return whether the check looks at something that is about these classes."""
        return self.classes is None or not self.classes.isdisjoint(classes)

    def targets(self) -> dict[tuple[int, ...], list[Prototype]]:
        """Return target -> its prototypes, of the targets that concern the check."""
        groups = by_target(self.audit.prototypes)
        return {target: made for target, made in groups.items() if self.concerns(target)}

    def stated_classes(self) -> Iterator[StatedClass]:
        """Yield the isolations, within the scope, of classes that the model states."""
        for each in stated_classes(self.audit.prototypes, self.audit.samples, self.labels):
            if self.concerns([each.isolation.class_]):
                yield each

    def lacking(self, available: Iterable[int], what: str) -> NotAssessed | None:
        """Return why the check cannot be assessed if a class that it names is not available."""
        missing = sorted((self.classes or frozenset()) - set(available))
        return NotAssessed(f"{what} of {self.named(missing)}") if missing else None
