"""What a prototype may be read as saying of every class: the candidates for entanglement."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from leap_audit.measure.entanglement import measure_entanglement, standardised
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["ALONE", "READINGS", "Prototypes"]

ALONE = "weights alone"
"""The reading that needs no prototype, which the others are compared with."""


@dataclass(frozen=True)
class Prototypes:
    """What the network makes of one prototype for each of n classes."""

    classes: Array
    """(n,)"""
    features: Array
    """(n, d), before the last linear layer."""
    weights: Array
    """(all classes, d)"""
    logits: Array
    """(n, all classes)"""
    cosines: Array
    """(n, all classes), as the audit has them."""

    @staticmethod
    def of(classifier: Run, pictures: Array, classes: Array) -> "Prototypes":
        """Look at the pictures. ValueError: the last step of the network is not linear."""
        if classifier.weights is None:
            raise ValueError("the last step of this network is not linear")
        targets = [(int(k),) for k in classes]
        shared, _ = measure_entanglement(classifier, pictures, targets)
        every = range(classifier.model.classes)
        return Prototypes(
            classes,
            np.asarray(classifier.features(pictures), np.float64),
            np.asarray(classifier.weights, np.float64),
            np.asarray(classifier.logits(pictures), np.float64),
            np.array([[each.cosines[k] for k in every] for each in shared]),
        )


def weights_alone(p: Prototypes) -> Array:
    """The cosine of two classes' weights, less the mean of all: no prototype is looked at."""
    centred = p.weights - p.weights.mean(0)
    return unit(centred[p.classes]) @ unit(centred).T


def centred_features(p: Prototypes) -> Array:
    """The cosine of what sets the prototype's features apart from the others' with the weights."""
    n = len(p.features)
    others = (p.features.sum(0) - p.features) / (n - 1)
    return unit(p.features - others) @ unit(p.weights - p.weights.mean(0)).T


def both(p: Prototypes) -> Array:
    """The mean of the two: what the prototype shows of a class, and what its weights say."""
    return (centred_features(p) + weights_alone(p)) / 2


def against_others(table: Array) -> Array:
    """Each entry in deviations from the mean of its column over the other prototypes."""
    rows, columns = table.shape
    return np.array(
        [[standardised(table, i, k) or 0.0 for k in range(columns)] for i in range(rows)]
    )


def unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


READINGS: Mapping[str, Callable[[Prototypes], Array]] = {
    "cosine": lambda p: p.cosines,
    "cosine, standardised": lambda p: against_others(p.cosines),
    "logit": lambda p: p.logits,
    "logit, standardised": lambda p: against_others(p.logits),
    "cosine of centred features": centred_features,
    ALONE: weights_alone,
    "centred features and weights": both,
}
"""Name -> the reading of n prototypes, (n, all classes): the higher, the more is shared."""
