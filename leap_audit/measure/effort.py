"""How much work an audit is: a recipe for each effort, and what is left out in less time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from leap_audit.config import AuditOptions, Effort, Options
from leap_audit.tables import layered
from leap_audit.text.numbers import count

__all__ = [
    "LADDER",
    "OF_VECTORS",
    "Rung",
    "changed_amounts",
    "declared_paths",
    "first_rung",
    "with_rung",
]


@dataclass(frozen=True)
class Rung:
    """What decides how long an audit takes. A lower rung of the ladder is never more work."""

    seeds: int
    top_classes: int
    steps: int
    """Of each prototype."""
    isolation_steps: int
    per_prototype: int
    """Isolations of each prototype."""
    search_steps: int | None = None
    """Of the search for a trigger of each class; None: as many as suit the input."""
    hosts: int = 36
    """Pictures that each experiment pastes into."""
    views: int | None = None
    """None: as many as suit the input (`prototype.settings`)."""
    second_opinions: tuple[str, ...] | None = None
    """None: those that suit the model."""
    changed: int = 48
    """Of an encoder, the pictures that changes are tried on."""
    pairs: int = 3
    """Of an encoder, the pairs of pictures of which it is asked what makes them alike."""
    name: Effort | None = None


_LESS: dict[str, Any] = {"second_opinions": (), "changed": 24, "pairs": 0}
LADDER = (
    Rung(5, 5, 384, 96, 5, name="full"),
    Rung(3, 3, 192, 48, 3, name="standard"),
    Rung(2, 3, 192, 48, 3),
    Rung(2, 2, 192, 48, 2),
    Rung(1, 2, 192, 48, 2, pairs=2),
    Rung(1, 1, 192, 48, 1, pairs=1),
    Rung(1, 1, 192, 48, 1, 0, pairs=1),
    Rung(1, 1, 128, 32, 1, 0, hosts=18, **_LESS, name="quick"),
    Rung(1, 1, 128, 32, 1, 0, hosts=18, views=1, **_LESS),
    Rung(1, 1, 128, 32, 0, 0, hosts=18, views=1, **_LESS),
    Rung(1, 1, 96, 32, 0, 0, hosts=12, views=1, **_LESS | {"changed": 16}),
    Rung(1, 1, 64, 24, 0, 0, hosts=6, views=1, **_LESS | {"changed": 8}),
)
"""From the most work to the least. What says least for its time goes first: further seeds, then
further isolations, the search for triggers, then second opinions, steps and experiments, then
views."""
PATHS = {
    "seeds": ("seeds",),
    "top_classes": ("top_classes",),
    "steps": ("prototype", "steps"),
    "isolation_steps": ("isolation", "steps"),
    "per_prototype": ("isolation", "per_prototype"),
    "hosts": ("experiments", "hosts"),
    "search_steps": ("experiments", "search_steps"),
    "views": ("prototype", "views"),
    "second_opinions": ("second_opinions",),
    "changed": ("vectors", "changed"),
    "pairs": ("vectors", "pairs"),
}
"""Field of a rung -> the option that it sets."""
OF_VECTORS = frozenset({PATHS["changed"], PATHS["pairs"]})
"""The options that matter to encoders alone."""


def first_rung(effort: Effort | None) -> int:
    """Return the place on the ladder of an effort; None is the standard."""
    names = [rung.name for rung in LADDER]
    return names.index(effort or "standard")


def declared_paths(options: Options) -> frozenset[tuple[str, ...]]:
    """Return where options are set that somebody declared; no effort and no time changes these."""
    return frozenset(_declared(options))


def _declared(options: Options) -> Iterator[tuple[str, ...]]:
    for name in options.model_fields_set:
        value = getattr(options, name)
        if isinstance(value, Options):
            yield from ((name, *rest) for rest in _declared(value))
        elif value is not None:
            yield (name,)


def with_rung(
    options: AuditOptions, rung: Rung, declared: frozenset[tuple[str, ...]]
) -> AuditOptions:
    """Return the options with those of a rung, but for those that are declared."""
    table: dict[str, Any] = {}
    for field, path in PATHS.items():
        value = getattr(rung, field)
        if path not in declared and value is not None:
            *groups, name = path
            inner: dict[str, Any] = {name: value}
            for group in reversed(groups):
                inner = {group: inner}
            table = layered(table, inner)
    return _updated(options, table)


Some = TypeVar("Some", bound=Options)


def _updated(options: Some, table: dict[str, Any]) -> Some:
    changed = {
        name: _updated(getattr(options, name), value) if isinstance(value, dict) else value
        for name, value in table.items()
    }
    return options.model_copy(update=changed)


def changed_amounts(options: AuditOptions, others: AuditOptions) -> tuple[str, ...]:
    """Return where `options` are more or less work than others, each as 'x instead of y'."""
    prototype, isolation, experiments = options.prototype, options.isolation, options.experiments
    amounts = (
        (options.seeds, others.seeds, "seed", ""),
        (options.top_classes, others.top_classes, "answer", "explained in a photograph"),
        (
            isolation.per_prototype,
            others.isolation.per_prototype,
            "isolation",
            "of a prototype",
        ),
        (prototype.steps, others.prototype.steps, "step", "of a prototype"),
        (prototype.views, others.prototype.views, "view", "in a step of a prototype"),
        (isolation.steps, others.isolation.steps, "step", "of an isolation"),
        (experiments.hosts, others.experiments.hosts, "picture", "in an experiment"),
        (
            experiments.search_steps,
            others.experiments.search_steps,
            "step",
            "of a search for a trigger",
        ),
        (_opinions(options), _opinions(others), "second opinion", "on a photograph"),
        (options.vectors.changed, others.vectors.changed, "picture", "that changes are tried on"),
        (options.vectors.pairs, others.vectors.pairs, "pair", "of near pictures explained"),
    )
    return tuple(
        f"{_counted(here, noun, where)} instead of {there}"
        for here, there, noun, where in amounts
        if here is not None and here != there
    )


def _opinions(options: AuditOptions) -> int | None:
    return None if options.second_opinions is None else len(options.second_opinions)


def _counted(number: int, noun: str, where: str) -> str:
    return f"{count(number, noun) if number else f'no {noun}'} {where}".rstrip()
