"""What is isolated and explained: a class in a photograph or a prototype, and the units for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from leap_audit.ingest.classes.targets import select_targets
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.measure.isolation.region import Region
from leap_audit.measure.methods import Explanation
from leap_audit.measure.plan import even_batch
from leap_audit.measure.subject import Subject
from leap_audit.pipeline.parts import Parts, result_of
from leap_audit.pipeline.study import (
    LISTED,
    Answered,
    Group,
    Study,
    answered_photographs,
    groups,
    predicted,
)
from leap_audit.pipeline.units import Explain, Isolate, Locate
from leap_audit.run.session import Array

__all__ = [
    "IsolationTask",
    "classes_in_photographs",
    "explanations",
    "explanations_of",
    "isolation_units",
    "photographs_to_isolate",
    "prototypes_to_isolate",
    "regions_of",
    "tasks",
]


BACKGROUNDS = frozenset({"background", "bg", "unlabeled", "unlabelled", "void"})
"""Names of the class of whatever is no object."""


MOST_OBJECTS = 10
"""Objects of a photograph that are isolated, the most confident first."""


@dataclass(frozen=True, eq=False)
class IsolationTask:
    """A class to isolate, or to explain, in a photograph or a prototype."""

    subject: Subject
    owner: int
    """Which of the photographs, or of the groups of prototypes, the picture is."""
    logit: float
    """Of the class, on the whole picture."""
    rank: int = 0
    """Its place among those of its picture; of a detector, among the objects found."""


def _located(
    study: Study,
    pictures: Sequence[Array],
    classes: Sequence[tuple[int, ...]],
    rows: Sequence[tuple[int, ...]] = (),
) -> list[Locate]:
    """Return the units that ask where in pictures the classes are said. rows: see `Locate`."""
    size = study.ground.batch
    return [
        Locate(
            study.ground,
            tuple(pictures[i : i + size]),
            tuple(classes[i : i + size]),
            tuple(rows[i : i + size]),
        )
        for i in range(0, len(pictures), size)
    ]


def photographs_to_isolate(study: Study, parts: Parts) -> list[Locate]:
    """Return the units that locate the classes of the photographs."""
    every, classes = answered_photographs(study, parts), classes_in_photographs(study, parts)
    rows = [tuple(o.row for o in each.objects[:MOST_OBJECTS]) for each in every]
    detector = isinstance(study.model.answer, Detections) and study.isolated is None
    return _located(study, [each.picture for each in every], classes, rows if detector else ())


def classes_in_photographs(study: Study, parts: Parts) -> list[tuple[int, ...]]:
    """Return the classes to isolate in each photograph that the model has answered."""
    every = answered_photographs(study, parts)
    if study.isolated is not None:
        return [study.isolated[each.index] for each in every]
    return [_in_photograph(study, each) for each in every]


def prototypes_to_isolate(study: Study, parts: Parts) -> list[Locate]:
    """Return the units that locate the classes of the prototypes that are shown."""
    shown = groups(study, parts)
    most = min(study.options.isolation.per_prototype, study.model.classes)
    classes = [_in_prototype(study, each, most) for each in shown]
    if study.isolated is not None:
        classes = [study.isolated[i] for i in range(len(shown))]
    return _located(study, [each.answered[0].picture for each in shown], classes)


def _in_photograph(study: Study, answered: Answered) -> tuple[int, ...]:
    """The answers that are worth an isolation: those above the least probability, or the first.

    Of a map those that are somewhere on it: of these the targets where any were named, else all
    but a background.
    """
    if isinstance(study.model.answer, Detections):
        return tuple(each.class_ for each in answered.objects[:MOST_OBJECTS])
    listed = predicted(study, answered)
    if study.model.answer.places == 1:
        least = study.options.isolation.least
        return tuple(p.class_ for i, p in enumerate(listed) if i == 0 or p.prob >= least)
    present = [p.class_ for p in listed if p.share]
    if study.options.targets:
        shares = answered.answer.shares
        asked = select_targets(study.options.targets, study.classes)
        if named := [k for k in asked if shares[k]]:
            return tuple(sorted(named, key=lambda k: -shares[k])[: study.options.top_classes])
    objects = [k for k in present if study.classes[k].strip(" _").lower() not in BACKGROUNDS]
    return tuple(objects or present)


def _in_prototype(study: Study, group: Group, most: int) -> tuple[int, ...]:
    """The target, and of its most entangled classes those above the least probability.

    Of a detector those that it finds in the picture.
    """
    probs = group.answered[0].answer.probs
    wanted = [*group.target, *group.shared[0].others(group.target)][:LISTED][:most]
    least = study.options.isolation.least
    if isinstance(study.model.answer, Detections):
        least = max(least, study.model.answer.threshold)
    return tuple(k for k in wanted if k in group.target or probs[k] >= least)


def tasks(units: Sequence[Locate], parts: Parts) -> list[IsolationTask]:
    """Return one task for each class of each picture that has been located.

    The first class of every picture comes first, then the second: what matters most is isolated
    first.
    """
    found: list[tuple[int, IsolationTask]] = []
    owner = 0
    for unit in units:
        results = result_of(unit, parts) or ()
        rows = zip(unit.pictures, unit.classes, results, strict=False)
        for i, (picture, classes, result) in enumerate(rows):
            boxes = result.boxes or (None,) * len(classes)
            each = zip(classes, result.where, result.logits, boxes, strict=True)
            found += [
                (
                    rank,
                    IsolationTask(
                        Subject(picture, k, result.sharpness, where, box=box),
                        owner + i,
                        logit,
                        rank,
                    ),
                )
                for rank, (k, where, logit, box) in enumerate(each)
            ]
        owner += len(unit.pictures)
    return [task for _, task in sorted(found, key=lambda pair: pair[0])]


def isolation_units(study: Study, wanted: Sequence[IsolationTask]) -> list[Isolate]:
    """Return the units that isolate tasks."""
    if not wanted:
        return []
    slopes, options = study.batches.isolations, study.options
    size = even_batch(len(wanted), slopes, study.batches.workers)
    subjects = [task.subject for task in wanted]
    return [
        Isolate(
            study.ground,
            tuple(subjects[i : i + size]),
            options.isolation,
            options.seed,
            size,
            slopes,
        )
        for i in range(0, len(subjects), size)
    ]


def explanations(study: Study, name: str, wanted: Sequence[IsolationTask]) -> list[Explain]:
    """Return the units that explain tasks by the method `name`."""
    method, options = study.attributions[name]
    size = study.batches.isolations
    subjects = [task.subject for task in wanted]
    return [
        Explain(
            study.ground,
            tuple(subjects[i : i + size]),
            name,
            method.version,
            options,
            study.options.seed,
            size,
        )
        for i in range(0, len(subjects), size)
    ]


def regions_of(units: Sequence[Isolate], parts: Parts) -> list[Region | None]:
    """Return the regions, subject by subject; None for each subject of an unfinished unit."""
    results = [(unit, result_of(unit, parts)) for unit in units]
    return [each for unit, result in results for each in result or [None] * len(unit.subjects)]


def explanations_of(units: Sequence[Explain], parts: Parts) -> list[Explanation | None]:
    """Return the explanations, subject by subject; None for each subject of an unfinished unit."""
    results = [(unit, result_of(unit, parts)) for unit in units]
    return [each for unit, result in results for each in result or [None] * len(unit.subjects)]
