"""The experiments of an audit: on one class, on whole pictures, and what they come to together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from leap_audit.artifacts import SearchKind, Trial, TriggerSize
from leap_audit.config import ExperimentOptions
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.carry import MARK_TRIALS, TriedMark, carry
from leap_audit.measure.experiments.changes import CHANGES
from leap_audit.measure.experiments.material import Materials, answers_of, evenly
from leap_audit.measure.experiments.score import beside, depth_score, is_confirmed, worth
from leap_audit.measure.experiments.seek import Sought, seek, seek_work
from leap_audit.measure.experiments.sizes import SIZE_SCALES, outlying
from leap_audit.measure.experiments.trials import corrected, trial_of
from leap_audit.measure.run import Run

__all__ = ["Settled", "Tried", "class_work", "depths_of", "settle", "try_changes", "try_class"]

SEARCHED = 0.6
"""What a trigger counts beside what photographs of the class carry: it is made for its effect."""
SUSPECT = 0.5
"""The score from which a trigger, or a mark of a prototype, may be confirmed."""


@dataclass(frozen=True, eq=False)
class Tried:
    """What was tried of one class."""

    class_: int
    trials: tuple[Trial, ...]
    carried: TriedMark | None
    """Of the marks that pictures of the class carry, the one that speaks most for a shortcut."""
    sought: tuple[Sought, ...]
    """A trigger of each kind."""


@dataclass(frozen=True, eq=False)
class Settled:
    """What the experiments come to for one class, all trials corrected."""

    class_: int
    score: float
    confirmed: bool
    mark: TriedMark | None
    triggers: tuple[TriggerSize, ...] = ()


def class_work(options: ExperimentOptions) -> int:
    """Return how many passes the experiments on one class take, about, for its progress."""
    return MARK_TRIALS * options.hosts + seek_work(options)


def try_class(
    run: Run,
    class_: int,
    given: Materials,
    options: ExperimentOptions,
    *,
    seed: int,
    advance: Callable[[int], None],
) -> Tried:
    """Return what marks of a class and a search for a trigger do.

    advance: called with how many passes were made, `class_work(options)` in all.
    """
    left = class_work(options)

    def counted(passes: int) -> None:
        nonlocal left
        left -= passes
        advance(passes)

    trials, carried = carry(run, class_, given, options, seed, counted)
    sought = seek(run, class_, given, options, seed=seed, advance=counted)
    advance(left)  # of what could not be tried
    return Tried(class_, (*trials, *(each.mark.pasted for each in sought)), carried, sought)


def try_changes(
    run: Run,
    given: Materials,
    classes: Sequence[int],
    options: ExperimentOptions,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Trial, ...]:
    """Return a trial of each change of whole pictures, of the class that gains most by it.

    advance: called once for each of CHANGES with the number of pictures that are looked at.
    Control: the pictures as they are, of which none is answered with the class.
    """
    material = given.photographs if len(given.photographs.answers) else given.faint
    keep = evenly(np.arange(len(material.answers)), options.hosts)
    pictures, before = material.pictures[keep], material.answers[keep]
    trials = []
    for i, change in enumerate(CHANGES):
        advance(options.hosts)
        if not len(keep) or (change.coloured and pictures.shape[1] != 3):
            continue
        shown = np.clip(change.applied(pictures, generator(seed, "change", i)), 0, 1)
        after = answers_of(run, shown)
        gains = {k: (after[before != k] == k).mean() for k in classes if (before != k).any()}
        if not gains:
            continue
        class_ = max(gains, key=lambda k: float(gains[k]))
        changed = after[before != class_] == class_
        trials.append(trial_of(class_, "global", change.name, changed, np.zeros_like(changed)))
    return tuple(trials)


def settle(tried: Sequence[Tried], others: Sequence[Trial]) -> tuple[list[Settled], list[Trial]]:
    """Return what all of it comes to for each class, and every trial, corrected over all.

    others: trials that are not of one class's marks.
    """
    every = corrected([*(t for each in tried for t in each.trials), *others])
    q = {trial.p: trial.q for trial in every}  # equal probabilities have equal corrections
    depths = depths_of(tried)
    settled = []
    for each in tried:
        value = 0.0 if each.carried is None else _carried_worth(each.carried, tried)
        found = depths[each.class_]
        sizes = tuple(
            TriggerSize(kind=s.kind, size=s.half, deviations=found[s.kind]) for s in each.sought
        )
        settled.append(replace(_settled(each, value, found, q), triggers=sizes))
    return settled, every


def _carried_worth(mark: TriedMark, tried: Sequence[Tried]) -> float:
    """What pasting a mark speaks for a shortcut; of prototypes, beside those of other classes."""
    effect = mark.pasted.effect
    if mark.tried_on == "prototypes":
        others = [
            trial.effect
            for each in tried
            for trial in each.trials
            if (trial.experiment, trial.kind) == ("paste", mark.kind)
            and trial.class_ != mark.pasted.class_
        ]
        effect = beside(effect, others)
    return worth(mark.kind, effect, mark.tried_on)


def depths_of(tried: Sequence[Tried]) -> dict[int, dict[SearchKind, float]]:
    """Return for each class and kind of trigger how far its size lies below that of the others."""
    found: dict[int, dict[SearchKind, float]] = {each.class_: {} for each in tried}
    for kind, scale in SIZE_SCALES.items():
        several = [(t.class_, s.half) for t in tried for s in t.sought if s.kind == kind]
        depths = outlying([half for _, half in several], scale.usual)
        for (class_, _), depth in zip(several, depths, strict=True):
            found[class_][kind] = depth
    return found


def _settled(
    tried: Tried, value: float, depths: dict[SearchKind, float], q: dict[float, float]
) -> Settled:
    """What comes of one class. value: what its own mark is worth."""
    carried = tried.carried
    several: list[tuple[float, TriedMark]] = []
    if carried is not None:
        several.append((value, carried))
    less = SEARCHED if carried is not None and carried.tried_on == "photographs" else 1.0
    several += [(less * depth_score(depths[each.kind]), each.mark) for each in tried.sought]
    if not several:
        return Settled(tried.class_, 0.0, False, None)
    marks = [(weight, _corrected(mark, q)) for weight, mark in several]
    # What is confirmed is shown, though a trigger that is not may weigh more.
    agrees, _, mark = max(
        ((_agrees(mark, weight), weight, mark) for weight, mark in marks), key=lambda each: each[:2]
    )
    return Settled(tried.class_, max(weight for weight, _ in several), agrees, mark)


def _agrees(mark: TriedMark, weight: float) -> bool:
    """Whether an experiment confirms a mark whose q is corrected."""
    if mark.tried_on == "prototypes" or mark.kind in SIZE_SCALES:
        return weight >= SUSPECT and is_confirmed(mark.pasted, mark.covered)
    return is_confirmed(mark.pasted, mark.covered)


def _corrected(mark: TriedMark, q: dict[float, float]) -> TriedMark:
    pasted = mark.pasted.model_copy(update={"q": q[mark.pasted.p]})
    covered = mark.covered
    if covered is not None:
        covered = covered.model_copy(update={"q": q[covered.p]})
    return replace(mark, pasted=pasted, covered=covered)
