"""Units of work: what an audit computes, cut into pieces that depend on nothing but themselves.

A unit is a frozen description. Its `key` is the digest of everything that determines its result:
the model, the machine's numbers (`Ground`), the options, the targets, the seed, and the items that
are computed together in one batch. `perform` returns a plain result: arrays and numbers, no paths.
Equal keys mean equal results, so a unit can be done once, anywhere, in any order.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import numpy as np

from leap_audit.artifacts import Readings, Trial
from leap_audit.config import ExperimentOptions, IsolationOptions, Options, PrototypeOptions
from leap_audit.ingest.outputs.answer import Summary
from leap_audit.measure.entanglement import Shared, compare_gradients
from leap_audit.measure.experiments.backgrounds import try_backgrounds
from leap_audit.measure.experiments.material import TOGETHER, Materials, materials
from leap_audit.measure.experiments.study import Tried, try_changes, try_class
from leap_audit.measure.isolation.region import Region
from leap_audit.measure.methods import Explanation, load_methods
from leap_audit.measure.preprocessing import compare_readings
from leap_audit.measure.prototype import Drawn, Request
from leap_audit.measure.subject import Subject, sharpness
from leap_audit.pipeline.loaded import (
    Ground,
    Loaded,
    ground_of,
    prototype_search,
    ranking_search,
    read_isolation,
)
from leap_audit.pipeline.plain import digest
from leap_audit.run.session import Array

__all__ = [
    "Compare",
    "Draw",
    "Explain",
    "Ground",
    "Isolate",
    "Loaded",
    "Locate",
    "Located",
    "Predict",
    "Predicted",
    "Reread",
    "Supply",
    "TryBackgrounds",
    "TryChanges",
    "TryMarks",
    "Unit",
    "ground_of",
    "perform",
    "prototype_search",
    "ranking_search",
    "read_isolation",
]

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Unit(Generic[R]):
    """One piece of work. Two units are the same where their keys are."""

    ground: Ground

    @cached_property
    def key(self) -> str:
        """Return the digest of all that determines the result."""
        return digest(self)

    @property
    def steps(self) -> int:
        """Return how far the unit advances the count of its stage."""
        return 0


@dataclass(frozen=True, eq=False)
class Predict(Unit["Predicted"]):
    """Show the model a batch of pictures. Result: `Predicted`."""

    pictures: tuple[Array, ...]
    """(channels, height, width) in 0..1 each."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What the model says of a batch of pictures."""

    answers: tuple[Summary, ...]
    logits: Array
    """(pictures, classes), averaged over the places of a map."""
    features: Array
    """(pictures, features): what pictures are compared by, the penultimate features, or the logits
    where the last step is not linear."""


@dataclass(frozen=True, eq=False)
class Reread(Unit[tuple[Readings, ...]]):
    """Show photographs under other preprocessings. Result: a tuple of at most one `Readings`."""

    pictures: tuple[Array, ...]
    known: tuple[int | None, ...]
    """The class that each is known to show."""


@dataclass(frozen=True, eq=False)
class Draw(Unit[tuple[Drawn, ...]]):
    """Make the prototypes of one batch of requests. Result: a tuple of `Drawn`."""

    requests: tuple[Request, ...]
    options: PrototypeOptions
    seed: int
    batch: int
    """Prototypes that the graph holds; the requests are filled up to it."""
    first: tuple[Request, ...] = ()
    """The batch on which the learning rate is tested; empty where it is not."""

    @property
    def steps(self) -> int:
        return len(self.requests) * self.options.steps


@dataclass(frozen=True, eq=False)
class Compare(Unit[Shared]):
    """Compare classes by their gradients on a prototype. Result: `Shared`."""

    picture: Array
    target: tuple[int, ...]
    classes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Locate(Unit["tuple[Located, ...]"]):
    """Ask where in each of a batch of pictures classes are said. Result: a tuple of `Located`."""

    pictures: tuple[Array, ...]
    classes: tuple[tuple[int, ...], ...]
    """Those asked about, of each picture."""


@dataclass(frozen=True, eq=False)
class Located:
    """How the classes of one picture are to be isolated."""

    sharpness: float
    """See `Subject.sharpness`."""
    where: tuple[Array, ...]
    """See `Subject.where`, of each class."""
    logits: tuple[float, ...]
    """Of each class, averaged over the places."""


@dataclass(frozen=True, eq=False)
class Isolate(Unit[tuple[Region, ...]]):
    """Isolate the subjects of one batch. Result: a tuple of `Region`."""

    subjects: tuple[Subject, ...]
    options: IsolationOptions
    seed: int
    batch: int
    """Subjects that the graph of the search holds."""
    slopes: int
    """Pictures that the slopes are computed on together."""

    @property
    def steps(self) -> int:
        return len(self.subjects) * self.options.steps


@dataclass(frozen=True, eq=False)
class Explain(Unit[tuple[Explanation, ...]]):
    """Explain the subjects of one batch by a method. Result: a tuple of `Explanation`."""

    subjects: tuple[Subject, ...]
    method: str
    version: int
    options: Options
    seed: int
    batch: int

    @property
    def steps(self) -> int:
        return len(self.subjects)


@dataclass(frozen=True, eq=False)
class Supply:
    """The pictures that experiments may use."""

    photographs: tuple[Array, ...]
    shows: tuple[int | None, ...]
    """The class that each photograph is known to show."""
    prototypes: tuple[Array, ...]
    """Of all seeds."""
    targets: tuple[int, ...]
    """The class of each prototype."""


@dataclass(frozen=True, eq=False)
class TryMarks(Unit[Tried]):
    """Try marks of one class, and search for a trigger of it. Result: `Tried`."""

    supply: Supply
    options: ExperimentOptions
    seed: int
    class_: int

    @property
    def steps(self) -> int:
        return self.options.work


@dataclass(frozen=True, eq=False)
class TryChanges(Unit[tuple[Trial, ...]]):
    """Change whole pictures and see towards which class. Result: a tuple of `Trial`."""

    supply: Supply
    options: ExperimentOptions
    seed: int
    classes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TryBackgrounds(Unit[tuple[Trial, ...]]):
    """Put subjects before other backgrounds. Result: a tuple of `Trial`."""

    pictures: tuple[Array, ...]
    rankings: tuple[Array, ...]
    """Of each picture for its answer; see `Region.ranking`."""
    answers: tuple[int, ...]
    classes: tuple[int, ...]
    most: int
    """Composites of a class."""
    seed: int


Advance = Callable[[int], None]


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
        case TryMarks():
            options, given = unit.options, _materials(unit, loaded)
            run = loaded.run.at_once(TOGETHER)
            return try_class(run, unit.class_, given, options, seed=unit.seed, advance=advance)
        case TryChanges():
            run, given = loaded.run.at_once(TOGETHER), _materials(unit, loaded)
            return try_changes(run, given, unit.classes, unit.options, unit.seed)
        case TryBackgrounds():
            run = loaded.run.at_once(TOGETHER)
            several = (unit.pictures, unit.rankings, unit.answers, unit.classes)
            return try_backgrounds(run, *several, most=unit.most, seed=unit.seed)
    raise TypeError(f"{type(unit).__name__} is no unit of work")


def _materials(unit: TryMarks | TryChanges, loaded: Loaded) -> Materials:
    """The pictures of an experiment with the model's answers, asked for once an audit."""
    supply, hosts = unit.supply, unit.options.hosts
    found = loaded.kept(
        lambda: materials(
            loaded.run.at_once(TOGETHER),
            supply.photographs,
            supply.shows,
            supply.prototypes,
            supply.targets,
            hosts=hosts,
            seed=unit.seed,
        ),
        *("materials", digest(supply), hosts, unit.seed),
    )
    assert isinstance(found, Materials)
    return found


def _predict(unit: Predict, loaded: Loaded) -> Predicted:
    run, answer, pictures = loaded.run, loaded.model.answer, np.stack(unit.pictures)
    logits = run.logits(pictures)
    features = logits if run.weights is None else run.features(pictures)
    answers = tuple(answer.summary(scores) for scores in run.scores(pictures))
    return Predicted(answers, logits, features)


def _draw(unit: Draw, loaded: Loaded, advance: Advance) -> tuple[Drawn, ...]:
    search = prototype_search(loaded, unit.options, unit.seed, unit.batch)
    return tuple(search.draw(unit.requests, advance, unit.first))


def _locate(unit: Locate, loaded: Loaded) -> tuple[Located, ...]:
    answer = loaded.model.answer
    every = loaded.run.scores(np.stack(unit.pictures))
    return tuple(
        Located(
            sharpness(scores, answer),
            tuple(answer.predicted_places(scores, k) for k in classes),
            tuple(float(scores[k].mean()) for k in classes),
        )
        for scores, classes in zip(every, unit.classes, strict=True)
    )


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
