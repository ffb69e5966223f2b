"""Which prototypes and photographs a printed report shows in full, where there are many."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from leap_audit.artifacts import Audit, Isolation
from leap_audit.findings.answered import answered

__all__ = ["IN_FULL", "Selection", "everything", "for_print"]

IN_FULL = 24
"""Prototypes, and photographs, that a printed report shows in full; about a page each."""


@dataclass(frozen=True)
class Selection:
    """Places in the audit of what is shown in full; the rest is only in the index of pictures."""

    prototypes: frozenset[int]
    samples: frozenset[int]

    def whole(self, audit: Audit) -> bool:
        """Return whether all of the audit is shown in full."""
        shown = len(self.prototypes), len(self.samples)
        return shown == (len(audit.prototypes), len(audit.samples))


def everything(audit: Audit) -> Selection:
    """Return all of an audit."""
    return Selection(frozenset(range(len(audit.prototypes))), frozenset(range(len(audit.samples))))


def for_print(audit: Audit, most: int = IN_FULL) -> Selection:
    """Return what goes on paper in full: at most so many prototypes, and so many photographs.

    First what the findings are about, the gravest first; then photographs that the model gets
    wrong; then the others in the order of the audit.
    """
    return Selection(
        _first([*_prototypes_of_findings(audit), *range(len(audit.prototypes))], most),
        _first([*_samples_of_findings(audit), *_mistaken(audit), *range(len(audit.samples))], most),
    )


def _first(places: Iterable[int], most: int) -> frozenset[int]:
    return frozenset(list(dict.fromkeys(places))[:most])


def _prototypes_of_findings(audit: Audit) -> Iterator[int]:
    for finding in audit.findings:
        pictured = {each.image for each in finding.pictures}
        for place, each in enumerate(audit.prototypes):
            of_class = not pictured.isdisjoint(_pictures(each.image, each.isolations))
            if of_class or not set(finding.classes).isdisjoint(each.target):
                yield place


def _samples_of_findings(audit: Audit) -> Iterator[int]:
    for finding in audit.findings:
        pictured = {each.image for each in finding.pictures}
        for place, each in enumerate(audit.samples):
            if not pictured.isdisjoint(_pictures(each.image, each.isolations)):
                yield place


def _mistaken(audit: Audit) -> Iterator[int]:
    for place, each in enumerate(audit.samples):
        if any(not told.right for told in answered([each])):
            yield place


def _pictures(image: str, isolations: Iterable[Isolation]) -> set[str]:
    return {image, *(path for each in isolations for path in (each.image, each.mask))} - {""}
