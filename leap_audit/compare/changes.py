"""What changed, in the order in which it matters: the findings of a comparison."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from leap_audit.artifacts import Finding, Prediction, Severity
from leap_audit.compare.classes import Classes
from leap_audit.compare.judged import turned
from leap_audit.compare.prototypes import compared, expected_by_chance
from leap_audit.compare.record import (
    Accuracy,
    Change,
    Direction,
    FindingPair,
    PhotographPair,
    PicturePair,
    PrototypePair,
)
from leap_audit.findings import precedence
from leap_audit.report.wording import signed
from leap_audit.text.names import ClassLabels, shortened
from leap_audit.text.numbers import count, listed, percent

__all__ = ["Compared", "by_chance", "changes_of"]

_SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "info")
_DIRECTIONS: tuple[Direction, ...] = ("worse", "different", "better")
SIGNIFICANT = 0.05
"""Gains and losses less probable than this by chance count as a change of accuracy."""
MOVED = 3
"""Photographs with the same answer from another place that make a change."""
NAMED = 3
PICTURES = 3


@dataclass(frozen=True)
class Compared:
    """All pairs of two audits."""

    classes: Classes
    findings: Sequence[FindingPair]
    prototypes: Sequence[PrototypePair]
    photographs: Sequence[PhotographPair]
    accuracy: Accuracy | None


def changes_of(pairs: Compared) -> tuple[Change, ...]:
    """Return what changed, what matters most first.

    By severity; of equal ones what got worse before what differs before what got better; then
    findings, those first whose classes took part in most changed answers; then the rest.
    """
    kinds = (_findings, _accuracy, _answers, _objects, _regions, _entanglements)
    weighed = [(kind, *each) for kind, changes in enumerate(kinds) for each in changes(pairs)]
    weighed.sort(
        key=lambda each: (
            _SEVERITIES.index(each[2].severity),
            _DIRECTIONS.index(each[2].direction),
            each[0],
            each[1],
            each[2].id,
        )
    )
    return tuple(change for _, _, change in weighed)


_Weighed = tuple[tuple[float, ...], Change]
"""What sorts a change among those of its kind, the least first; and the change."""


def _findings(pairs: Compared) -> Iterator[_Weighed]:
    for pair in pairs.findings:
        judged = _judged(pair)
        if judged is None:
            continue
        direction, finding, title, evidence = judged
        on_new = pair.new is not None
        indices = _of_new(finding.target, pairs.classes, on_new)
        answers = [
            each
            for each in pairs.photographs
            if each.changed and _about(each, indices, pairs.classes)
        ]
        yield (
            (-len(answers), precedence(finding.rule)),
            Change(
                id=f"finding:{pair.key}",
                direction=direction,
                severity=finding.severity,
                title=title,
                evidence=" ".join(filter(None, [evidence, pair.note, _took_part(answers)])),
                limits=finding.limits,
                pictures=tuple(_pictures(pairs, finding, indices, on_new))[:PICTURES],
            ),
        )


def _judged(pair: FindingPair) -> tuple[Direction, Finding, str, str] | None:
    """How a finding changed, the finding that says it, title and evidence; None if it did not."""
    if pair.state == "new" and pair.new:
        return "worse", pair.new, f"New: {pair.new.title}", pair.new.evidence
    if pair.state == "gone" and pair.old:
        then = f"The old audit said: {pair.old.evidence} The new one does not raise it."
        return "better", pair.old, f"Gone: {pair.old.title}", then
    if pair.old and pair.new and (direction := turned(pair.old.severity, pair.new.severity)):
        now = f"It was {pair.old.severity} and is {pair.new.severity}. {pair.new.evidence}"
        graver = "Graver" if direction == "worse" else "Less grave"
        return direction, pair.new, f"{graver}: {pair.new.title}", now
    return None


def _took_part(answers: Sequence[PhotographPair]) -> str:
    if not answers:
        return ""
    return (
        f"On {count(len(answers), 'photograph')} that both audits show, the answer changed from or "
        "to a class that this is about."
    )


def by_chance(p: float) -> str:
    """Return in a sentence whether gains and losses as uneven may be chance."""
    words = "Unlikely to be chance" if p < SIGNIFICANT else "It may be chance"
    return f"{words} ({'p < 0.001' if p < 0.001 else f'p = {p:.3f}'}, sign test)."


def _accuracy(pairs: Compared) -> Iterator[_Weighed]:
    each = pairs.accuracy
    if each is None or each.p >= SIGNIFICANT:
        return
    worse = each.lost > each.gained
    falls = [of for of in each.by_class if of.right_new < of.right_old]
    where = ", ".join(
        f"‘{of.name}’ {of.right_old} then and {of.right_new} now of {of.photographs}"
        for of in falls[:NAMED]
    )
    yield (
        (),
        Change(
            id="accuracy",
            direction="worse" if worse else "better",
            severity="high",
            title=f"The model is {'right less' if worse else 'right more'} often on the same "
            "photographs",
            evidence=f"Of {count(each.photographs, 'photograph')} of known classes, the old model "
            f"answers {each.right_old} with their class and the new one {each.right_new}: "
            f"{each.lost} lost, {each.gained} gained. {by_chance(each.p)}"
            + (f" Most fell: {where}." if falls else ""),
            limits="It holds for photographs like these. Whether they stand for those that the "
            "model will meet, the audits cannot tell.",
        ),
    )


def _answers(pairs: Compared) -> Iterator[_Weighed]:
    changed = [each for each in pairs.photographs if each.changed and each.objects is None]
    if not changed:
        return
    ways = Counter(_way(each, pairs.classes) for each in changed)
    now = Counter(_first(each.new.predicted, pairs.classes.new) for each in changed)
    most, times = now.most_common(1)[0]
    said = listed([f"{way} ({n})" for way, n in ways.most_common()])
    yield (
        (),
        Change(
            id="answers",
            direction="different",
            severity="medium" if len(changed) >= MOVED else "low",
            title=f"{count(len(changed), 'photograph')} of {len(pairs.photographs)} "
            f"{'gets' if len(changed) == 1 else 'get'} another answer"
            + (f", {times} of them {most}" if times > 1 else ""),
            evidence=f"The model's first answer, then → now: {said}.",
            limits="Another answer may be a better one: see how many of known classes are right.",
            pictures=tuple(_photograph(each, pairs.classes) for each in changed[:PICTURES]),
        ),
    )


def _objects(pairs: Compared) -> Iterator[_Weighed]:
    """The objects that one detector alone finds."""
    both = [(each, each.objects) for each in pairs.photographs if each.objects is not None]
    lost = [found.name for _, objects in both for found in objects.lost]
    gained = [found.name for _, objects in both for found in objects.gained]
    if not lost and not gained:
        return
    kept = sum(objects.kept for _, objects in both)
    changed = [each for each, _ in both if each.changed]
    said = [
        f"{what}: {listed([f'‘{name}’ ({n})' for name, n in Counter(names).most_common()])}."
        for what, names in (("Lost", lost), ("Found now alone", gained))
        if names
    ]
    yield (
        (),
        Change(
            id="objects",
            direction="different",
            severity="medium" if len(lost) + len(gained) >= MOVED else "low",
            title=f"The new detector loses {count(len(lost), 'object')} and finds {len(gained)} "
            "that the old one did not",
            evidence=f"On {count(len(both), 'photograph')} both find {count(kept, 'object')}, of "
            f"the same class and at the same place. {' '.join(said)}",
            limits="An object that is lost may be a mistake that is mended, and one that is found "
            "a new mistake: nothing here says what is there.",
            pictures=tuple(_photograph(each, pairs.classes) for each in changed[:PICTURES]),
        ),
    )


def _regions(pairs: Compared) -> Iterator[_Weighed]:
    same = [
        (pair, each)
        for pair in pairs.photographs
        if not pair.changed
        for each in pair.isolations
        if each.same_class and each.overlap is not None and each.old.enough and each.new.enough
    ]
    moved = [(pair, each) for pair, each in same if (each.overlap or 0) <= each.chance]
    if len(moved) < MOVED:
        return
    alike = [each.spearman for _, each in moved if each.spearman is not None]
    names = listed([f"‘{pairs.classes.new[each.new.class_]}’" for _, each in moved])
    yield (
        (),
        Change(
            id="regions",
            direction="different",
            severity="medium" if 2 * len(moved) >= len(same) else "low",
            title=f"On {len(moved)} of {count(len(same), 'isolation')}, the same answer comes from "
            "another part of the photograph",
            evidence=f"The two regions have no more in common than two that have nothing to do "
            f"with each other; the median rank correlation of their pixels is "
            f"{signed(median(alike)) if alike else 'not measured'}. It concerns {names}.",
            limits="More than one region can be enough for an answer, and another seed can find "
            "another one: how much isolations of one model differ by chance was not measured.",
            pictures=tuple(
                PicturePair(
                    what=shortened(pair.new.file),
                    old=each.old.image,
                    new=each.new.image,
                    old_caption=f"‘{pairs.classes.old[each.old.class_]}’, {percent(each.old.area)}",
                    new_caption=f"‘{pairs.classes.new[each.new.class_]}’, {percent(each.new.area)}",
                )
                for pair, each in moved[:PICTURES]
            ),
        ),
    )


def _entanglements(pairs: Compared) -> Iterator[_Weighed]:
    every = compared(pairs.prototypes)
    changed = [(pair, each) for pair, each in every if each.state == "changed"]
    if not changed:
        return
    expected = expected_by_chance(pairs.prototypes)
    changed.sort(key=lambda each: -abs(each[1].gap))
    most = "; ".join(
        f"‘{pair.name}’ with "
        + ("itself" if each.own else f"‘{each.name}’")
        + f" {_range(each.old)} then, {_range(each.new)} now"
        for pair, each in changed[:NAMED]
    )
    yield (
        (),
        Change(
            id="entanglement",
            direction="different",
            severity="low" if len(changed) > 2 * expected else "info",
            title=f"{len(changed)} of {count(len(every), 'entanglement')} moved beyond the ranges "
            "of their seeds",
            evidence=f"If nothing but the seeds differed, up to {expected:.0f} would. Furthest "
            f"apart: {most}.",
            limits="The ranges are over the audit's seeds. How far a second training with the same "
            "data moves an entanglement is not in them.",
        ),
    )


def _range(each: object) -> str:
    low, high = getattr(each, "low", None), getattr(each, "high", None)
    return f"{signed(low)} to {signed(high)}"


def _of_new(indices: Sequence[int], classes: Classes, on_new: bool) -> set[int]:
    """The classes of the new model that a finding is about."""
    if on_new:
        return set(indices)
    return {classes.to_new[index] for index in indices if index in classes.to_new}


def _about(pair: PhotographPair, indices: set[int], classes: Classes) -> bool:
    """Whether the first answer then or now is one of these classes of the new model."""
    then = {classes.to_new.get(each.class_) for each in pair.old.predicted[:1]}
    return bool((then | {each.class_ for each in pair.new.predicted[:1]}) & indices)


def _pictures(
    pairs: Compared, finding: Finding, indices: set[int], on_new: bool
) -> Iterator[PicturePair]:
    """The prototypes of the classes, photographs whose answer turned, and the finding's own."""
    for pair in pairs.prototypes:
        if pair.new and pair.old and set(pair.new.target) & indices:
            yield PicturePair(
                what=f"prototype of ‘{pair.name}’", old=pair.old.image, new=pair.new.image
            )
    for photograph in pairs.photographs:
        if photograph.changed and _about(photograph, indices, pairs.classes):
            yield _photograph(photograph, pairs.classes)
    for each in finding.pictures:
        shown = {"new": each.image, "old": ""} if on_new else {"old": each.image, "new": ""}
        yield PicturePair(what=each.caption, **shown)


def _photograph(pair: PhotographPair, classes: Classes) -> PicturePair:
    """A photograph with what carried its answer then and now, or as it is."""
    parts = next((each for each in pair.isolations if not each.same_class), None)
    return PicturePair(
        what=shortened(pair.new.file),
        old=parts.old.image if parts else pair.old.image,
        new=parts.new.image if parts else pair.new.image,
        old_caption=_first(pair.old.predicted, classes.old),
        new_caption=_first(pair.new.predicted, classes.new),
    )


def _way(pair: PhotographPair, classes: Classes) -> str:
    then, now = _first(pair.old.predicted, classes.old), _first(pair.new.predicted, classes.new)
    return f"{then} → {now}"


def _first(predicted: Sequence[Prediction], labels: ClassLabels) -> str:
    return f"‘{labels[predicted[0].class_]}’" if predicted else "no answer"
