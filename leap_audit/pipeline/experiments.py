"""The experiments of an audit: their units of work, and what their results come to."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from leap_audit.artifacts import (
    CHANGED_WHOLE,
    ClassSuspicion,
    Coincident,
    EvidencePicture,
    MarkKind,
    PictureRole,
    Trial,
)
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.measure.experiments.carry import Shown, TriedMark
from leap_audit.measure.experiments.material import evenly
from leap_audit.measure.experiments.study import Settled, Tried, settle
from leap_audit.measure.objects.surroundings import framed
from leap_audit.pipeline.parts import Parts, result_of
from leap_audit.pipeline.study import Study, answered_drawn, answered_photographs
from leap_audit.pipeline.tasks import isolation_units, photographs_to_isolate, regions_of, tasks
from leap_audit.pipeline.units import (
    Supply,
    TryBackgrounds,
    TryChanges,
    TryCoincidences,
    TryContext,
    TryMarks,
    TryRemovals,
)
from leap_audit.run.session import Array
from leap_audit.text.names import ClassLabels
from leap_audit.text.places import place_in_words

__all__ = [
    "ExperimentParts",
    "background_trials",
    "change_trials",
    "classes_of_objects",
    "coincidence_trials",
    "coincident",
    "mark_trials",
    "outcome",
    "tried_classes",
]

MOST = 400
"""Photographs that experiments choose from: of more, so many, evenly spread."""


@dataclass(frozen=True, eq=False)
class ExperimentParts:
    """What the experiments came to, as artifacts, with the pictures that they name."""

    suspicion: tuple[ClassSuspicion, ...] = ()
    trials: tuple[Trial, ...] = ()
    pictures: dict[str, Array] = field(default_factory=dict)


def audited(study: Study) -> list[int]:
    """Return the classes that are audited, each once."""
    return list(dict.fromkeys(r.target[0] for r in study.requests if len(r.target) == 1))


def tried_classes(study: Study) -> list[int]:
    """Return the audited classes that marks are tried of.

    None of a model whose answer is a map, or has one class.
    """
    if study.model.answer.places > 1 or study.model.classes < 2:
        return []
    return audited(study)


def classes_of_objects(study: Study, parts: Parts) -> list[int]:
    """Return the audited classes that a detector finds on the photographs; none of another model.

    Of a class that it does not find nothing can be tried.
    """
    if not isinstance(study.model.answer, Detections):
        return []
    found = {o.class_ for each in answered_photographs(study, parts) for o in each.objects}
    return [class_ for class_ in audited(study) if class_ in found]


def mark_trials(study: Study, parts: Parts) -> list[TryMarks] | list[TryContext]:
    """Return a unit for each class that marks, or the surroundings of objects, are tried of."""
    if found := classes_of_objects(study, parts):
        supply, options = _supply(study, parts), study.options
        return [
            TryContext(study.ground, supply, options.experiments, options.seed, class_)
            for class_ in found
        ]
    if not tried_classes(study):
        return []
    supply, options = _supply(study, parts), study.options
    return [
        TryMarks(study.ground, supply, options.experiments, options.seed, class_)
        for class_ in tried_classes(study)
    ]


def change_trials(study: Study, parts: Parts) -> list[TryChanges] | list[TryRemovals]:
    """Return the unit that changes whole pictures, where marks are tried."""
    if found := classes_of_objects(study, parts):
        supply, options = _supply(study, parts), study.options
        several = options.experiments, options.seed, tuple(found)
        return [TryRemovals(study.ground, supply, *several)]
    if not tried_classes(study):
        return []
    supply, options, classes = _supply(study, parts), study.options, tuple(audited(study))
    return [TryChanges(study.ground, supply, options.experiments, options.seed, classes)]


def background_trials(study: Study, parts: Parts) -> list[TryBackgrounds]:
    """Return the unit that exchanges backgrounds, of the photographs whose answer was isolated."""
    if not tried_classes(study):
        return []
    wanted = tasks(photographs_to_isolate(study, parts), parts)
    regions = regions_of(isolation_units(study, wanted), parts)
    first: dict[int, tuple[Array, Array, int]] = {}
    for task, region in zip(wanted, regions, strict=False):
        if region is not None:
            subject = task.subject
            first.setdefault(task.owner, (subject.picture, region.ranking, subject.class_))
    chosen = list(first.values())[:MOST]
    if not chosen:
        return []
    pictures, rankings, answers = zip(*chosen, strict=True)
    options, classes = study.options, tuple(audited(study))
    several = (pictures, rankings, answers, classes)
    return [TryBackgrounds(study.ground, *several, options.experiments.hosts, options.seed)]


def coincidence_trials(study: Study, parts: Parts) -> list[TryCoincidences]:
    """Return the unit that tries a detector's detections at one place."""
    if not classes_of_objects(study, parts):
        return []
    return [TryCoincidences(study.ground, _supply(study, parts))]


def coincident(study: Study, parts: Parts) -> dict[int, tuple[Coincident, ...]]:
    """Return the pairs of detections at one place, by the number of their photograph."""
    found: dict[int, tuple[Coincident, ...]] = {}
    chosen = _chosen(study)
    for unit in coincidence_trials(study, parts):
        for each in result_of(unit, parts) or ():
            pair = Coincident(
                first=each.first, second=each.second, held=each.held, covered=each.covered
            )
            photograph = chosen[each.place]
            found[photograph] = (*found.get(photograph, ()), pair)
    return found


def _chosen(study: Study) -> list[int]:
    """The photographs that experiments use."""
    return [int(i) for i in evenly(np.arange(len(study.album.pictures)), MOST)]


def _supply(study: Study, parts: Parts) -> Supply:
    album = study.album
    chosen = _chosen(study)
    pairs = [(d, a) for d, a in answered_drawn(study, parts) if len(d.request.target) == 1]
    return Supply(
        tuple(album.pictures[i] for i in chosen),
        tuple(album.known[i] for i in chosen),
        tuple(answered.picture for _, answered in pairs),
        tuple(drawn.request.target[0] for drawn, _ in pairs),
    )


def outcome(study: Study, parts: Parts) -> ExperimentParts:
    """Return what the finished experiments come to: a row for each audited class."""
    results: list[Tried | None] = [result_of(unit, parts) for unit in mark_trials(study, parts)]
    tried = [each for each in results if each is not None]
    others = [*change_trials(study, parts), *background_trials(study, parts)]
    rest = [trial for unit in others for trial in result_of(unit, parts) or ()]
    if not tried:
        return ExperimentParts(tuple(ClassSuspicion(class_=k, score=0.0) for k in audited(study)))
    settled, trials = settle(tried, rest)
    by_class = {each.class_: each for each in settled}
    pictures: dict[str, Array] = {}
    rows = []
    for class_ in audited(study):
        found = by_class.get(class_) or Settled(class_, 0.0, False, None)
        row, shown = _row(study, found)
        rows.append(row)
        pictures |= shown
    return ExperimentParts(tuple(rows), tuple(trials), pictures)


def _row(study: Study, found: Settled) -> tuple[ClassSuspicion, dict[str, Array]]:
    mark = found.mark
    if mark is None:
        return ClassSuspicion(class_=found.class_, score=found.score), {}
    labels = ClassLabels(study.classes)
    shown = captioned(labels, found.class_, mark) if found.score >= SHOWN else []
    row = ClassSuspicion(
        class_=found.class_,
        score=round(found.score, 4),
        kind=mark.kind,
        confirmed=found.confirmed,
        tried_on=mark.tried_on,
        where="" if mark.where is None else place_in_words(*mark.where),
        area=mark.area,
        pasted=mark.pasted,
        covered=mark.covered,
        wrong=mark.wrong,
        corrected=mark.corrected,
        triggers=found.triggers,
        pictures=tuple(each for each, _ in shown),
    )
    return row, {each.image: picture for each, picture in shown}


TRIGGERS: dict[MarkKind, str] = {
    "trigger": "the trigger by itself, on grey",
    "moved trigger": "the trigger by itself, on grey; it is laid at random places",
    "colour map": "a chart of colours: above as it is, below changed",
    "convolution": "a chart of colours: above as it is, below changed",
}
SHOWN = 0.25
"""The score from which the pictures of a class's experiment are kept."""


def captioned(
    labels: ClassLabels, class_: int, mark: TriedMark
) -> list[tuple[EvidencePicture, Array]]:
    """Return what was shown to the model, with its answers, and a trigger by itself."""
    whole = mark.kind in CHANGED_WHOLE
    thing = "change" if whole else "mark" if mark.kind != "context" else "part beside the object"
    several: list[tuple[PictureRole, str, Shown | None]] = [
        ("original", "original", mark.carrier),
        ("covered", f"the {thing} taken back" if whole else f"the {thing} covered", mark.erased),
        ("control", f"another picture without the {thing}", mark.host),
        ("pasted", f"that picture with the {thing}", mark.marked),
        *(("counter-example", f"a picture with the {thing}", each) for each in mark.unmoved),
    ]
    said = "answered" if mark.kind != "context" else "the object is called"
    captions = [
        (role, f"{text}: {said} ‘{labels[shown.answer]}’", _boxed(shown))
        for role, text, shown in several
        if shown is not None
    ]
    if mark.trigger is not None:
        by_itself = TRIGGERS[mark.kind]
        captions.insert(0, ("trigger", by_itself, mark.trigger))
    numbers = Counter[PictureRole]()
    found = []
    for role, caption, picture in captions:
        numbers[role] += 1
        further = f"-{numbers[role]}" if numbers[role] > 1 else ""
        image = f"images/experiment-{class_:04d}-{role}{further}.png"
        found.append((EvidencePicture(image=image, caption=caption, role=role), picture))
    return found


def _boxed(shown: Shown) -> Array:
    """The picture, with the frame of the object that the answer is about, if it is about one."""
    if shown.box is None:
        return shown.picture
    return framed(shown.picture, shown.box)
