"""What a model's scores mean: its probabilities, and what it says of a picture.

Scores are (classes, places): one column for a picture that gets one answer, or one for each place
of a map. Classes either share 100 % at each place (a softmax), or each has its own probability
(a sigmoid). Where the model gives probabilities and no scores ("given"), the score is the
logarithm, and a probability the model's own, whatever they add up to. Everything that asks "how
probable" asks here.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Probabilities
from leap_audit.gradient import Emitter
from leap_audit.run.session import Array

__all__ = ["Answer", "answer_of", "log_probabilities", "probabilities", "steepness", "where_said"]

SAID = 0.5
"""A class with a probability of its own is said from here on."""


@dataclass(frozen=True)
class Answer:
    """What the model says of one picture."""

    probs: Array
    """(classes,) in 0..1, averaged over the places."""
    shares: Array
    """(classes,) the fraction of the places where the class is said."""


def log_probabilities(op: Emitter, scores: ir.Value, how: Probabilities) -> ir.Value:
    """Append log p of every class at every place, shaped like `scores`: (n, classes, places).

    Of given probabilities too as shares of 100 %, which scores that were multiplied need.
    """
    if how == "sigmoid":
        return op.Neg(op.Softplus(op.Neg(scores)))
    return op.LogSoftmax(scores, axis=1)


def probabilities(scores: Array, how: Probabilities) -> Array:
    """Return the probability of every class at every place, in float64.

    scores: (classes, places), or (n, classes, places).
    """
    wide = np.asarray(scores, np.float64)
    if how == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0, -wide)))
    if how == "given":
        return np.asarray(np.exp(wide))
    exponentials = np.exp(wide - wide.max(-2, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-2, keepdims=True))


def answer_of(scores: Array, how: Probabilities) -> Answer:
    """Return what the scores of one picture, (classes, places), say of it."""
    probs = probabilities(scores, how)
    return Answer(probs.mean(1), _said(scores, probs, how).mean(1))


def where_said(scores: Array, class_: int, how: Probabilities) -> Array:
    """Return weights of the places, (places,), which add up to 1.

    Equal ones where the class is said, nothing elsewhere; equal ones everywhere if it is said
    nowhere.
    """
    said = _said(scores, probabilities(scores, how), how)[class_]
    chosen = said if said.any() else np.ones_like(said)
    return np.asarray(chosen / chosen.sum(), np.float32)


def steepness(scores: Array, how: Probabilities) -> float:
    """Return how far the scores of one picture reach, in units of the logit.

    With a softmax, how far the first class stands above the median, averaged over the places;
    with sigmoids, the largest score of either sign.
    """
    wide = np.asarray(scores, np.float64)
    if how == "sigmoid":
        return float(np.abs(wide).max())
    return float((wide.max(0) - np.median(wide, axis=0)).mean())


def _said(scores: Array, probs: Array, how: Probabilities) -> Array:
    """Which class is said at which place, (classes, places)."""
    if how == "sigmoid":
        return probs >= SAID
    return np.asarray(np.arange(len(scores))[:, None] == scores.argmax(0))
