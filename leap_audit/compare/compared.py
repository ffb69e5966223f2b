"""Compare two audits."""

from pathlib import Path

from leap_audit.compare.changes import Compared, changes_of
from leap_audit.compare.classes import match
from leap_audit.compare.identity import (
    entanglement_method,
    identities,
    settings,
    vectors_of,
    warnings_of,
)
from leap_audit.compare.judged import got_worse, pair_checks, pair_findings
from leap_audit.compare.photographs import accuracy, pair_photographs
from leap_audit.compare.prototypes import compared, expected_by_chance, pair_prototypes
from leap_audit.compare.record import Comparison
from leap_audit.compare.sides import Gallery, Side
from leap_audit.compare.suspicion import pair_suspicion

__all__ = ["compare"]


def compare(old: Side, new: Side, folder: Path) -> Comparison:
    """Return what changed from one audit to another, what matters most first.

    The pictures that it names are written into `folder`/images, which must be there.

    Raises PictureRefused: a picture that an audit names is missing or outside its folder.
    """
    galleries = Gallery(folder, old), Gallery(folder, new)
    then, now = old.audit, new.audit
    classes = match(then.classes, now.classes)
    same_method = entanglement_method(then) == entanglement_method(now)
    photographs = pair_photographs(then, now, classes, galleries)
    checks = pair_checks(then.checks, now.checks)
    pairs = Compared(
        classes=classes,
        findings=pair_findings(then, now, classes, galleries),
        prototypes=pair_prototypes(then, now, classes, galleries, same_method=same_method),
        photographs=photographs,
        accuracy=accuracy(photographs, classes),
    )
    complete = then.status == now.status == "complete"
    return Comparison(
        status="complete" if complete else "incomplete",
        worse=got_worse(then, now, checks),
        old=old.identity,
        new=new.identity,
        changes=changes_of(pairs),
        warnings=warnings_of(then, now, classes.matching.matched, len(photographs)),
        identity=identities(then, now),
        settings=settings(old, new),
        vectors=vectors_of(then, now),
        classes=classes.matching,
        checks=checks,
        findings=tuple(pairs.findings),
        suspicion=pair_suspicion(then, now, classes, galleries),
        prototypes=tuple(pairs.prototypes),
        entanglements_compared=len(compared(pairs.prototypes)),
        entanglements_by_chance=expected_by_chance(pairs.prototypes),
        photographs=photographs,
        accuracy=pairs.accuracy,
        only_old=len(then.samples) - len(photographs),
        only_new=len(now.samples) - len(photographs),
    )
