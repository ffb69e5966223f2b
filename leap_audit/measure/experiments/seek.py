"""The searches for triggers of one class, each tried on pictures that the search did not see."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from leap_audit.artifacts import SearchKind
from leap_audit.config import ExperimentOptions
from leap_audit.measure.experiments.carry import Responses, TriedMark, with_hosts
from leap_audit.measure.experiments.filters import search_filter
from leap_audit.measure.experiments.material import HOSTS_NEEDED, Materials, answers_of, evenly
from leap_audit.measure.experiments.search import search_trigger
from leap_audit.measure.experiments.sizes import SIZE_SCALES, half_size, shares_turned
from leap_audit.measure.experiments.trials import trial_of
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["SEARCHES", "Sought", "search_work", "seek", "seek_work", "steps_of"]

JUDGED = 24
"""Pictures that the size of a trigger is judged on: half of them is told from a third, and more
would cost as much as the search itself."""
GRADIENT, SIZES = 3, 5
"""Passes that a step counts for each of its pictures, and trials that a trigger is judged in."""
HOPELESS, FEWEST = 1 / 3, 20
"""A search is given up halfway if even a large trigger, the last but one that is listed, turns a
smaller share of pictures. Of planted ones it turned .79 and more (docs/experiments.md). A search
of fewer steps than these is made to its end."""
REACH = 2
"""Pixels that a convolution looks at in each direction."""


class Candidate(Protocol):
    """What a search returns: a change of pictures, of any size."""

    def applied(self, pictures: Array, size: float) -> Array: ...
    def control(self) -> "Candidate":
        """Return what changes pictures as much, but in another way."""
        ...

    def picture(self, size: float) -> Array: ...
    def area(self, size: float) -> float: ...
    def place(self, size: float) -> tuple[float, float] | None: ...


Search = Callable[..., Candidate]
"""Called as `search_trigger` is, with neither `moved` nor `reach`."""

SEARCHES: dict[SearchKind, tuple[Search, float]] = {
    "trigger": (partial(search_trigger, moved=False), 1.0),
    "moved trigger": (partial(search_trigger, moved=True), 1.0),
    "colour map": (partial(search_filter, reach=0), 0.5),
    "convolution": (partial(search_filter, reach=REACH), 0.5),
}
"""Each kind of trigger: how it is searched, and the share of the steps that it takes. Filters have
few numbers to learn."""


@dataclass(frozen=True, eq=False)
class Sought:
    """A trigger, and how little of it is enough."""

    kind: SearchKind
    mark: TriedMark
    half: float
    """The size at which it turns half of the pictures; see `half_size`."""


def steps_of(options: ExperimentOptions) -> dict[SearchKind, int]:
    """Return how many steps each search takes."""
    most = options.search_steps or 0
    return {kind: math.ceil(share * most) for kind, (_, share) in SEARCHES.items()}


def search_work(options: ExperimentOptions) -> int:
    """Return how many pictures the searches of one class look at, in all their steps."""
    return sum(steps_of(options).values()) * (options.search_pictures or 1)


def seek_work(options: ExperimentOptions) -> int:
    """Return how many passes the searches of one class take, about, for its progress."""
    judging = len(SEARCHES) * SIZES * JUDGED
    return GRADIENT * search_work(options) + judging if options.search_steps else 0


def seek(
    run: Run,
    class_: int,
    given: Materials,
    options: ExperimentOptions,
    *,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[Sought, ...]:
    """Return the smallest trigger of each kind; none where there are too few pictures of others.

    advance: called after each step, and each trigger, with the number of passes; together
    `seek_work(options)`.
    """
    searched, tested = given.searched(class_, options.hosts, seed)
    if len(searched) < HOSTS_NEEDED or not len(tested) or not options.search_steps:
        return ()
    judged = np.concatenate([searched, tested])
    judged = judged[evenly(np.arange(len(judged)), JUDGED)]

    def turned(candidate: Candidate, size: float) -> float:
        return float((answers_of(run, candidate.applied(judged, size)) == class_).mean())

    found = []
    for kind, steps in steps_of(options).items():
        search, _ = SEARCHES[kind]
        scale = SIZE_SCALES[kind]
        candidate = search(
            run,
            class_,
            searched,
            steps=steps,
            batch=options.search_pictures or 1,
            seed=seed,
            advance=lambda pictures: advance(GRADIENT * pictures),
            halfway=partial(_promises, turned, scale.sizes[-2], steps),
        )
        half = half_size(scale.sizes, shares_turned(partial(turned, candidate), scale))
        found.append(_tried(run, class_, kind, candidate, half, tested, given))
        advance(SIZES * JUDGED)
    return tuple(found)


def _promises(
    turned: Callable[[Candidate, float], float], size: float, steps: int, candidate: Candidate
) -> bool:
    """Return whether a search of so many steps is worth its second half."""
    return steps < FEWEST or turned(candidate, size) >= HOPELESS


def _tried(
    run: Run,
    class_: int,
    kind: SearchKind,
    candidate: Candidate,
    half: float,
    tested: Array,
    given: Materials,
) -> Sought:
    """A trigger and its trial; see `Candidate.control`."""
    sizes = SIZE_SCALES[kind].sizes
    # Tried at the next size that is listed: where it is good, not where it is on the edge.
    size = next((each for each in sizes if each >= half), sizes[-1])
    pictures = candidate.applied(tested, size)
    pasted = Responses(pictures, answers_of(run, pictures))
    control = answers_of(run, candidate.control().applied(tested, size)) == class_
    trial = trial_of(class_, "search", kind, pasted.answers == class_, control)
    mark = TriedMark(
        kind,
        candidate.area(size),
        candidate.place(size),
        given.hosts(class_).tried_on,
        trial,
        trigger=candidate.picture(size),
    )
    return Sought(kind, with_hosts(run, mark, tested, pasted, class_), half)
