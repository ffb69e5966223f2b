"""The statistics of an experiment: pictures that changed, beside a control on the same pictures."""

from collections.abc import Sequence

import numpy as np

from leap_audit.artifacts import Experiment, Trial
from leap_audit.run.session import Array
from leap_audit.statistics import benjamini_hochberg, sign_test, wilson

__all__ = ["corrected", "trial_of"]


def trial_of(
    class_: int, experiment: Experiment, kind: str, changed: Array, control: Array
) -> Trial:
    """Return a trial of what happened on n pictures, uncorrected (q = p).

    changed, control: (n,) bool, of the same pictures in the same order. The interval of the
    difference is Newcombe's (1998, method 10 without its correlation): that of two shares by
    Wilson, a little wide for pairs.
    """
    n = len(changed)
    hits, misses = int(changed.sum()), int(control.sum())
    p = sign_test(int((changed & ~control).sum()), int((control & ~changed).sum()))
    effect = (hits - misses) / n
    (low1, high1), (low2, high2) = wilson(hits, n), wilson(misses, n)
    below = float(np.hypot(hits / n - low1, high2 - misses / n))
    above = float(np.hypot(high1 - hits / n, misses / n - low2))
    return Trial(
        class_=class_,
        experiment=experiment,
        kind=kind,
        pictures=n,
        changed=hits,
        control=misses,
        effect=effect,
        low=max(-1.0, effect - below),
        high=min(1.0, effect + above),
        p=p,
        q=p,
    )


def corrected(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with q corrected over all of them."""
    qs = benjamini_hochberg([trial.p for trial in trials])
    return [trial.model_copy(update={"q": q}) for trial, q in zip(trials, qs, strict=True)]
