"""Class overlap: which other classes pictures of a class will be confused with.

Two readings of it, each a cosine: what sets a prototype's features apart from those of the other
classes' prototypes, with the class's weights; and the two classes' weights alone, which need no
prototype. Their mean foretells the confusion on photographs better than either
(benchmarks/entanglement.py). Weights are less their mean over all classes, because what all
classes share tells none apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.entanglement import cosines_of
from leap_audit.run.session import Array

__all__ = ["LEAST_OTHERS", "OVERLAP", "Overlap", "class_overlaps"]

OVERLAP = (
    "mean of two cosines with the class's weights: of what sets the prototype's features apart "
    "from those of the other targets' prototypes, averaged over seeds, and of the target's own "
    "weights; all weights less their mean"
)
LEAST_OTHERS = 3
"""Other targets with a prototype, below which nothing can be taken for what all of them share."""
OF_FEATURES = 0.5
"""Weight of the prototypes' features; the rest is that of the classes' weights."""


@dataclass(frozen=True)
class Overlap:
    """What one target shares with every class."""

    weights: Array
    """(classes,): the cosine of the classes' weights alone, -1..1."""
    combined: Array | None
    """(classes,): its mean with the cosine of the prototype's features, -1..1; None where fewer
    than `LEAST_OTHERS` other targets have prototypes."""

    def strongest(self, target: Sequence[int], most: int) -> list[int]:
        """Return the classes that share most with the target, itself left out, the first first.

        None at all where nothing was combined.
        """
        if self.combined is None:
            return []
        order = np.argsort(-self.combined, kind="stable")
        return [int(k) for k in order if k not in target][:most]


def class_overlaps(
    features: Sequence[Array], targets: Sequence[tuple[int, ...]], weights: Array
) -> list[Overlap]:
    """Return the overlap of each target.

    features: (seeds, features) before the final linear layer, of each target's prototypes;
    weights: (classes, features) of that layer. The same target may come several times.
    """
    centred = np.asarray(weights, np.float64) - np.mean(weights, axis=0, dtype=np.float64)
    found = []
    for own, target in zip(features, targets, strict=True):
        unit = centred[list(target)]
        unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
        alone = cosines_of(unit.mean(0)[None], centred)[0]
        others = {t: f for f, t in zip(features, targets, strict=True) if t != target}
        if len(others) < LEAST_OTHERS:
            found.append(Overlap(alone, None))
            continue
        common = np.mean([f.mean(0, dtype=np.float64) for f in others.values()], axis=0)
        shown = cosines_of(np.asarray(own, np.float64) - common, centred).mean(0)
        found.append(Overlap(alone, OF_FEATURES * shown + (1 - OF_FEATURES) * alone))
    return found
