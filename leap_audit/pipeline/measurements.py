"""The middle of an audit: everything that is measured, with its pictures, in the order done."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leap_audit.artifacts import Entanglement, Isolation, Prediction, Prototype, Sample
from leap_audit.config import AuditOptions, PrototypeOptions
from leap_audit.ingest.classes import display_name
from leap_audit.ingest.load import Model
from leap_audit.ingest.pictures import find_pictures, read_picture, write_mask, write_picture
from leap_audit.ingest.targets import select_targets
from leap_audit.measure.entanglement import Shared, measure_entanglement, standardised
from leap_audit.measure.forward import Classifier, probabilities
from leap_audit.measure.isolation import Subject, rank_pixels, sharpness
from leap_audit.measure.plan import choose_batches, expected_seconds, logit_spread
from leap_audit.measure.prototype import Drawn, Request, make_prototypes, settled
from leap_audit.measure.region import read_region, shown
from leap_audit.pipeline.methods import methods_of
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = ["Measurements", "measure"]

LISTED = 10
"""Classes in a prototype's table of entanglement, the target included."""


@dataclass
class Measurements:
    """What has been measured so far; an interrupted audit reports just this."""

    folder: Path
    classes: tuple[str, ...]
    prototypes: list[Prototype] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, Any] = field(default_factory=dict)
    batch: dict[str, int] = field(default_factory=dict)


def measure(model: Model, options: AuditOptions, seen: Measurements, told: Progress) -> None:
    """Fill `seen`: photographs and their predictions, prototypes, entanglement, isolations."""
    threads = options.threads
    select_targets(options.targets, seen.classes)  # a wrong one is refused before any work
    prototype = settled(options.prototype, model.picture_shape)
    options = options.model_copy(update={"prototype": prototype})
    seen.config = options.model_dump(mode="json")
    batches = choose_batches(model, options.batch)
    seen.batch = {"prototypes": batches.prototypes, "isolations": batches.isolations}
    classifier = Classifier.of(model, batches.predictions, threads)
    pictures = _photographs(model, options, classifier, seen, told)
    predicted = [p.class_ for sample in seen.samples for p in sample.predicted[:1]]
    targets = select_targets(options.targets, seen.classes, predicted)
    requests = [Request((target,)) for target in targets]
    isolated = min(options.isolation.per_prototype, model.classes)
    subjects = len(requests) * isolated + sum(len(s.predicted) for s in seen.samples)
    _plan(classifier, options, len(requests), subjects if model.batchable else 0, told)

    drawn: list[Drawn] = []
    spread = logit_spread(classifier, options.seed)
    seen.methods = methods_of(options, spread, classifier)
    with told.stage("Prototypes", len(requests) * prototype.steps) as advance:
        finished = make_prototypes(
            model,
            requests,
            prototype,
            seed=options.seed,
            batch=batches.prototypes,
            threads=threads,
            spread=spread,
            advance=advance,
        )
        try:
            drawn.extend(finished)
        finally:  # an interrupted run reports those it has
            _record_prototypes(drawn, classifier, prototype, seen, threads)
    if not model.batchable:
        seen.notes.append(
            "Isolations were not measured: this model takes one picture at a time, and an "
            "isolation compares two. Export it with a free batch dimension."
        )
        return
    steps = options.isolation.steps
    with told.stage("Isolations", subjects * steps) as advance:
        photographs = _tasks(
            pictures,
            [f"sample-{i:04d}" for i in range(len(pictures))],
            [[p.class_ for p in sample.predicted] for sample in seen.samples],
            seen.samples,
            classifier,
        )
        prototypes = _tasks(
            [_levels(each.picture) for each in drawn],
            [_stem(each) for each in drawn],
            [[e.class_ for e in p.entanglements[:isolated]] for p in seen.prototypes],
            seen.prototypes,
            classifier,
        )
        for tasks in (photographs, prototypes):
            _isolate_all(tasks, model, options, classifier, seen, advance)


def _photographs(
    model: Model,
    options: AuditOptions,
    classifier: Classifier,
    seen: Measurements,
    told: Progress,
) -> list[Array]:
    """Read the samples, let the model see them, and record its answers."""
    if not options.samples:
        return []
    paths = find_pictures(options.samples)
    with told.stage("Reading the photographs", len(paths)) as advance:
        pictures = []
        for path in paths:
            pictures.append(read_picture(path, model.preprocessing))
            advance()
    answers = probabilities(classifier.logits(np.stack(pictures)))
    for i, (path, label) in enumerate(zip(paths, _labels(paths), strict=True)):
        image = f"images/sample-{i:04d}.png"
        write_picture(seen.folder / image, pictures[i])
        top = np.argsort(-answers[i], kind="stable")[: options.top_classes]
        seen.samples.append(
            Sample(
                file=label,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                image=image,
                predicted=tuple(
                    Prediction(class_=int(k), name=seen.classes[k], prob=float(answers[i, k]))
                    for k in top
                ),
            )
        )
    return pictures


def _labels(paths: Sequence[Path]) -> list[str]:
    """File names, with their folder's where a name comes twice; undecodable bytes made visible."""
    names = [path.name for path in paths]
    long = [
        path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}"
        for path in paths
    ]
    return [name.encode("utf-8", "backslashreplace").decode() for name in long]


def _plan(
    classifier: Classifier, options: AuditOptions, prototypes: int, subjects: int, told: Progress
) -> None:
    first, second = prototypes * options.prototype.steps, subjects * options.isolation.steps
    seconds = expected_seconds(classifier, first, second)
    told.note(
        f"Plan: {prototypes} of {classifier.model.classes} classes, {options.prototype.steps} "
        f"steps each; {subjects} isolations, {options.isolation.steps} steps each: about "
        f"{_duration(seconds)}."
    )


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def _record_prototypes(
    drawn: Sequence[Drawn],
    classifier: Classifier,
    options: PrototypeOptions,
    seen: Measurements,
    threads: int,
) -> None:
    """Measure what has been drawn: each prototype as its PNG shows it, beside the others."""
    if not drawn:
        return
    pictures = np.stack([_levels(each.picture) for each in drawn])
    logits = classifier.logits(pictures)
    probs = probabilities(logits)
    targets = [each.request.target for each in drawn]
    shared, _ = measure_entanglement(classifier, pictures, targets, threads)
    for i, each in enumerate(drawn):
        target = each.request.target
        image = f"images/{_stem(each)}.png"
        write_picture(seen.folder / image, pictures[i])
        own = logits[i, list(target)]
        seen.prototypes.append(
            Prototype(
                target=target,
                name=" + ".join(display_name(seen.classes, k) for k in target),
                replicate=each.request.replicate,
                image=image,
                logit=float(own.mean()),
                prob=float(probs[i, list(target)].sum()),
                rank=int((logits[i] > own.min()).sum()) + 1,
                steps=options.steps,
                converged=each.converged,
                curve=each.curve,
                entanglements=tuple(
                    Entanglement(
                        class_=k,
                        name=seen.classes[k],
                        entanglement=shared[i].cosines[k],
                        logit=float(logits[i, k]),
                        prob=float(probs[i, k]),
                        standardised=standardised(logits, i, k),
                    )
                    for k in _listed(shared[i], target)
                ),
            )
        )


def _listed(shared: Shared, target: tuple[int, ...]) -> list[int]:
    """The target's classes, then the others in falling order of entanglement."""
    others = sorted(
        (k for k in shared.cosines if k not in target), key=lambda k: -shared.cosines[k]
    )
    return [*target, *others][:LISTED]


def _levels(picture: Array) -> Array:
    """The picture on 8-bit levels, as its PNG holds it."""
    return np.asarray(np.round(picture * 255) / 255, np.float32)


def _stem(each: Drawn) -> str:
    classes = "-".join(f"{k:04d}" for k in each.request.target)
    return f"prototype-{classes}-{each.request.replicate}"


@dataclass(frozen=True)
class _Task:
    """A class to isolate in the picture of a sample or prototype, `stem` the name of its files."""

    subject: Subject
    stem: str
    among: list[Any]
    index: int


def _tasks(
    pictures: Sequence[Array],
    stems: Sequence[str],
    classes: Sequence[Sequence[int]],
    among: list[Any],
    classifier: Classifier,
) -> list[_Task]:
    """One task for each class of each picture."""
    found = []
    for i, (picture, stem, wanted) in enumerate(zip(pictures, stems, classes, strict=True)):
        factor = sharpness(classifier.logits(picture[None])[0])
        found += [_Task(Subject(picture, k, factor), stem, among, i) for k in wanted]
    return found


def _isolate_all(
    tasks: Sequence[_Task],
    model: Model,
    options: AuditOptions,
    classifier: Classifier,
    seen: Measurements,
    advance: Any,
) -> None:
    """Isolate each task's class and add it to the sample or prototype it belongs to."""
    maps = rank_pixels(
        model,
        [task.subject for task in tasks],
        options.isolation,
        seed=options.seed,
        batch=seen.batch["isolations"],
        threads=options.threads,
        advance=advance,
    )
    for task, scores in zip(tasks, maps, strict=True):
        region = read_region(classifier, task.subject, scores)
        stem = f"images/{task.stem}-class-{task.subject.class_:04d}"
        write_picture(seen.folder / f"{stem}.png", shown(task.subject.picture, region.inside))
        write_mask(seen.folder / f"{stem}-mask.png", region.ranking)
        found = Isolation(
            class_=task.subject.class_,
            name=seen.classes[task.subject.class_],
            image=f"{stem}.png",
            mask=f"{stem}-mask.png",
            area=region.area,
            prob=region.prob,
            prob_keep=region.prob_keep,
            prob_delete=region.prob_delete,
            enough=region.enough,
        )
        owner = task.among[task.index]
        isolations = sorted([*owner.isolations, found], key=lambda each: -each.prob)
        task.among[task.index] = owner.model_copy(update={"isolations": tuple(isolations)})
