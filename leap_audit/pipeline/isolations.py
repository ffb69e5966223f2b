"""The isolations of an audit: a task for each class of each picture, recorded with its owner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from leap_audit.artifacts import Isolation, Prototype, Sample
from leap_audit.config import AuditOptions
from leap_audit.ingest.pictures.images import write_mask, write_picture
from leap_audit.measure.isolation.ranking import rankings
from leap_audit.measure.isolation.region import Region, read_region, shown
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject, sharpness
from leap_audit.pipeline.work import Measurements
from leap_audit.run.session import Array

__all__ = ["ONE_AT_A_TIME", "Task", "record_isolations", "tasks_of"]

ONE_AT_A_TIME = (
    "Isolations were not measured: this model takes one picture at a time, and an isolation "
    "compares two. Export it with a free batch dimension."
)
Owner = TypeVar("Owner", Sample, Prototype)


@dataclass(frozen=True)
class Task:
    """A class to isolate in the picture of a sample or prototype."""

    subject: Subject
    stem: str
    """Start of the names of its files."""
    index: int
    """Which of the samples or prototypes the picture is."""
    logit: float
    """Of the class, on the whole picture."""


def tasks_of(
    pictures: Sequence[Array],
    stems: Sequence[str],
    classes: Sequence[Sequence[int]],
    run: Run,
) -> list[Task]:
    """Return one task for each of the classes wanted on each picture, in their order."""
    answer = run.model.answer
    found = []
    for i, scores in enumerate(run.scores(pictures)):
        factor = sharpness(scores, answer)
        for k in classes[i]:
            where = answer.predicted_places(scores, k)
            subject = Subject(pictures[i], k, factor, where)
            found.append(Task(subject, stems[i], i, float(scores[k].mean())))
    return found


def record_isolations(
    tasks: Sequence[Task],
    owners: list[Owner],
    run: Run,
    options: AuditOptions,
    seen: Measurements,
    advance: Callable[[int], None],
) -> None:
    """Isolate each task's class and record it with the sample or prototype it belongs to."""
    maps = rankings(
        run,
        [task.subject for task in tasks],
        options.isolation,
        seed=options.seed,
        batch=seen.batch["isolations"],
        advance=advance,
    )
    for task, scores in zip(tasks, maps, strict=True):
        found = _record(
            task, read_region(run, task.subject, scores, options.isolation.enough), seen
        )
        owner: Owner = owners[task.index]
        isolations = sorted([*owner.isolations, found], key=lambda each: -each.prob)
        owners[task.index] = owner.model_copy(update={"isolations": tuple(isolations)})


def _record(task: Task, region: Region, seen: Measurements) -> Isolation:
    class_ = task.subject.class_
    stem = f"images/{task.stem}-class-{class_:04d}"
    write_picture(seen.folder / f"{stem}.png", shown(task.subject.picture, region.inside))
    write_mask(seen.folder / f"{stem}-mask.png", region.ranking)
    seen.rankings[f"{stem}-mask.png"] = region.ranking
    return Isolation(
        class_=class_,
        name=seen.classes[class_],
        image=f"{stem}.png",
        mask=f"{stem}-mask.png",
        area=region.area,
        prob=region.prob,
        prob_keep=region.prob_keep,
        prob_delete=region.prob_delete,
        enough=region.enough,
        logit=task.logit,
    )
