"""Subjects before the backgrounds of other pictures: whether the answer follows the background."""

from collections.abc import Sequence

import numpy as np

from leap_audit.artifacts import Trial
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.material import answers_of
from leap_audit.measure.experiments.trials import trial_of
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["SUBJECT", "try_backgrounds"]

SUBJECT = 0.4
"""Of a picture: the part that carries its class most counts as the subject, the rest as background.
"""
LEAST = 4
"""Composites below which a class is not judged."""


def try_backgrounds(
    run: Run,
    pictures: Sequence[Array],
    rankings: Sequence[Array],
    answers: Sequence[int],
    classes: Sequence[int],
    *,
    most: int,
    seed: int,
) -> tuple[Trial, ...]:
    """Return a trial for each class: the subjects of others before its backgrounds.

    rankings: of each picture for its answer, (height, width) uint8, 255 where the class needs the
    pixel first. Changed are composites that get the class of the background's picture. Control: the
    same subjects before backgrounds of pictures with other answers than the two. most: composites
    of a class.
    """
    given = np.asarray(answers)
    trials = []
    for class_ in classes:
        own = np.flatnonzero(given == class_)
        others = np.flatnonzero(given != class_)
        rng = generator(seed, "backgrounds", class_)
        subjects = rng.permutation(others)[:most]
        third = [others[given[others] != given[s]] for s in subjects]
        pairs = [
            (s, rng.choice(own), rng.choice(t))
            for s, t in zip(subjects, third, strict=True)
            if len(own) and len(t)
        ]
        if len(pairs) < LEAST:
            continue
        before = [_before(pictures[s], rankings[s], pictures[b]) for s, b, _ in pairs]
        control = [_before(pictures[s], rankings[s], pictures[c]) for s, _, c in pairs]
        changed = answers_of(run, np.stack(before)) == class_
        plain = answers_of(run, np.stack(control)) == class_
        trials.append(trial_of(class_, "background", "background", changed, plain))
    return tuple(trials)


def _before(picture: Array, ranking: Array, background: Array) -> Array:
    """The subject of a picture before the background of another."""
    subject = ranking >= max(1, np.quantile(ranking, 1 - SUBJECT))
    return np.asarray(np.where(subject, picture, background), np.float32)
