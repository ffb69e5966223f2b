"""The search for a trigger of one class, and its trial on pictures that the search did not see."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import Trial
from leap_audit.config import ExperimentOptions
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.carry import TriedMark, with_host
from leap_audit.measure.experiments.material import HOSTS_NEEDED, Materials, answers_of
from leap_audit.measure.experiments.search import MARK_AREAS, Trigger, half_area, search_trigger
from leap_audit.measure.experiments.trials import trial_of
from leap_audit.measure.run import Run

__all__ = ["Sought", "seek"]

HELD_OUT = 4
"""One in so many pictures is kept from the search."""
SPREAD = 0.2
"""A mask whose pixels deviate from their centre by less than this is said to be at one place."""


@dataclass(frozen=True, eq=False)
class Sought:
    """A trigger, and how little of it is enough."""

    mark: TriedMark
    half: float
    """The area at which it turns half of the pictures, 0..1; see `half_area`."""


def seek(
    run: Run,
    class_: int,
    given: Materials,
    options: ExperimentOptions,
    *,
    seed: int,
    advance: Callable[[int], None],
) -> Sought | None:
    """Return the smallest trigger of a class; None where there are too few pictures of others."""
    target = given.hosts(class_)
    others = target.others(class_, options.hosts)
    if len(others) < HOSTS_NEEDED or not options.search_steps:
        return None
    others = generator(seed, "search pictures", class_).permutation(others)
    held = len(others) // HELD_OUT
    trigger = search_trigger(
        run,
        class_,
        target.pictures[others[held:]],
        steps=options.search_steps,
        batch=options.search_pictures or 1,
        seed=seed,
        advance=advance,
    )
    every, test = target.pictures[others], target.pictures[others[:held]]
    flips = [
        float((answers_of(run, trigger.pasted(every, area)) == class_).mean())
        for area in MARK_AREAS
    ]
    half = half_area(flips)
    # Tried at the next area that is listed: where it is good, not where it is on the edge.
    area = next((a for a in MARK_AREAS if a >= half), MARK_AREAS[-1])
    trial, pasted = _tried(run, trigger, area, test)
    inside = trigger.inside(area)
    found = TriedMark("trigger", area, _place(inside), target.tried_on, trial)
    return Sought(with_host(run, found, test, pasted, class_), half)


def _tried(run: Run, trigger: Trigger, area: float, test: np.ndarray) -> tuple[Trial, np.ndarray]:
    """The trigger on pictures; control: the same mask with its pattern upside down."""
    pasted = trigger.pasted(test, area)
    turned = Trigger(trigger.class_, trigger.scores, 1 - trigger.pattern)
    changed = answers_of(run, pasted) == trigger.class_
    control = answers_of(run, turned.pasted(test, area)) == trigger.class_
    return trial_of(trigger.class_, "search", "trigger", changed, control), pasted


def _place(inside: np.ndarray) -> tuple[float, float] | None:
    """The centre of a mask as fractions, (down, right); None where it is spread out."""
    y, x = np.nonzero(inside)
    height, width = inside.shape
    down, right = (y + 0.5) / height, (x + 0.5) / width
    if max(down.std(), right.std()) > SPREAD:
        return None
    return float(down.mean()), float(right.mean())
