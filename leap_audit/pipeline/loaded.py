"""A model ready to compute on, what all units on it have in common, and its searches."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from leap_audit.config import IsolationOptions, PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.installed import installed
from leap_audit.measure.isolation.optimise import RankingSearch
from leap_audit.measure.isolation.ranking import best_ranking, slopes_of
from leap_audit.measure.isolation.region import Region, read_region
from leap_audit.measure.plan import logit_spread
from leap_audit.measure.prototype import PrototypeSearch
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.pipeline.plain import digest
from leap_audit.run.session import Array

__all__ = [
    "Ground",
    "Loaded",
    "ground_of",
    "prototype_search",
    "ranking_search",
    "read_isolation",
]

NUMBERS = 2
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


@dataclass
class Loaded:
    """A model ready to compute on: graphs are loaded when first needed, and kept.

    What it keeps follows from the model and the arguments alone and changes no result.
    """

    model: Model
    ground: Ground
    _kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)

    @cached_property
    def run(self) -> Run:
        """Return the model, run on pictures."""
        return Run(self.model, self.ground.batch, self.ground.threads)

    def spread(self, seed: int) -> float:
        """Return the standard deviation of the logits over random pictures."""
        found = self.kept(lambda: logit_spread(self.run, seed), "spread", seed)
        assert isinstance(found, float)
        return found

    def kept(self, make: Callable[[], Any], *key: Any) -> Any:
        """Return what `make` makes, made once for each key."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


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
    return read_region(run, subject, ranking, options.enough)
