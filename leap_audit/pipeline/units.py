"""Units of work: what an audit computes, cut into pieces that depend on nothing but themselves.

A unit is a frozen description. Its `key` is the digest of everything that determines its result:
the model, the machine's numbers (`Ground`), the options, the targets, the seed, and the items that
are computed together in one batch. Its result is plain: arrays and numbers, no paths.
Equal keys mean equal results, so a unit can be done once, anywhere, in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from leap_audit.artifacts import Readings, Trial
from leap_audit.config import ExperimentOptions, IsolationOptions, Options, PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Summary
from leap_audit.installed import installed
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.entanglement import Shared
from leap_audit.measure.experiments.changes import CHANGES
from leap_audit.measure.experiments.study import Tried, class_work
from leap_audit.measure.faithfulness.opinions import Opined
from leap_audit.measure.isolation.region import Region
from leap_audit.measure.matching import BoxSides
from leap_audit.measure.methods import Explanation
from leap_audit.measure.objects.changes import Coincidence
from leap_audit.measure.prototype import Drawn, Request
from leap_audit.measure.subject import Subject
from leap_audit.pipeline.plain import digest
from leap_audit.run.session import Array

__all__ = [
    "NO_SUPPLY",
    "Compare",
    "Draw",
    "Explain",
    "Ground",
    "Isolate",
    "Locate",
    "Located",
    "Opine",
    "Predict",
    "Predicted",
    "R",
    "Reread",
    "Supplied",
    "Supply",
    "TryBackgrounds",
    "TryChanges",
    "TryCoincidences",
    "TryContext",
    "TryMarks",
    "TryRemovals",
    "Unit",
    "ground_of",
]

R = TypeVar("R")

NUMBERS = 3
"""Raised by one whenever a result of a unit changes for the same key."""


PACKAGES = ("leap-audit", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-gpu", "torch")
"""The packages whose versions can change a number."""


@dataclass(frozen=True)
class Ground:
    """What all units of an audit have in common: the model, and what computes on it."""

    model: str
    """See `Model.digest`."""
    provider: str
    threads: int
    batch: int
    """Pictures that the model is shown together where it is only asked."""
    versions: dict[str, str]
    numbers: int = NUMBERS


def ground_of(model: Model, threads: int, batch: int) -> Ground:
    """Return the ground of all units on a model. batch: see `Ground`."""
    versions = installed(PACKAGES if model.outside is not None else PACKAGES[:-1])
    return Ground(model.digest, model.provider.name, threads, batch, versions)


@dataclass(frozen=True, eq=False)
class Unit(Generic[R]):
    """One piece of work. Two units are the same where their keys are."""

    ground: Ground
    noun: ClassVar[str]
    """What it computes, in the plural."""

    @cached_property
    def key(self) -> str:
        """Return the digest of all that determines the result."""
        return digest(self)

    @property
    def steps(self) -> int:
        """Return how far the unit advances the count of its stage."""
        return 0

    @property
    def title(self) -> str:
        """Return what is computed, in words."""
        return self.noun


@dataclass(frozen=True, eq=False)
class Predict(Unit["Predicted"]):
    """Show the model a batch of pictures. Result: `Predicted`."""

    noun = "answers to pictures"

    pictures: tuple[Array, ...]
    """(channels, height, width) in 0..1 each."""
    where: Array | None = None
    """How much each place of a map counts, (places,), together 1; None: all the same."""
    box: BoxSides | None = None
    """Of a detector, where its rows count for the classes' scores; None: anywhere."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What the model says of a batch of pictures."""

    answers: tuple[Summary, ...]
    logits: Array
    """(pictures, classes), averaged over the places of a map that were asked about."""
    features: Array
    """(pictures, features): what pictures are compared by, the penultimate features, or the logits
    where the last step is not linear."""
    objects: tuple[tuple[DetectedBox, ...], ...] = ()
    """What a detector finds in each; its logits are those of the row where each class has most."""


@dataclass(frozen=True, eq=False)
class Reread(Unit[tuple[Readings, ...]]):
    """Show photographs under other preprocessings. Result: a tuple of at most one `Readings`."""

    noun = "answers under other preprocessings"

    pictures: tuple[Array, ...]
    known: tuple[int | None, ...]
    """The class that each is known to show."""


@dataclass(frozen=True, eq=False)
class Draw(Unit[tuple[Drawn, ...]]):
    """Make the prototypes of one batch of requests. Result: a tuple of `Drawn`, with their pictures
    on the 8-bit levels of their PNGs."""

    noun = "prototypes"

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

    @property
    def title(self) -> str:
        return f"{self.noun} of {_classes(k for each in self.requests for k in each.target)}"


@dataclass(frozen=True, eq=False)
class Compare(Unit[Shared]):
    """Compare classes by their gradients on a prototype. Result: `Shared`."""

    noun = "gradients on a prototype"

    picture: Array
    target: tuple[int, ...]
    classes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Locate(Unit["tuple[Located, ...]"]):
    """Ask where in each of a batch of pictures classes are said. Result: a tuple of `Located`."""

    noun = "places of classes"

    pictures: tuple[Array, ...]
    classes: tuple[tuple[int, ...], ...]
    """Those asked about, of each picture."""
    rows: tuple[tuple[int, ...], ...] = ()
    """Of a detector, the row of each; empty: that in which the class has most."""


@dataclass(frozen=True, eq=False)
class Located:
    """How the classes of one picture are to be isolated."""

    sharpness: float
    """See `Subject.sharpness`."""
    where: tuple[Array, ...]
    """See `Subject.where`, of each class."""
    logits: tuple[float, ...]
    """Of each class, averaged over the places; of a detection, of its row."""
    boxes: tuple[BoxSides, ...] = ()
    """See `Subject.box`, of each class of a detector."""


@dataclass(frozen=True, eq=False)
class Isolate(Unit[tuple[Region, ...]]):
    """Isolate the subjects of one batch. Result: a tuple of `Region`."""

    noun = "isolations"

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

    @property
    def title(self) -> str:
        return f"{self.noun} of {_classes(each.class_ for each in self.subjects)}"


@dataclass(frozen=True, eq=False)
class Asked(Unit[R]):
    """A unit that asks an attribution method about the subjects of one batch."""

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
class Explain(Asked[tuple[Explanation, ...]]):
    """Explain the subjects of one batch by a method. Result: a tuple of `Explanation`."""

    noun = "attributions"


@dataclass(frozen=True, eq=False)
class Opine(Asked[tuple[Opined | None, ...]]):
    """Ask a method for a second opinion on the subjects of one batch.

    Result: a tuple of `Opined`, None where the method has nothing to say.
    """

    noun = "second opinions"

    checked: tuple[bool, ...]
    """Of which subjects it is checked what the map depends on."""


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

    @cached_property
    def digest(self) -> str:
        """Return the digest of its content, which takes long."""
        return digest(self)


NO_SUPPLY = Supply((), (), (), ())


@dataclass(frozen=True, eq=False)
class Supplied(Unit[R]):
    """A unit that shares its pictures with others."""

    supply: Supply

    @cached_property
    def key(self) -> str:
        """Return the digest of all that determines the result."""
        return digest([replace(self, supply=NO_SUPPLY), self.supply.digest])


@dataclass(frozen=True, eq=False)
class TryMarks(Supplied[Tried]):
    """Try marks of one class, and search for a trigger of it. Result: `Tried`."""

    noun = "experiments"

    options: ExperimentOptions
    seed: int
    class_: int

    @property
    def steps(self) -> int:
        return class_work(self.options)

    @property
    def title(self) -> str:
        return f"{self.noun} on {_classes([self.class_])}"


@dataclass(frozen=True, eq=False)
class TryChanges(Supplied[tuple[Trial, ...]]):
    """Change whole pictures and see towards which class. Result: a tuple of `Trial`."""

    noun = "changes of pictures"

    options: ExperimentOptions
    seed: int
    classes: tuple[int, ...]

    @property
    def steps(self) -> int:
        return len(CHANGES) * self.options.hosts


@dataclass(frozen=True, eq=False)
class TryContext(Supplied[Tried]):
    """Try what stands beside a detector's objects of one class. Result: `Tried`."""

    noun = "surroundings of objects"

    options: ExperimentOptions
    seed: int
    class_: int

    @property
    def steps(self) -> int:
        return 1

    @property
    def title(self) -> str:
        return f"{self.noun} of {_classes([self.class_])}"


@dataclass(frozen=True, eq=False)
class TryRemovals(Supplied[tuple[Trial, ...]]):
    """Change whole pictures and see which detections are lost. Result: a tuple of `Trial`."""

    noun = "changes of pictures of objects"

    options: ExperimentOptions
    seed: int
    classes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TryCoincidences(Supplied[tuple[Coincidence, ...]]):
    """Try whether detections at one place are of one object. Result: a tuple of `Coincidence`."""

    noun = "detections at one place"


@dataclass(frozen=True, eq=False)
class TryBackgrounds(Unit[tuple[Trial, ...]]):
    """Put subjects before other backgrounds. Result: a tuple of `Trial`."""

    noun = "changes of backgrounds"

    pictures: tuple[Array, ...]
    rankings: tuple[Array, ...]
    """Of each picture for its answer; see `Region.ranking`."""
    answers: tuple[int, ...]
    classes: tuple[int, ...]
    most: int
    """Composites of a class."""
    seed: int


def _classes(several: Iterable[int]) -> str:
    numbers = sorted(set(several))
    return f"{'class' if len(numbers) == 1 else 'classes'} {', '.join(map(str, numbers))}"
