"""The plan of an audit: what is done, by the effort and the time there is, and how long it takes.

Costs are measured with real steps of the model. A plan is made once: it is kept with the parts of
the audit, so that an audit that goes on does what it began, and recorded in audit.json.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace

import numpy as np

from leap_audit.config import AuditOptions, Options
from leap_audit.errors import GradientUnavailable
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.measure.costs import Amount, Costs, multiply_adds, steady
from leap_audit.measure.effort import LADDER, changed_amounts, first_rung, with_rung
from leap_audit.measure.experiments.seek import search_work
from leap_audit.measure.faithfulness.opinions import CHECKED_PHOTOGRAPHS
from leap_audit.measure.matching_graph import MIDDLE
from leap_audit.measure.methods import Method
from leap_audit.measure.objects.changes import removal_passes
from leap_audit.measure.objects.context import context_passes
from leap_audit.measure.plan import Plan, even_batch
from leap_audit.measure.subject import Subject
from leap_audit.pipeline.experiments import classes_of_objects, tried_classes
from leap_audit.pipeline.parts import Parts
from leap_audit.pipeline.plain import digest
from leap_audit.pipeline.study import Study, answered_photographs, draws, restudied
from leap_audit.pipeline.tasks import classes_in_photographs
from leap_audit.pipeline.vectors import change_units, liken_units
from leap_audit.pipeline.work import Loaded, prototype_search, ranking_search

__all__ = ["amount_of", "costs_of", "limit_of", "planned"]

USUAL_MINUTES = 15
"""What an audit may take on this machine where nobody says how much work it is."""
REHEARSED = 3
"""Steps that are timed; the first warms up."""
LOW, HIGH = 0.75, 1.35
"""The likely range of a plan, as factors of what is expected."""
FURTHER = 0.3
"""Share of the further classes of a prototype that are probable enough to be isolated."""


def limit_of(options: AuditOptions, elapsed: float) -> float | None:
    """Return the seconds that the rest of an audit may take; None where nothing limits it.

    elapsed: seconds since it began.
    """
    if options.minutes is not None:
        return max(1.0, options.minutes * 60 - elapsed)
    return USUAL_MINUTES * 60.0 if options.effort is None else None


def planned(
    study: Study, loaded: Loaded, parts: Parts, limit: float | None, workers: int = 1
) -> tuple[Study, Plan]:
    """Return the study with the options that fit the limit, and its plan.

    study: with its photographs answered and its targets chosen. limit: seconds, or None. workers:
    how many units are computed at once.
    """
    key = f"plan-{_key(study)}"
    if isinstance(kept := parts.get(key), dict):
        options = AuditOptions.model_validate(kept["options"])
        return _left_out(restudied(study, options, parts), study), Plan(**kept["plan"])
    costs = costs_of(study, loaded)
    tried = [study]
    seconds = [costs.seconds(amount_of(study, parts), workers)]
    for rung in LADDER[first_rung(study.options.effort) + 1 :]:
        if limit is None or seconds[-1] <= limit:
            break
        options = with_rung(study.options, rung, study.declared)
        tried.append(restudied(study, options, parts))
        seconds.append(costs.seconds(amount_of(tried[-1], parts), workers))
    made = _left_out(tried[-1], study)
    plan = _plan(made, amount_of(made, parts), costs, seconds[-1], limit)
    for above, more in reversed(list(zip(tried, seconds, strict=True))):
        if adds := changed_amounts(above.options, made.options):
            plan = replace(plan, next_seconds=max(0.0, more - seconds[-1]), next_adds=adds)
            break
    parts[key] = {"options": made.options.model_dump(mode="json"), "plan": asdict(plan)}
    return made, plan


def _key(study: Study) -> str:
    """The digest of all that the choice of a plan follows from, but for the time it takes."""
    options = study.options.model_dump(mode="json")
    return digest([study.ground, options, sorted(study.declared), study.requests])


def _left_out(made: Study, wanted: Study) -> Study:
    return replace(made, left_out=changed_amounts(made.options, wanted.options))


def _plan(made: Study, amount: Amount, costs: Costs, seconds: float, limit: float | None) -> Plan:
    options = made.options
    return Plan(
        classes=len(made.requests) // made.seeds,
        classes_in_all=made.model.classes,
        seeds=made.seeds,
        steps=options.prototype.steps,
        views=options.prototype.views or 1,
        isolations=amount.isolations,
        isolation_steps=options.isolation.steps,
        seconds=seconds,
        low=seconds * LOW,
        high=seconds * HIGH,
        multiply_adds=costs.multiply_adds,
        changed=amount.changed,
        likened=amount.likened,
        left_out=made.left_out,
        limit=limit,
    )


def amount_of(study: Study, parts: Parts) -> Amount:
    """Return how much an audit computes; of the isolations of prototypes, how many are likely."""
    options, drawing = study.options, draws(study)
    targets = len(study.requests) // study.seeds
    photographs = answered_photographs(study, parts)
    of_photographs = sum(map(len, classes_in_photographs(study, parts)))
    each = min(options.isolation.per_prototype, study.model.classes)
    of_prototypes = round(targets * (min(each, 1) + FURTHER * max(0, each - 1)))
    most, workers = study.batches.isolations, study.batches.workers
    several = [(n, even_batch(n, most, workers)) for n in (of_photographs, of_prototypes) if n]
    isolated = sum(-(-number // together) * together for number, together in several)
    changed = likened = 0
    if study.embedded is not None:
        changed = sum(unit.steps for unit in change_units(study, study.embedded).values())
        likened = len(liken_units(study, study.embedded))
    objects = classes_of_objects(study, parts)
    marked = [] if objects else tried_classes(study)
    return Amount(
        answers=len(study.requests) + len(photographs),
        drawn=sum(unit.batch for unit in drawing) * (options.prototype.views or 1),
        steps=options.prototype.steps,
        isolations=of_photographs + of_prototypes,
        isolated=isolated,
        isolation_steps=options.isolation.steps,
        tried=len(marked),
        hosts=options.experiments.hosts,
        searched=len(marked) * search_work(options.experiments),
        opinions=len(photographs) if study.opinions else 0,
        opinions_checked=min(CHECKED_PHOTOGRAPHS, len(photographs)) if study.opinions else 0,
        drawings=len(drawing),
        searches=sum(-(-number // together) for number, together in several),
        changed=changed,
        likened=likened,
        beside=_beside(study, parts, objects),
    )


def _beside(study: Study, parts: Parts, classes: Sequence[int]) -> int:
    """How many pictures the experiments on a detector's objects of these classes show to it."""
    if not classes:
        return 0
    photographs = answered_photographs(study, parts)
    times = Counter(found.class_ for each in photographs for found in each.objects)
    several, options = times.total(), study.options.experiments
    tried = (context_passes(times[k], several - times[k], options) for k in classes)
    return sum(tried) + removal_passes(len(photographs))


def costs_of(study: Study, loaded: Loaded) -> Costs:
    """Return what the model takes on this machine, from a few real steps of each stage.

    As many batches take these steps at once as the audit computes at once, because each is slower
    beside the others.
    """
    model, options, run = study.model, study.options, loaded.run
    rng = np.random.default_rng([options.seed, 2])
    pictures = rng.random((run.batch, *model.picture_shape), np.float32)
    workers = study.batches.workers

    def answered() -> list[float]:
        taken = []
        for _ in range(REHEARSED):
            started = time.perf_counter()
            run.logits(pictures)
            taken.append(time.perf_counter() - started)
        return taken

    answer = _beside_others(answered, workers)
    drawing = draws(study)
    prototype_step = 0.0
    if drawing:
        batch = drawing[0].batch
        search = prototype_search(loaded, options.prototype, options.seed, batch)
        first = drawing[0].requests[0]
        step = _beside_others(lambda: search.rehearse(first, REHEARSED), workers)
        prototype_step = step / batch / (options.prototype.views or 1)
    places = np.full(model.answer.places, 1 / model.answer.places, np.float32)
    box = MIDDLE if isinstance(model.answer, Detections) else None
    subject = Subject(pictures[0], 0, 1.0, places, box=box)
    size = study.batches.isolations
    ranking = ranking_search(loaded, options.isolation, options.seed, size)
    isolating = _beside_others(lambda: ranking.rehearse(subject, REHEARSED), workers)
    return Costs(
        multiply_adds(model.graph.graph),
        answer / run.batch,
        prototype_step,
        isolating / size,
        _explaining(study, loaded, subject, study.attributions),
        _explaining(study, loaded, subject, study.opinions, 2) if study.album.pictures else 0.0,
    )


def _beside_others(rehearse: Callable[[], list[float]], workers: int) -> float:
    """The seconds of a step, on average over so many that take it at once."""
    with ThreadPoolExecutor(workers) as pool:
        several = [pool.submit(rehearse) for _ in range(workers)]
        return sum(steady(each.result()) for each in several) / workers


def _explaining(
    study: Study,
    loaded: Loaded,
    subject: Subject,
    methods: Mapping[str, tuple[Method, Options]],
    times: int = 1,
) -> float:
    """The seconds that methods take for one subject; of several `times` the last, loaded one."""
    run, total = loaded.run.at_once(study.batches.isolations), 0.0
    for method, own in methods.values():
        taken = 0.0
        for _ in range(times):
            started = time.perf_counter()
            with suppress(GradientUnavailable):
                list(method.function(run, [subject], own, seed=study.options.seed))
            taken = time.perf_counter() - started
        total += taken
    return total
