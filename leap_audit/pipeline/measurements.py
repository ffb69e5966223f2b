"""The middle of an audit: everything that is measured, in the order it is done."""

from leap_audit.config import AuditOptions
from leap_audit.ingest.load import Model
from leap_audit.ingest.targets import select_targets
from leap_audit.measure.forward import Classifier
from leap_audit.measure.plan import choose_batches, expected_seconds, logit_spread
from leap_audit.measure.prototype import Drawn, Request, make_prototypes, settled
from leap_audit.pipeline.isolations import record_isolations, tasks_of
from leap_audit.pipeline.methods import methods_of
from leap_audit.pipeline.photographs import answered, record_photographs
from leap_audit.pipeline.prototypes import levels, record_prototypes, stem
from leap_audit.pipeline.record import Measurements
from leap_audit.progress import Progress

__all__ = ["measure"]


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
    pictures = record_photographs(classifier, options, seen, told)
    targets = select_targets(options.targets, seen.classes, answered(seen.samples))
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
            record_prototypes(drawn, classifier, prototype, seen, threads)
    if not model.batchable:
        seen.notes.append(
            "Isolations were not measured: this model takes one picture at a time, and an "
            "isolation compares two. Export it with a free batch dimension."
        )
        return
    with told.stage("Isolations", subjects * options.isolation.steps) as advance:
        on_photographs = tasks_of(
            pictures,
            [f"sample-{i:04d}" for i in range(len(pictures))],
            [[p.class_ for p in sample.predicted] for sample in seen.samples],
            classifier,
        )
        on_prototypes = tasks_of(
            [levels(each.picture) for each in drawn],
            [stem(each) for each in drawn],
            [[e.class_ for e in p.entanglements[:isolated]] for p in seen.prototypes],
            classifier,
        )
        record_isolations(on_photographs, seen.samples, classifier, options, seen, advance)
        record_isolations(on_prototypes, seen.prototypes, classifier, options, seen, advance)


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
