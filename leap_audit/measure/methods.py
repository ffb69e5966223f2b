"""The registry of measurements: one entry a method, from which everything about it is made.

    class SaliencyOptions(Options):
        copies: int = Field(default=16, ge=1)
        \"\"\"Noisy copies of the picture.\"\"\"

    @method("saliency", options=SaliencyOptions, kind="attribution", needs=(GRADIENT,), ...)
    def saliency(run, subjects, options, *, seed):
        \"\"\"Yield for each subject ...\"\"\"

The command line, docs/options.md, the fields of audit.json, the method page of the report and the
parametrised tests read this registry; there is no second list (docs/adding-a-method.md).
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol, TypeVar

from leap_audit.config import Options
from leap_audit.errors import ConfigRefused
from leap_audit.ingest.model import Model
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array
from leap_audit.text.names import did_you_mean

__all__ = [
    "BATCH_OF_TWO",
    "GRADIENT",
    "KINDS",
    "METHODS",
    "PHOTOGRAPHS",
    "Attribute",
    "Explanation",
    "Kind",
    "Method",
    "Need",
    "NoOptions",
    "Setting",
    "Traits",
    "chosen_attributions",
    "load_methods",
    "method",
    "require",
]

Kind = Literal["prototype", "comparison", "region", "experiment", "attribution"]
KINDS: dict[Kind, str] = {
    "prototype": "an input made for a class",
    "comparison": "a comparison of classes",
    "region": "the part of a picture that carries a class",
    "experiment": "a change of pictures that the model is asked about",
    "attribution": "a map of the pixels that a class's score depends on",
}


@dataclass(frozen=True)
class Need:
    """A property of the model or of the audit that a method cannot do without."""

    name: str
    unmet: Callable[[Model], str] = lambda _: ""
    """Model -> why it lacks this, as a sentence; empty where it does not."""


GRADIENT = Need("gradient")
"""The gradient of a score with respect to the picture; every model that is audited has one."""
PHOTOGRAPHS = Need("photographs")
BATCH_OF_TWO = Need(
    "batch of two",
    lambda model: (
        ""
        if model.batchable
        else "it compares two pictures at a time, and this model takes one; export it with a free "
        "batch dimension"
    ),
)


class NoOptions(Options):
    """A method without options."""


@dataclass(frozen=True)
class Setting:
    """What a method ran with beside its options, for its entry on the method page."""

    seed: int = 0
    seeds: int = 1
    """Prototypes of each target."""
    spread: float = 1.0
    """Standard deviation of the logits over random pictures."""
    linear: bool = True
    """Whether the last step of the model is linear."""


@dataclass(frozen=True)
class Explanation:
    """What an attribution method says of one subject."""

    values: Array
    """(height, width), float: the map, in the method's own units; signed where the method is."""
    figures: dict[str, float] = field(default_factory=dict)
    """Name -> number, such as how far the map is from adding up to the score."""
    detail: Array | None = None
    """What the method computes before it is made one number a pixel: for each channel of the
    picture or of the tensor `at`, (channels, rows, columns), or a map of fewer places than the
    picture has pixels, (rows, columns); None: the map itself."""
    at: str = ""
    """The tensor inside the model that was looked at, in words; empty: the picture."""


@dataclass(frozen=True)
class Traits:
    """What holds for an attribution: what its tests require, and what its page says."""

    formula: str = ""
    complete: Literal["", "difference", "score"] = ""
    """What its numbers add up to: the score less that of the baseline, or the score itself."""
    shortcut: bool = True
    """Whether its map must lie on a shortcut that the model takes."""
    classes: bool = True
    """Whether its map depends on the class; where not, it is a control for others."""
    advice: str = ""
    """When to use it, and when not."""
    peers: Mapping[str, str] = field(default_factory=dict)
    """Another library -> what it is called there."""
    caution: str = ""
    """What whoever uses it must decide first, such as about patents."""


class Attribute(Protocol):
    """The function of an attribution method."""

    def __call__(
        self,
        run: Run,
        subjects: Sequence[Subject],
        options: Any,
        *,
        seed: int,
    ) -> Iterator[Explanation]:
        """Yield one explanation per subject, in their order.

        An explanation depends on its subject, the options and the seed, never on the other
        subjects. `run.batch` pictures fit the memory together.
        """


Describe = Callable[[Any, Setting], dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """A measurement, and everything that is said of it anywhere."""

    name: str
    kind: Kind
    summary: str
    """What it gives, in one line."""
    options: type[Options]
    function: Callable[..., Any]
    """Of the kind attribution: an `Attribute`."""
    needs: tuple[Need, ...]
    source: str
    """The papers it is after."""
    cost: str
    """In passes of the model, in words."""
    check: str
    """What in the audit says how far to trust it."""
    version: int
    """Raised by one whenever its numbers change; finished work of another version is not used."""
    traits: Traits
    describe: Describe
    """(options, setting) -> its entry on the method page: what was done, and with which figures."""

    @property
    def title(self) -> str:
        """Return the name in words."""
        return self.name.replace("_", " ")

    def unmet(self, model: Model) -> str:
        """Return why the model lacks something that the method needs; empty where it does not."""
        return next((why for need in self.needs if (why := need.unmet(model))), "")

    def require_of(self, model: Model) -> None:
        """Raise ConfigRefused where the model lacks something that the method needs."""
        if why := self.unmet(model):
            raise ConfigRefused(f"methods: {self.name} cannot run on this model: {why}.")


METHODS: dict[str, Method] = {}
"""Name -> method, as they were entered; `load_methods` fills and orders it."""
Function = TypeVar("Function", bound=Callable[..., Any])


def method(
    name: str,
    *,
    kind: Kind,
    source: str,
    summary: str = "",
    options: type[Options] = NoOptions,
    needs: tuple[Need, ...] = (),
    cost: str = "",
    check: str = "",
    version: int = 1,
    traits: Traits | None = None,
    describe: Describe | None = None,
) -> Callable[[Function], Function]:
    """Return a decorator that enters a function as the method `name`.

    summary: what it gives, in one line; without it the first line of the function's docstring.
    describe: makes the entry on the method page; None writes the summary, the source, the options
    and the check. Raises ValueError: the name is taken.
    """

    def enter(function: Function) -> Function:
        if name in METHODS:
            raise ValueError(f"two methods are called {name!r}")
        made = Method(
            name,
            kind,
            summary or (inspect.getdoc(function) or "").split("\n")[0],
            options,
            function,
            needs,
            source,
            cost,
            check,
            version,
            traits or Traits(),
            describe or (lambda chosen, setting: _described(made, chosen, setting)),
        )
        METHODS[name] = made
        return function

    return enter


def _described(made: Method, options: Options, setting: Setting) -> dict[str, Any]:
    """The entry of a method that writes none of its own."""
    values = options.model_dump(mode="json")
    said = {name.replace("_", " "): value for name, value in values.items()}
    entry = {"method": made.summary, "source": made.source, **said, "seed": setting.seed}
    return entry | ({"check": made.check} if made.check else {})


def load_methods() -> Mapping[str, Method]:
    """Return the registry, after importing every module of `leap_audit.measure`.

    In the order of KINDS, and of their names.
    """
    _import_measurements()
    order = list(KINDS)
    methods = sorted(METHODS.values(), key=lambda each: (order.index(each.kind), each.name))
    return {each.name: each for each in methods}


@cache
def _import_measurements() -> None:
    package = importlib.import_module("leap_audit.measure")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)


def require(name: str, kind: Kind | None = None) -> Method:
    """Return the method called `name`. Raises ConfigRefused: there is none, or of another kind."""
    methods = load_methods()
    fitting = [each for each in methods.values() if kind in (None, each.kind)]
    if (found := methods.get(name)) in fitting and found is not None:
        return found
    names = [each.name for each in fitting]
    hint = did_you_mean(name, names)
    reason = f"is no {kind or ''} method".replace("  ", " ")
    if found is not None:
        reason = f"is {KINDS[found.kind]}, which every audit has, and no {kind} method"
    raise ConfigRefused(f"methods: {name!r} {reason}{hint} `leap-audit methods` lists them.")


def chosen_attributions(
    names: Iterable[str], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[Method, Options]]:
    """Return name -> (method, its options) of the attribution methods that are named.

    options: name of a method -> those of its options that are set. Raises ConfigRefused: an
    unknown method or option, or options of a method that is not among `names`.
    """
    wanted = dict.fromkeys(names)
    for name in options:
        if name not in wanted:
            raise ConfigRefused(
                f"method_options: {name!r} is not among the methods of this audit; add it to "
                "methods."
            )
    chosen = {}
    for name in wanted:
        found = require(name, "attribution")
        values = dict(options.get(name, {}))
        chosen[name] = (found, found.options.parse(values, f"method_options.{name}"))
    return chosen
