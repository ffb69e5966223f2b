"""Pair the photographs of two audits, with the answers and the isolations."""

from collections.abc import Iterator, Sequence
from itertools import product

from leap_audit.artifacts import Audit, Isolation, Sample
from leap_audit.compare.classes import Classes
from leap_audit.compare.objects import is_same_box, pair_objects
from leap_audit.compare.record import Accuracy, ClassAccuracy, IsolationPair, PhotographPair
from leap_audit.compare.sides import Gallery
from leap_audit.compare.statistics import mcnemar, overlap, overlap_by_chance, spearman
from leap_audit.findings.evidence import Ranking, core, labelled_answers, read_ranking

__all__ = ["accuracy", "pair_photographs"]

Galleries = tuple[Gallery, Gallery]


def pair_photographs(
    old: Audit, new: Audit, classes: Classes, galleries: Galleries
) -> tuple[PhotographPair, ...]:
    """Return the photographs of both audits by SHA-256, those with another answer first.

    Of equal files the first is taken for the first.
    """
    left: dict[str, list[Sample]] = {}
    for sample in old.samples:
        left.setdefault(sample.sha256, []).append(sample)
    detectors = old.model.task == new.model.task == "detection"
    pairs = [
        _pair(left[sample.sha256].pop(0), sample, classes, galleries, detectors=detectors)
        for sample in new.samples
        if left.get(sample.sha256)
    ]
    return tuple(sorted(pairs, key=lambda each: not each.changed))


def accuracy(pairs: Sequence[PhotographPair], classes: Classes) -> Accuracy | None:
    """Return how often each model is right; None where no class is known of any photograph."""
    known = [pair for pair in pairs if pair.known is not None]
    if not known:
        return None
    right = [(_right(pair.old), _right(pair.new)) for pair in known]
    gained = sum(now and not then for then, now in right)
    lost = sum(then and not now for then, now in right)
    by_class: dict[str, list[tuple[bool, bool]]] = {}
    for pair, each in zip(known, right, strict=True):
        by_class.setdefault(classes.new[pair.new.known or 0], []).append(each)
    return Accuracy(
        photographs=len(known),
        right_old=sum(then for then, _ in right),
        right_new=sum(now for _, now in right),
        gained=gained,
        lost=lost,
        p=mcnemar(gained, lost),
        by_class=tuple(
            ClassAccuracy(
                name=name,
                photographs=len(of),
                right_old=sum(then for then, _ in of),
                right_new=sum(now for _, now in of),
            )
            for name, of in sorted(by_class.items(), key=_drop)
        ),
    )


def _drop(item: tuple[str, list[tuple[bool, bool]]]) -> tuple[int, str]:
    name, of = item
    return sum(now - then for then, now in of), name


def _right(sample: Sample) -> bool:
    return any(each.right for each in labelled_answers([sample]))


def _pair(
    old: Sample, new: Sample, classes: Classes, galleries: Galleries, *, detectors: bool
) -> PhotographPair:
    known = None
    if old.known is not None and classes.to_new.get(old.known) == new.known:
        known = classes.new[new.known] if new.known is not None else None
    objects = pair_objects(old, new, classes.to_new) if detectors else None
    changed = _answer(old, classes.to_new) != _answer(new, None)
    return PhotographPair(
        sha256=new.sha256,
        old=galleries[0].sample(old),
        new=galleries[1].sample(new),
        changed=changed if objects is None else bool(objects.lost or objects.gained),
        known=known,
        isolations=tuple(_isolations(old, new, classes, galleries)),
        objects=objects,
    )


def _answer(sample: Sample, to_new: dict[int, int] | None) -> int | None:
    """The first answer as a class of the new model; below 0 one that the new model has not."""
    if not sample.predicted:
        return None
    index = sample.predicted[0].class_
    return index if to_new is None else to_new.get(index, -1 - index)


def _isolations(
    old: Sample, new: Sample, classes: Classes, galleries: Galleries
) -> Iterator[IsolationPair]:
    """The same classes; and the first answers where they are not the same. Of detectors, the same
    objects."""
    for before, after in product(old.isolations, new.isolations):
        same = classes.to_new.get(before.class_) == after.class_
        if before.box is not None and after.box is not None:
            if same and is_same_box(before.box, after.box):
                yield _compared(
                    galleries[0].isolation(before), galleries[1].isolation(after), same, galleries
                )
            continue
        answers = (
            bool(old.predicted and new.predicted)
            and before.class_ == old.predicted[0].class_
            and after.class_ == new.predicted[0].class_
        )
        if same or answers:
            shown = galleries[0].isolation(before), galleries[1].isolation(after)
            yield _compared(*shown, same, galleries)


def _compared(
    old: Isolation, new: Isolation, same_class: bool, galleries: Galleries
) -> IsolationPair:
    rankings = [
        read_ranking(gallery.folder, each)
        for gallery, each in zip(galleries, (old, new), strict=True)
    ]
    alike = rankings[0].shape == rankings[1].shape
    whole = all(0 < each.area <= 1 for each in (old, new))
    return IsolationPair(
        same_class=same_class,
        old=old,
        new=new,
        spearman=spearman(*rankings) if alike else None,
        overlap=_overlap((old, new), rankings) if alike and whole else None,
        chance=overlap_by_chance(old.area, new.area) if whole else 0.0,
    )


def _overlap(isolations: tuple[Isolation, Isolation], rankings: Sequence[Ranking]) -> float:
    then, now = (
        core(ranking, each.area) * max(1, round(each.area * ranking.size))
        for each, ranking in zip(isolations, rankings, strict=True)
    )
    return overlap(then, now)
