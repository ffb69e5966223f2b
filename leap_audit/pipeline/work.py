"""Do units of work on a loaded model."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import RLock
from typing import Any, cast

import numpy as np

from leap_audit.config import IsolationOptions, PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import BOXES, Detections, Summary
from leap_audit.measure.embedding.alike import alike_region
from leap_audit.measure.embedding.moved import pictures_changed
from leap_audit.measure.entanglement import compare_gradients
from leap_audit.measure.experiments.backgrounds import try_backgrounds
from leap_audit.measure.experiments.material import TOGETHER, Materials, materials
from leap_audit.measure.experiments.study import try_changes, try_class
from leap_audit.measure.faithfulness.dependence import randomised
from leap_audit.measure.faithfulness.opinions import Opined, second_opinion
from leap_audit.measure.isolation.optimise import RankingSearch
from leap_audit.measure.isolation.ranking import best_ranking, slopes_of
from leap_audit.measure.isolation.region import Region, is_of_cosines, read_region
from leap_audit.measure.matching import BoxSides, box_at, covered_shares, detected, look, rows_at
from leap_audit.measure.methods import Explanation, load_methods
from leap_audit.measure.objects.changes import coincidences, try_removals
from leap_audit.measure.objects.context import try_context
from leap_audit.measure.objects.finds import Finds, finds_of
from leap_audit.measure.plan import logit_spread
from leap_audit.measure.preprocessing import compare_readings
from leap_audit.measure.prototype import Drawn, PrototypeSearch
from leap_audit.measure.prototype.finish import levels
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject, sharpness
from leap_audit.pipeline.plain import digest
from leap_audit.pipeline.units import (
    Compare,
    Draw,
    Explain,
    Ground,
    Isolate,
    Locate,
    Located,
    Opine,
    Predict,
    Predicted,
    R,
    Reread,
    Supplied,
    TryBackgrounds,
    TryChanges,
    TryCoincidences,
    TryContext,
    TryMarks,
    TryRemovals,
    Unit,
)
from leap_audit.pipeline.vector_units import Embed, Liken
from leap_audit.run.session import Array

__all__ = [
    "Loaded",
    "perform",
    "prototype_search",
    "ranking_search",
    "read_isolation",
    "shuffled_run",
]


Advance = Callable[[int], None]


@dataclass
class Loaded:
    """A model ready to compute on: graphs are loaded when first needed, and kept.

    What it keeps follows from the model and the arguments alone and changes no result. Several
    threads may use it at once.
    """

    model: Model
    ground: Ground
    _kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)
    _making: Any = field(default_factory=RLock, repr=False)

    @cached_property
    def run(self) -> Run:
        """Return the model, run on pictures."""
        return Run(self.model, self.ground.batch, self.ground.threads)

    @cached_property
    def encoder(self) -> Run:
        """Return the encoder behind a classifier of directions, run on pictures; else the model."""
        if self.model.encoder is None:
            return self.run
        return Run(self.model.encoder, self.ground.batch, self.ground.threads)

    @cached_property
    def trying(self) -> Run:
        """Return the model, run on the pictures of experiments: as many as a trial has."""
        return self.run.at_once(min(TOGETHER, self.ground.batch))

    def spread(self, seed: int) -> float:
        """Return the standard deviation of the logits over random pictures."""
        found = self.kept(lambda: logit_spread(self.run, seed), "spread", seed)
        assert isinstance(found, float)
        return found

    def kept(self, make: Callable[[], Any], *key: Any) -> Any:
        """Return what `make` makes, made once for each key."""
        with self._making:  # units in several threads want the same
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]


def perform(unit: Unit[R], loaded: Loaded, advance: Advance = lambda _: None) -> R:
    """Return the result of a unit; the same for the same key.

    advance: called with how many items a step has moved, `unit.steps` in all. Raises TypeError: a
    unit of no known kind.
    """
    return cast(R, _result(unit, loaded, advance))


def _result(unit: Unit[Any], loaded: Loaded, advance: Advance) -> object:
    match unit:
        case Predict():
            return _predict(unit, loaded)
        case Reread():
            found = compare_readings(loaded.run, unit.pictures, unit.known)
            return () if found is None else (found,)
        case Draw():
            return _draw(unit, loaded, advance)
        case Compare():
            return compare_gradients(loaded.run, unit.picture, unit.target, unit.classes)
        case Locate():
            return _locate(unit, loaded)
        case Isolate():
            return _isolate(unit, loaded, advance)
        case Explain():
            return _explain(unit, loaded, advance)
        case Opine():
            return _opine(unit, loaded, advance)
        case TryMarks():
            options, given = unit.options, _materials(unit, loaded)
            run = loaded.trying
            return try_class(run, unit.class_, given, options, seed=unit.seed, advance=advance)
        case TryChanges():
            run, given = loaded.trying, _materials(unit, loaded)
            return try_changes(run, given, unit.classes, unit.options, unit.seed, advance)
        case TryContext():
            finds, run = _finds(unit, loaded), loaded.trying
            tried = try_context(run, unit.class_, finds, unit.options, unit.seed)
            advance(1)
            return tried
        case TryRemovals():
            finds, run = _finds(unit, loaded), loaded.trying
            return try_removals(run, finds, unit.classes, unit.options, unit.seed)
        case TryCoincidences():
            return coincidences(loaded.trying, _finds(unit, loaded))
        case Embed():
            return _embed(unit, loaded.encoder, advance)
        case Liken():
            region = alike_region(
                loaded.encoder, unit.picture, unit.vector, unit.options, unit.seed
            )
            advance(1)
            return region
        case TryBackgrounds():
            run = loaded.trying
            several = (unit.pictures, unit.rankings, unit.answers, unit.classes)
            return try_backgrounds(run, *several, most=unit.most, seed=unit.seed)
    raise TypeError(f"{type(unit).__name__} is no unit of work")


def _materials(unit: TryMarks | TryChanges, loaded: Loaded) -> Materials:
    """The pictures of an experiment with the model's answers, asked for once an audit."""
    supply, hosts = unit.supply, unit.options.hosts
    found = loaded.kept(
        lambda: materials(
            loaded.trying,
            supply.photographs,
            supply.shows,
            supply.prototypes,
            supply.targets,
            hosts=hosts,
            seed=unit.seed,
        ),
        *("materials", supply.digest, hosts, unit.seed),
    )
    assert isinstance(found, Materials)
    return found


def _finds(unit: Supplied[Any], loaded: Loaded) -> Finds:
    """The photographs of an experiment with what a detector finds, asked for once an audit."""
    supply = unit.supply
    found = loaded.kept(lambda: finds_of(loaded.trying, supply.photographs), "finds", supply.digest)
    assert isinstance(found, Finds)
    return found


def _predict(unit: Predict, loaded: Loaded) -> Predicted:
    run, answer, pictures = loaded.run, loaded.model.answer, np.stack(unit.pictures)
    if isinstance(answer, Detections):
        return _detect(run, answer, pictures, unit.box)
    logits = run.logits(pictures, unit.where)
    answers = tuple(answer.summary(scores, unit.where) for scores in run.scores(pictures))
    features = logits if run.weights is None else run.features(pictures, unit.where)
    return Predicted(answers, logits, features)


def _detect(run: Run, answer: Detections, pictures: Array, box: BoxSides | None) -> Predicted:
    seen = list(look(run, pictures))
    objects = tuple(detected(each, answer) for each in seen)
    counted = [rows_at(each, box) for each in seen]
    every = zip(run.scores(pictures), counted, strict=True)
    logits = np.stack([scores[:, rows].max(1) for scores, rows in every])
    answers = tuple(
        Summary(each.probs[:, rows].max(1), covered_shares(found, answer.classes))
        for each, found, rows in zip(seen, objects, counted, strict=True)
    )
    return Predicted(answers, logits, logits, objects)


def _embed(unit: Embed, run: Run, advance: Advance) -> Array:
    pictures = pictures_changed(np.stack(unit.supply.photographs), unit.change, unit.seed)
    found = []
    for start in range(0, len(pictures), run.batch):
        found.append(run.logits(pictures[start : start + run.batch]))
        advance(len(found[-1]))
    return np.concatenate(found)


def prototype_search(
    loaded: Loaded, options: PrototypeOptions, seed: int, batch: int
) -> PrototypeSearch:
    """Return the search for prototypes with these options, loaded once."""
    spread = loaded.spread(seed)
    search = loaded.kept(
        lambda: PrototypeSearch(loaded.run, options, seed=seed, batch=batch, spread=spread),
        *("draw", digest(options), seed, batch),
    )
    assert isinstance(search, PrototypeSearch)
    return search


def ranking_search(
    loaded: Loaded, options: IsolationOptions, seed: int, batch: int
) -> RankingSearch:
    """Return the search for isolations with these options, loaded once."""
    search = loaded.kept(
        lambda: RankingSearch(loaded.run, options, seed=seed, batch=batch),
        *("isolate", digest(options), seed, batch),
    )
    assert isinstance(search, RankingSearch)
    return search


def read_isolation(
    run: Run, subject: Subject, scores: Array, options: IsolationOptions, seed: int, slopes: int
) -> Region:
    """Return the region of a subject from the score map that was optimised.

    slopes: see `Isolate`.
    """
    ranking = best_ranking(
        run, subject, scores, slopes_of(run.at_once(slopes), subject, options, seed)
    )
    return read_region(run, subject, ranking, options)


def _draw(unit: Draw, loaded: Loaded, advance: Advance) -> tuple[Drawn, ...]:
    search = prototype_search(loaded, unit.options, unit.seed, unit.batch)
    drawn = search.draw(unit.requests, advance, unit.first)
    return tuple(
        replace(each, painting=replace(each.painting, picture=levels(each.picture)))
        for each in drawn
    )


def _locate(unit: Locate, loaded: Loaded) -> tuple[Located, ...]:
    answer, cosines = loaded.model.answer, is_of_cosines(loaded.model)
    every = loaded.run.scores(np.stack(unit.pictures))
    if isinstance(answer, Detections):
        return _locate_detections(unit, loaded.run, answer)
    return tuple(
        Located(
            sharpness(scores, answer, cosines=cosines),
            tuple(answer.predicted_places(scores, k) for k in classes),
            tuple(float(scores[k].mean()) for k in classes),
        )
        for scores, classes in zip(every, unit.classes, strict=True)
    )


def _locate_detections(unit: Locate, run: Run, answer: Detections) -> tuple[Located, ...]:
    pictures = np.stack(unit.pictures)
    boxes = run.activations(pictures, BOXES)[BOXES]
    rows_of = unit.rows or (None,) * len(pictures)
    several = zip(run.scores(pictures), boxes, unit.classes, rows_of, strict=True)
    found = []
    for scores, sides, classes, given in several:
        rows = given or tuple(int(scores[k].argmax()) for k in classes)
        where = np.zeros((len(rows), answer.places), np.float32)
        where[np.arange(len(rows)), list(rows)] = 1
        found.append(
            Located(
                sharpness(scores, answer),
                tuple(where),
                tuple(float(scores[k, row]) for k, row in zip(classes, rows, strict=True)),
                tuple(box_at(sides, row) for row in rows),
            )
        )
    return tuple(found)


def _isolate(unit: Isolate, loaded: Loaded, advance: Advance) -> tuple[Region, ...]:
    search = ranking_search(loaded, unit.options, unit.seed, unit.batch)
    maps = search.maps(unit.subjects, advance)
    return tuple(
        read_isolation(loaded.run, subject, scores, unit.options, unit.seed, unit.slopes)
        for subject, scores in zip(unit.subjects, maps, strict=True)
    )


def _explain(unit: Explain, loaded: Loaded, advance: Advance) -> tuple[Explanation, ...]:
    found = []
    function = load_methods()[unit.method].function
    run = loaded.run.at_once(unit.batch)
    for explanation in function(run, unit.subjects, unit.options, seed=unit.seed):
        advance(1)
        found.append(replace(explanation, detail=None))  # an audit keeps the map alone
    return tuple(found)


def shuffled_run(loaded: Loaded, seed: int) -> Run:
    """Return the model with shuffled weights, made once."""
    run = loaded.kept(
        lambda: Run(randomised(loaded.model, seed), loaded.ground.batch, loaded.ground.threads),
        *("shuffled", seed),
    )
    assert isinstance(run, Run)
    return run


def _opine(unit: Opine, loaded: Loaded, advance: Advance) -> tuple[Opined | None, ...]:
    method, run = load_methods()[unit.method], loaded.run.at_once(unit.batch)
    other = None
    if any(unit.checked):
        outside = loaded.model.outside is not None  # its weights are not in the graph
        other = (run if outside else shuffled_run(loaded, unit.seed)).at_once(unit.batch)
    found = []
    for subject, checked in zip(unit.subjects, unit.checked, strict=True):
        shuffled = other if checked else None
        found.append(second_opinion(run, subject, method, unit.options, unit.seed, shuffled))
        advance(1)
    return tuple(found)
