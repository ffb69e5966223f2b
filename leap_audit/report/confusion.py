"""The confusion table: which class photographs show, and which the model answers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from leap_audit.artifacts import Sample
from leap_audit.findings.evidence import labelled_answers

__all__ = ["Confusion", "confusion_of"]

MOST = 12
"""Classes that the table has room for."""


@dataclass(frozen=True)
class Confusion:
    """How many photographs of each class (rows) get each answer (columns)."""

    shown: tuple[int, ...]
    answered: tuple[int, ...]
    counts: dict[tuple[int, int], int]
    left_out: int
    """Photographs, all answered right, of classes that the table has no room for."""


def confusion_of(samples: Sequence[Sample]) -> Confusion | None:
    """Return the table of the photographs with a label; None where there are none.

    Of more than 12 classes those with mistakes alone, the most mistaken first; None where even
    these are too many.
    """
    known = labelled_answers(samples)
    counts = Counter((each.shows, each.answer) for each in known)
    shown, answered = _axes(counts)
    if max(len(shown), len(answered)) > MOST:
        wrong = Counter({pair: n for pair, n in counts.items() if pair[0] != pair[1]})
        rows = {shows for shows, _ in wrong}
        counts = Counter({pair: n for pair, n in counts.items() if pair[0] in rows})
        shown, answered = _axes(counts)
    if not shown or max(len(shown), len(answered)) > MOST:
        return None
    return Confusion(shown, answered, dict(counts), len(known) - sum(counts.values()))


def _axes(counts: Counter[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shown = tuple(sorted({pair[0] for pair in counts}))
    return shown, tuple(sorted({pair[1] for pair in counts} | set(shown)))
