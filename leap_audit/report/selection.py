"""Which prototypes and photographs a printed report shows in full, where there are many."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from leap_audit.artifacts import Audit, Prototype, Sample
from leap_audit.findings.evidence import labelled_answers

__all__ = [
    "PHOTOGRAPHS_IN_FULL",
    "PROTOTYPES_IN_FULL",
    "Selection",
    "everything",
    "for_print",
    "wrong_first",
]

PROTOTYPES_IN_FULL = 12
"""Prototypes that a printed report explains."""
PHOTOGRAPHS_IN_FULL, WITH_OPINIONS = 6, 4
"""Photographs that a printed report explains: alone, and with second opinions."""


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


def for_print(
    audit: Audit, prototypes: int = PROTOTYPES_IN_FULL, samples: int | None = None
) -> Selection:
    """Return what goes on paper in full: at most so many prototypes, and so many photographs.

    samples: None: PHOTOGRAPHS_IN_FULL, or WITH_OPINIONS where there are second opinions.
    First what the findings are about, the gravest first; then photographs that the model gets
    wrong; then the others, of each class in turn.
    """
    every, made = audit.samples, audit.prototypes
    if samples is None:
        samples = WITH_OPINIONS if any(each.opinions for each in every) else PHOTOGRAPHS_IN_FULL
    return Selection(
        _first([*_concerned(audit, made), *range(len(made))], prototypes),
        _first([*_concerned(audit, every), *wrong_first(every, by_turns=True)], samples),
    )


def wrong_first(samples: Sequence[Sample], *, by_turns: bool = False) -> list[int]:
    """Return the places of photographs: those answered wrong first, else in their order.

    by_turns: of those answered right the first of each class comes before the second of any.
    """
    seen: Counter[int | None] = Counter()
    turns = []
    for sample in samples:
        right = all(answer.right for answer in labelled_answers([sample]))
        turns.append((right, seen[sample.known] if right and by_turns else 0))
        seen[sample.known] += right and sample.known is not None
    return sorted(range(len(samples)), key=turns.__getitem__)


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
