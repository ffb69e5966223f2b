"""What runs on a Ray worker: a loaded model, and the unit of work at hand."""

import os
import pickle
import socket
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from leap_audit.errors import LeapAuditError, LessOptimised
from leap_audit.ingest.model import Model
from leap_audit.installed import installed
from leap_audit.pipeline.units import Ground, Supplied, Supply, Unit
from leap_audit.pipeline.work import Loaded, perform

__all__ = ["Facts", "Performed", "Stopped", "Worker"]


class Stopped(Exception):
    """Nobody waits for the unit any more."""


@dataclass(frozen=True)
class Facts:
    """What a worker says of itself when it starts."""

    host: str
    process: int
    spread: float
    """The spread of the model's logits (see `Loaded.spread`): where it differs in its last bit
    between two machines, so do the results of units."""


@dataclass(frozen=True, eq=False)
class Performed:
    """The result of a unit, and the warnings on the way to it."""

    result: object
    warned: tuple[str, ...] = ()
    """The sentences of LessOptimised."""


class Worker:
    """A model that is loaded once, and computes one unit after the other.

    Its methods are called from two threads: `steps` and `stop` while `perform` is at work.
    """

    def __init__(self, model: Model, ground: Ground) -> None:
        self._loaded = Loaded(model, ground)
        self._key = self._unwanted = ""
        self._steps = 0

    def start(self, seed: int) -> Facts:
        """Load the model, and return what the worker says of itself.

        Raises LeapAuditError: other versions than the driver's are installed here, or the model
        cannot be loaded.
        """
        wanted = self._loaded.ground.versions
        here = installed(wanted)
        differing = [name for name in wanted if here.get(name) != wanted[name]]
        if differing:
            raise LeapAuditError(
                f"it has {_listed(differing, here)}, and the audit needs "
                f"{_listed(differing, wanted)}"
            )
        return Facts(socket.gethostname(), os.getpid(), self._loaded.spread(seed))

    def perform(self, unit: Unit[Any], key: str, supply: Supply | None = None) -> bytes:
        """Return the `Performed` of a unit, pickled.

        Pickled here, so that its arrays are the driver's own and none of Ray's memory.
        key: that of the unit, which takes long to compute where it is large.
        supply: of the unit; sent once for several.
        """
        self._key, self._steps = key, 0
        if supply is not None and isinstance(unit, Supplied):
            unit = replace(unit, supply=supply)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LessOptimised)
            result = perform(unit, self._loaded, self._advance)
        said = [str(each.message) for each in caught if issubclass(each.category, LessOptimised)]
        return pickle.dumps(Performed(result, tuple(said)), protocol=5)

    def steps(self, key: str) -> int:
        """Return how far a unit has come; 0 where it is not the one at hand."""
        return self._steps if key == self._key else 0

    def stop(self, key: str) -> None:
        """Give up a unit at its next step."""
        self._unwanted = key

    def _advance(self, items: int = 1) -> None:
        self._steps += items
        if self._unwanted == self._key:
            raise Stopped


def _listed(names: list[str], versions: Mapping[str, str]) -> str:
    each = [f"{name} {versions[name]}" if name in versions else f"no {name}" for name in names]
    return ", ".join(each)
