"""Which prototypes and photographs a printed report shows in full, where there are many."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from leap_audit.artifacts import Audit, Prototype, Sample
from leap_audit.findings.evidence import labelled_answers

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
    samples = audit.samples
    mistaken = [
        i for i, each in enumerate(samples) if any(not a.right for a in labelled_answers([each]))
    ]
    return Selection(
        _first([*_concerned(audit, audit.prototypes), *range(len(audit.prototypes))], most),
        _first([*_concerned(audit, samples), *mistaken, *range(len(samples))], most),
    )


def _first(places: Iterable[int], most: int) -> frozenset[int]:
    return frozenset(list(dict.fromkeys(places))[:most])


def _concerned(audit: Audit, several: Sequence[Prototype | Sample]) -> Iterator[int]:
    """Yield the places of what findings show a picture of, or a prototype of a class of theirs."""
    pictures = [
        {each.image, *(path for part in each.isolations for path in (part.image, part.mask))}
        for each in several
    ]
    targets = [each.target if isinstance(each, Prototype) else () for each in several]
    for finding in audit.findings:
        shown = {each.image for each in finding.pictures} - {""}
        for place, (own, target) in enumerate(zip(pictures, targets, strict=True)):
            if not (shown.isdisjoint(own) and set(finding.classes).isdisjoint(target)):
                yield place
