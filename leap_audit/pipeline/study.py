"""What an audit is going to measure, and its units of work up to the prototypes.

Later units depend on results of earlier ones: which classes are isolated in a photograph follows
from the model's answer to it. Everything here is a function of the study and the parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from leap_audit.artifacts import Prediction
from leap_audit.config import AuditOptions, Options
from leap_audit.ingest.classes.targets import select_targets
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Detections, Summary
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.effort import LADDER, OF_VECTORS, declared_paths, first_rung, with_rung
from leap_audit.measure.entanglement import Shared, compared_classes, shared_by_weights
from leap_audit.measure.experiments.settings import settled_experiments
from leap_audit.measure.faithfulness.opinions import chosen_opinions
from leap_audit.measure.matching_graph import MIDDLE
from leap_audit.measure.methods import Method, Setting, chosen_attributions
from leap_audit.measure.plan import Batches, choose_batches, even_batch
from leap_audit.measure.prototype import Drawn, Request, batches_of, middle_places, settled_for
from leap_audit.pipeline.embedded import Embedded
from leap_audit.pipeline.parts import Parts, result_of
from leap_audit.pipeline.photographs import NO_PHOTOGRAPHS, Album
from leap_audit.pipeline.plain import digest
from leap_audit.pipeline.units import Compare, Draw, Ground, Predict, Reread, ground_of
from leap_audit.pipeline.work import Loaded
from leap_audit.run.session import Array

__all__ = [
    "LISTED",
    "Answered",
    "Group",
    "Study",
    "answered_drawn",
    "answered_photographs",
    "answered_with",
    "batches_of_options",
    "comparisons",
    "drawn_so_far",
    "draws",
    "groups",
    "predicted",
    "predictions",
    "prepared",
    "rereads",
    "restudied",
    "study_prototypes",
]


LISTED = 10
"""Classes in a prototype's table of entanglement, the target included."""


@dataclass(frozen=True, eq=False)
class Study:
    """What an audit measures, before anything is measured."""

    model: Model
    ground: Ground
    classes: tuple[str, ...]
    options: AuditOptions
    """With nothing left open."""
    batches: Batches
    weights: Array | None
    """(classes, features) of the last linear layer; None where the last step is not linear."""
    setting: Setting
    album: Album = NO_PHOTOGRAPHS
    requests: tuple[Request, ...] = ()
    seeds: int = 1
    """Prototypes of each target, of which one is shown."""
    isolated: tuple[tuple[int, ...], ...] | None = None
    """The classes to isolate in each photograph, or in each prototype; None: those that the model
    answers with, or that are entangled."""
    declared: frozenset[tuple[str, ...]] = frozenset()
    """Where options are set that somebody declared, so that no plan changes them."""
    left_out: tuple[str, ...] = ()
    """What the plan leaves out for lack of time, each as 'x instead of y'."""
    attributions: dict[str, tuple[Method, Options]] = field(default_factory=dict)
    """The attribution methods that are run beside the isolations."""
    opinions: dict[str, tuple[Method, Options]] = field(default_factory=dict)
    """The attribution methods that are compared with the isolations of photographs."""
    embedded: Embedded | None = None
    """An encoder's vectors on the photographs; None of every other model."""


def prepared(
    model: Model,
    classes: tuple[str, ...],
    options: AuditOptions,
    parts: Parts | None = None,
    batches: Batches | None = None,
    embedded: Embedded | None = None,
) -> tuple[Study, Loaded]:
    """Return the study of a model without prototypes, and the model loaded.

    parts: of earlier runs; they keep how many items go together, which depends on the free memory.
    batches: those of an audit that is repeated. embedded: an encoder's vectors and photographs.

    Raises ConfigRefused: options that do not fit the model, or a method that there is none of.
    """
    declared = declared_paths(options)
    if embedded is None:
        declared |= OF_VECTORS
    else:  # recorded, so that an audit that is repeated takes it
        options = options.model_copy(update={"directions_scale": embedded.scale})
    if options.effort is not None:
        options = with_rung(options, LADDER[first_rung(options.effort)], declared)
    prototype = settled_for(options.prototype, model, options.threads)
    opinions = chosen_opinions(options.second_opinions, options.method_options, model)
    named = {n: v for n, v in options.method_options.items() if n not in opinions}
    named |= {n: v for n, v in options.method_options.items() if n in options.methods}
    chosen = chosen_attributions(options.methods, named)
    for method, _ in chosen.values():
        method.require_of(model)
    options = options.model_copy(
        update={
            "prototype": prototype,
            "second_opinions": tuple(opinions),
            "method_options": _complete({**opinions, **chosen}),
        }
    )
    batches = batches or batches_of_options(model, options, {} if parts is None else parts)
    fit = batches.prototypes * (prototype.views or 1) if model.batchable else None
    experiments = settled_experiments(options.experiments, model.picture_shape, fit)
    options = options.model_copy(update={"experiments": experiments})
    loaded = Loaded(model, ground_of(model, batches.threads, batches.predictions))
    weights = loaded.run.weights
    setting = Setting(options.seed, options.seeds, linear=weights is not None)
    study = Study(
        model,
        loaded.ground,
        classes,
        options,
        batches,
        weights,
        setting,
        seeds=options.seeds,
        declared=declared,
        attributions=chosen,
        opinions=opinions,
        album=NO_PHOTOGRAPHS if embedded is None else embedded.album,
        embedded=embedded,
    )
    return study, loaded


def _complete(chosen: Mapping[str, tuple[Method, Options]]) -> dict[str, dict[str, Any]]:
    """The options of methods, with none left out."""
    return {name: own.model_dump(mode="json") for name, (_, own) in chosen.items()}


def batches_of_options(model: Model, options: AuditOptions, parts: Parts) -> Batches:
    """Return the batches chosen earlier for this model and these options, or those that fit now."""
    views = options.prototype.views or 1
    chosen_by = [model.digest, model.provider.name, views, options.batch, options.threads]
    key = f"batches-{digest(chosen_by)}"
    if isinstance(kept := parts.get(key), dict):
        return Batches(**kept)
    chosen = choose_batches(model, views, options.batch, options.threads)
    parts[key] = asdict(chosen)
    return chosen


def study_prototypes(study: Study, parts: Parts) -> Study:
    """Return the study with the prototypes of its targets.

    The first of every target comes first, then the second: whatever stops the audit, each target
    has one before any has two. Where the options name no targets and the model has many classes,
    they are those that the photographs were answered with. Raises TargetRefused.
    """
    said = [
        each.class_
        for answer in answered_photographs(study, parts)
        for each in answered_with(study, answer)
    ]
    targets = select_targets(study.options.targets, study.classes, said)
    return replace(
        study,
        requests=tuple(
            Request((target,), seed) for seed in range(study.seeds) for target in targets
        ),
    )


def restudied(study: Study, options: AuditOptions, parts: Parts) -> Study:
    """Return the study with other options, its targets and batches chosen by them."""
    opinions = {name: study.opinions[name] for name in options.second_opinions or ()}
    own = _complete({**opinions, **study.attributions})
    changed = replace(
        study,
        options=options.model_copy(update={"method_options": own}),
        seeds=options.seeds,
        setting=replace(study.setting, seeds=options.seeds),
        opinions=opinions,
    )
    if options.prototype.views != study.options.prototype.views:
        batches = batches_of_options(study.model, options, parts)
        changed = replace(changed, batches=replace(study.batches, prototypes=batches.prototypes))
    return study_prototypes(changed, parts)


# Photographs


@dataclass(frozen=True, eq=False)
class Answered:
    """A picture, and what the model says of it."""

    index: int
    """Its place among the photographs, or among the prototypes drawn."""
    picture: Array
    answer: Summary
    logits: Array
    features: Array
    objects: tuple[DetectedBox, ...] = ()
    """What a detector finds in it."""


def predictions(
    study: Study, pictures: Sequence[Array], where: Array | None = None
) -> list[Predict]:
    """Return the units that show the model pictures.

    where: how much each place of a map counts, (places,); None: all the same.
    """
    size = study.ground.batch
    return [
        Predict(study.ground, tuple(pictures[i : i + size]), where)
        for i in range(0, len(pictures), size)
    ]


def drawn_predictions(study: Study, parts: Parts) -> list[Predict]:
    """Return the units that show the model the finished prototypes: of a map, their middle."""
    pictures = [each.picture for each in drawn_so_far(study, parts)]
    units = predictions(study, pictures, middle_places(study.model, study.options.prototype))
    if isinstance(study.model.answer, Detections):
        return [replace(unit, box=MIDDLE) for unit in units]
    return units


def rereads(study: Study) -> list[Reread]:
    """Return the unit that tries other preprocessings on photographs of known classes, if any."""
    album = study.album
    if isinstance(study.model.answer, Detections):
        return []  # the first object is no answer to what a photograph shows
    if study.embedded is not None and study.embedded.kind != "named":
        return []  # the directions were made of these photographs under this preprocessing
    known = [class_ for class_ in album.known if class_ is not None]
    return [Reread(study.ground, album.pictures, album.known)] if known else []


def answered_photographs(study: Study, parts: Parts) -> list[Answered]:
    """Return the photographs that the model has answered."""
    return _answered(predictions(study, study.album.pictures), parts)


def answered_with(study: Study, answered: Answered) -> list[Prediction]:
    """Return the answers that make a class worth a prototype.

    Of one answer the first; where the answer is a map, all that are listed: they are somewhere.
    """
    listed = predicted(study, answered)
    return [each for i, each in enumerate(listed) if i == 0 or each.share]


def predicted(study: Study, answered: Answered) -> tuple[Prediction, ...]:
    """Return the most probable classes; of a map those that are said somewhere, if any is."""
    answer, places = answered.answer, study.model.answer.places
    order = [int(k) for k in np.argsort(-answer.probs, kind="stable")]
    if places > 1:
        order = [k for k in order if answer.shares[k]] or order
    return tuple(
        Prediction(
            class_=k,
            name=study.classes[k],
            prob=float(answer.probs[k]),
            share=float(answer.shares[k]) if places > 1 else None,
        )
        for k in order[: study.options.top_classes]
    )


def _answered(units: Sequence[Predict], parts: Parts) -> list[Answered]:
    found = []
    start = 0
    for unit in units:
        if (result := result_of(unit, parts)) is not None:
            objects = result.objects or ((),) * len(unit.pictures)
            said = (result.answers, result.logits, result.features, objects)
            rows = zip(unit.pictures, *said, strict=True)
            found += [Answered(start + i, *row) for i, row in enumerate(rows)]
        start += len(unit.pictures)
    return found


# Prototypes


def draws(study: Study) -> list[Draw]:
    """Return the units that make the prototypes."""
    options = study.options.prototype
    if not study.requests:
        return []
    batch = even_batch(len(study.requests), study.batches.prototypes, study.batches.workers)
    grouped = [tuple(group) for group in batches_of(study.requests, batch, options)]
    size = max(map(len, grouped))
    first = grouped[0] if options.find_lr_steps else ()
    return [
        Draw(study.ground, group, options, study.options.seed, size, first) for group in grouped
    ]


def drawn_so_far(study: Study, parts: Parts) -> list[Drawn]:
    """Return the finished prototypes, in the order of the requests."""
    return [each for unit in draws(study) for each in result_of(unit, parts) or ()]


def answered_drawn(study: Study, parts: Parts) -> list[tuple[Drawn, Answered]]:
    """Return the finished prototypes that the model has answered."""
    drawn = drawn_so_far(study, parts)
    answered = _answered(drawn_predictions(study, parts), parts)
    return [(drawn[each.index], each) for each in answered]


def comparisons(study: Study, parts: Parts) -> list[Compare]:
    """Return the units that compare gradients on prototypes; none with a linear last step."""
    if study.weights is not None:
        return []
    return [_comparison(study, *each) for each in answered_drawn(study, parts)]


def _comparison(study: Study, drawn: Drawn, answered: Answered) -> Compare:
    target = drawn.request.target
    classes = tuple(compared_classes(answered.logits, target))
    return Compare(study.ground, answered.picture, target, classes)


@dataclass(frozen=True, eq=False)
class Group:
    """The prototypes of one target from several seeds; the first is shown."""

    drawn: tuple[Drawn, ...]
    answered: tuple[Answered, ...]
    shared: tuple[Shared, ...]
    reached: tuple[float, ...]
    """The target's logit on each."""

    @property
    def target(self) -> tuple[int, ...]:
        return self.drawn[0].request.target


def groups(study: Study, parts: Parts) -> list[Group]:
    """Return the finished prototypes by their target, of each the one first that reached most.

    As of several starts of a search the best is its answer, it is the one shown; the others are
    its stability.
    """
    pairs = answered_drawn(study, parts)
    if study.weights is not None:
        features = np.stack([each.features for _, each in pairs]) if pairs else np.zeros((0, 1))
        compared = shared_by_weights(features, study.weights) if pairs else []
    else:
        found = [result_of(_comparison(study, *pair), parts) for pair in pairs]
        pairs = [pair for pair, shared in zip(pairs, found, strict=True) if shared is not None]
        compared = [shared for shared in found if shared is not None]
    places: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for place, (drawn, _) in enumerate(pairs):
        request = drawn.request
        places.setdefault((request.target, request.replicate // study.seeds), []).append(place)
    reached = [float(a.logits[list(d.request.target)].mean()) for d, a in pairs]
    weight = study.options.prototype.objective_weight
    return [
        Group(
            tuple(pairs[i][0] for i in order),
            tuple(pairs[i][1] for i in order),
            tuple(compared[i] for i in order),
            tuple(reached[i] for i in order),
        )
        for order in (sorted(g, key=lambda i: -weight * reached[i]) for g in places.values())
    ]
