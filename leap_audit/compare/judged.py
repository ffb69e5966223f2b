"""Findings and checks of two audits, paired."""

from collections.abc import Iterator, Sequence

from leap_audit.artifacts import Audit, Check, Finding, Severity, Verdict
from leap_audit.compare.classes import Classes
from leap_audit.compare.record import CheckPair, Comparison, Direction, FindingPair
from leap_audit.compare.sides import Gallery

__all__ = ["FAIL_ON", "fails", "got_worse", "pair_checks", "pair_findings", "turned"]

FAIL_ON = ("never", "worse", "high", "medium", "low", "info")
"""What a comparison may fail on; each includes those before it."""
_SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "info")
_WORSE: tuple[Verdict, ...] = ("PASS", "WARN", "NOT ASSESSED", "FAIL")
"""From good to bad: what is not assessed never reads as a pass."""


def pair_findings(
    old: Audit, new: Audit, classes: Classes, galleries: tuple[Gallery, Gallery]
) -> tuple[FindingPair, ...]:
    """Return the findings of both audits, paired by rule, target and detail."""
    then = {_key(each, classes, old=True): each for each in old.findings}
    now = {_key(each, classes, old=False): each for each in new.findings}
    fresh = [_new(key, now[key], old, classes, galleries[1]) for key in now if key not in then]
    gone = [_gone(key, then[key], new, classes, galleries[0]) for key in then if key not in now]
    still = [
        FindingPair(
            key=_shown_key(key),
            state="still",
            old=galleries[0].finding(then[key]),
            new=galleries[1].finding(each),
        )
        for key, each in now.items()
        if key in then
    ]
    return (*fresh, *gone, *still)


def turned(old: Severity, new: Severity) -> Direction | None:
    """Return how a severity changed; None where it did not."""
    then, now = _SEVERITIES.index(old), _SEVERITIES.index(new)
    return None if then == now else "worse" if now < then else "better"


def pair_checks(old: Sequence[Check], new: Sequence[Check]) -> tuple[CheckPair, ...]:
    """Return the checks of both policies by their names, in the order of the new one."""
    then, now = ({each.id: each for each in checks} for checks in (old, new))
    return tuple(_checks(name, then.get(name), now.get(name)) for name in {**now, **then})


def got_worse(old: Audit, new: Audit, checks: Sequence[CheckPair]) -> tuple[str, ...]:
    """Return what of the verdict and the checks got worse, a sentence each."""
    return tuple(_worsened(old, new, checks))


def fails(comparison: Comparison, level: str) -> bool:
    """Return whether the comparison fails on `level`, one of FAIL_ON.

    worse: the verdict or a check got worse. A severity: that, or there is a finding of it or of a
    graver one that was not there before, or was less grave.
    """
    if level == "never":
        return False
    if comparison.worse:
        return True
    counted = _SEVERITIES[: FAIL_ON.index(level) - 1]
    return any(
        pair.new.severity in counted
        for pair in comparison.findings
        if pair.new is not None
        and (pair.old is None or turned(pair.old.severity, pair.new.severity) == "worse")
    )


_Key = tuple[str, tuple[int | str, ...], str]
"""Rule, target and detail. A class that both models have is its number in the new one."""


def _key(finding: Finding, classes: Classes, *, old: bool) -> _Key:
    target = (classes.to_new.get(i, f"old {i}") if old else i for i in finding.target)
    return finding.rule, tuple(target), finding.detail


def _shown_key(key: _Key) -> str:
    rule, target, detail = key
    return ":".join(filter(None, [rule, "+".join(map(str, target)), detail]))


def _new(
    key: _Key, finding: Finding, old: Audit, classes: Classes, gallery: Gallery
) -> FindingPair:
    to_old = {k: i for i, k in classes.to_new.items()}
    where = [to_old.get(index) for index in finding.target]
    note = ""
    if any(index is None for index in where):
        note = "The old model does not have the class."
    elif not _looked_at(old, [index for index in where if index is not None]):
        note = "The old audit did not look at this: it may have been there before."
    return FindingPair(
        key=_shown_key(key), state="new", old=None, new=gallery.finding(finding), note=note
    )


def _gone(
    key: _Key, finding: Finding, new: Audit, classes: Classes, gallery: Gallery
) -> FindingPair:
    where = [classes.to_new.get(index) for index in finding.target]
    note = ""
    if any(index is None for index in where):
        note = "The new model does not have the class."
    elif not _looked_at(new, [index for index in where if index is not None]):
        note = "The new audit did not look at this: it may still be there."
    elif new.status != "complete":
        note = "The new audit was interrupted: it may still be there."
    return FindingPair(
        key=_shown_key(key),
        state="unknown" if note else "gone",
        old=gallery.finding(finding),
        new=None,
        note=note,
    )


def _looked_at(audit: Audit, indices: Sequence[int]) -> bool:
    """Whether an audit has a prototype or an isolation of each class, or anything at all."""
    seen = {index for each in audit.prototypes for index in each.target}
    seen |= {each.class_ for sample in audit.samples for each in sample.isolations}
    return bool(seen) and seen.issuperset(indices)


def _checks(name: str, old: Check | None, new: Check | None) -> CheckPair:
    direction: Direction | str = "different"
    if old is not None and new is not None:
        direction = _compared(old.status, new.status)
    elif new is not None and new.status == "FAIL":
        direction = "worse"
    return CheckPair.model_validate({"id": name, "direction": direction, "old": old, "new": new})


def _compared(old: Verdict, new: Verdict) -> Direction | str:
    if old == new:
        return "same"
    if _WORSE.index(new) > _WORSE.index(old):
        return "worse"
    return "different" if new == "NOT ASSESSED" else "better"


def _worsened(old: Audit, new: Audit, checks: Sequence[CheckPair]) -> Iterator[str]:
    if _compared(old.verdict, new.verdict) == "worse":
        yield f"The verdict was {old.verdict} and is {new.verdict}."
    for pair in checks:
        if pair.direction == "worse" and pair.new is not None:
            then = pair.old.status if pair.old else "not asked"
            yield f"The check {pair.id!r} was {then} and is {pair.new.status}."
