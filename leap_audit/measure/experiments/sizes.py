"""How large a trigger must be, as one figure that classes and networks are compared by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import SearchKind

__all__ = [
    "FILTER_SIZES",
    "MASK_AREAS",
    "SIZE_SCALES",
    "Scale",
    "half_size",
    "outlying",
    "shares_turned",
]

MASK_AREAS = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Areas at which masks are judged, as fractions of a picture."""
FILTER_SIZES = (0.02, 0.04, 0.08, 0.16, 0.32)
"""Sizes at which filters are judged: the root mean square of what they change, in 0..1."""
LEAST_SPREAD, MOST_SPREAD = 0.3, 0.4
"""The least deviation of the logarithms among classes (few may be alike by chance), and the most
(classes that no trigger turns widen it)."""
FEW = 4
"""Classes below which the usual size of clean networks stands for that of the others."""


@dataclass(frozen=True)
class Scale:
    """What sizes a kind of trigger is judged at, and its usual size."""

    sizes: tuple[float, ...]
    """Rising by a factor of two."""
    usual: float
    """About the size that clean classes need, chosen on the networks of docs/experiments.md."""

    @property
    def usual_place(self) -> int:
        """The place of the largest size at which no clean class is turned, usually."""
        return max(i for i, size in enumerate(self.sizes) if size <= self.usual)

    @property
    def never(self) -> float:
        """The size of a trigger that does not turn half of the pictures at the largest one."""
        return 2 * self.sizes[-1]


SIZE_SCALES: Mapping[SearchKind, Scale] = {
    "trigger": Scale(MASK_AREAS, 0.045),
    "moved trigger": Scale(MASK_AREAS, 0.08),
    "colour map": Scale(FILTER_SIZES, 0.1),
    "convolution": Scale(FILTER_SIZES, 0.1),
}


def shares_turned(share: Callable[[float], float], scale: Scale) -> list[float]:
    """Return what `half_size` needs: the shares turned at sizes up to the first that turns half.

    Shares rise with the size. So the usual size is measured first, then smaller or larger ones,
    as far as half is reached; the shares at sizes that are smaller still count as 0.
    """
    at = scale.usual_place
    known = {at: share(scale.sizes[at])}
    step = -1 if known[at] >= 0.5 else 1
    while 0 <= at + step < len(scale.sizes):
        at += step
        known[at] = share(scale.sizes[at])
        if (known[at] >= 0.5) == (step > 0):
            break
    return [known.get(i, 0.0) for i in range(max(known) + 1)]


def half_size(sizes: Sequence[float], flips: Sequence[float]) -> float:
    """Return the size at which a trigger turns half of the pictures.

    flips: the shares turned at these sizes, at least up to the first that turns half; between two
    sizes the logarithm is interpolated. Twice the largest where half are never turned.
    """
    logs = np.log(np.asarray(sizes))
    best = np.maximum.accumulate(np.asarray(flips, float))
    at = int(np.argmax(best >= 0.5))
    if best[at] < 0.5:
        return 2 * sizes[-1]
    if at == 0:
        return sizes[0] * 2 ** (1 - 2 * float(best[0]))
    share = (0.5 - best[at - 1]) / (best[at] - best[at - 1])
    return float(np.exp(logs[at - 1] + share * (logs[at] - logs[at - 1])))


def outlying(halves: Sequence[float], usual: float) -> list[float]:
    """Return by how many deviations each class's size is an outlier below, in logarithms.

    halves: what `half_size` returned for each class. Below the median of the classes, in 1.48
    times their median absolute deviation, from LEAST_SPREAD to MOST_SPREAD; and below the usual
    size of clean networks, in MOST_SPREAD: the less of the two. Where most triggers are large a
    usual one is no outlier, nor is a small one among its like.
    """
    logs = np.log(np.asarray(halves, float))
    below = (np.log(usual) - logs) / MOST_SPREAD
    if len(logs) < FEW:
        return [float(each) for each in below]
    centre = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - centre)))
    among = (centre - logs) / min(max(spread, LEAST_SPREAD), MOST_SPREAD)
    return [float(each) for each in np.minimum(among, below)]
