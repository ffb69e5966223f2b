"""The middle of an audit: everything that is measured, in the order it is done."""

from collections.abc import Sequence
from dataclasses import dataclass

from leap_audit.config import AuditOptions
from leap_audit.ingest.classes.targets import select_targets
from leap_audit.ingest.model import Model
from leap_audit.measure.plan import Plan, choose_batches, logit_spread, plan_of
from leap_audit.measure.prototype import Drawn, Request, make_prototypes, settled
from leap_audit.measure.run import Run
from leap_audit.pipeline.isolations import ONE_AT_A_TIME, Task, record_isolations, tasks_of
from leap_audit.pipeline.methods import methods_of
from leap_audit.pipeline.photographs import answered, record_photographs, sample_stem
from leap_audit.pipeline.prototypes import levels, record_prototypes, stem
from leap_audit.pipeline.work import Measurements
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = [
    "Planned",
    "draw_prototypes",
    "measure",
    "planned",
    "prepared",
    "prototype_tasks",
    "sample_tasks",
]


@dataclass(frozen=True)
class Planned:
    """What an audit will measure, before the long work begins."""

    options: AuditOptions
    """With nothing left open."""
    run: Run
    pictures: Sequence[Array]
    """The photographs, as the model sees them."""
    requests: tuple[Request, ...]
    subjects: int
    """How many isolations there will be."""
    plan: Plan


def planned(model: Model, options: AuditOptions, seen: Measurements, told: Progress) -> Planned:
    """Look at the photographs, put them into `seen`, and return and tell the plan of the rest."""
    select_targets(options.targets, seen.classes)  # a wrong one is refused before any work
    options, run = prepared(model, options, seen)
    pictures = record_photographs(run, options, seen, told)
    targets = select_targets(options.targets, seen.classes, answered(seen.samples))
    requests = tuple(
        Request((target,), seed) for target in targets for seed in range(options.seeds)
    )
    isolated = min(options.isolation.per_prototype, model.classes)
    subjects = len(targets) * isolated + sum(len(s.predicted) for s in seen.samples)
    plan = plan_of(run, options, len(targets), subjects if model.batchable else 0)
    told.note(plan.sentence)
    return Planned(options, run, pictures, requests, subjects, plan)


def measure(model: Model, options: AuditOptions, seen: Measurements, told: Progress) -> None:
    """Fill `seen`: photographs and their predictions, prototypes, entanglement, isolations."""
    work = planned(model, options, seen, told)
    options, run, pictures = work.options, work.run, work.pictures
    drawn = draw_prototypes(work.requests, run, options, seen, told, pictures)
    if not model.batchable:
        seen.notes.append(ONE_AT_A_TIME)
        return
    with told.stage("Isolations", work.subjects * options.isolation.steps) as advance:
        isolated = min(options.isolation.per_prototype, model.classes)
        on_photographs = sample_tasks(run, seen, pictures)
        entangled = [[e.class_ for e in p.entanglements[:isolated]] for p in seen.prototypes]
        on_prototypes = prototype_tasks(run, drawn, entangled)
        record_isolations(on_photographs, seen.samples, run, options, seen, advance)
        record_isolations(on_prototypes, seen.prototypes, run, options, seen, advance)


def prepared(model: Model, options: AuditOptions, seen: Measurements) -> tuple[AuditOptions, Run]:
    """Return the options with nothing left open, and the model as a function of pictures."""
    prototype = settled(options.prototype, model.picture_shape, batchable=model.batchable)
    options = options.model_copy(update={"prototype": prototype})
    batches = choose_batches(model, prototype.views or 1, options.batch)
    seen.config = options.model_dump(mode="json")
    seen.batch = {"prototypes": batches.prototypes, "isolations": batches.isolations}
    seen.seeds = options.seeds
    return options, Run(model, batches.predictions, options.threads)


def draw_prototypes(
    requests: Sequence[Request],
    run: Run,
    options: AuditOptions,
    seen: Measurements,
    told: Progress,
    samples: Sequence[Array] = (),
) -> list[Drawn]:
    """Make and record the prototypes; return those that are shown, one per target.

    samples: the photographs of `seen.samples`, as the model saw them.
    """
    drawn: list[Drawn] = []
    spread = logit_spread(run, options.seed)
    seen.methods = methods_of(options, spread, run)
    with told.stage("Prototypes", len(requests) * options.prototype.steps) as advance:
        finished = make_prototypes(
            run,
            requests,
            options.prototype,
            seed=options.seed,
            batch=seen.batch["prototypes"],
            spread=spread,
            advance=advance,
        )
        try:
            drawn.extend(finished)
        finally:  # an interrupted run reports those it has
            chosen = record_prototypes(drawn, run, seen, options, samples)
    return chosen


def sample_tasks(
    run: Run,
    seen: Measurements,
    pictures: Sequence[Array],
    classes: Sequence[Sequence[int]] | None = None,
) -> list[Task]:
    """Return the isolations to make on the samples: of `classes` each, or of those predicted."""
    wanted = classes or [[p.class_ for p in sample.predicted] for sample in seen.samples]
    return tasks_of(pictures, [sample_stem(i) for i in range(len(pictures))], wanted, run)


def prototype_tasks(
    run: Run, drawn: Sequence[Drawn], classes: Sequence[Sequence[int]]
) -> list[Task]:
    """Return the isolations to make on the prototypes shown, of `classes` each."""
    pictures = [levels(each.picture) for each in drawn]
    return tasks_of(pictures, [stem(each) for each in drawn], classes, run)
