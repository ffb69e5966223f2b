"""Where a class's score hangs on the pixels: SmoothGrad (Smilkov et al. 2017), squared, blurred."""

import numpy as np

from leap_audit.gradient import Emitter, backpropagate
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.run import place_scores, session_of
from leap_audit.measure.smooth import blur_matrix
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

__all__ = ["Sensitivity"]

COPIES, NOISE = 16, 0.15
"""Noisy copies, and the noise's deviation as a share of the picture's own range."""
SMOOTHING = 16 / 224
"""Standard deviation of the blur, as a fraction of the short side."""


class Sensitivity:
    """The mean square slope of a class's score at each pixel, over noisy copies of a picture.

    smoothing: the width of its blur, relative to SMOOTHING.
    """

    def __init__(self, model: Model, batch: int, threads: int, smoothing: float = 1.0) -> None:
        self._batch, self._smoothing = min(batch, COPIES), smoothing
        op = Emitter(new_graph(), "sensitivity")
        picture = new_input(op.graph, "picture", (self._batch, *model.picture_shape))
        scores = place_scores(op, model, picture)
        self._shape = static_shape(scores)
        cotangent = new_input(op.graph, "cotangent", self._shape)
        (slope,) = backpropagate(op, {scores: cotangent}, [picture])
        op.graph.outputs.append(op.ReduceSum(op.Mul(slope, slope), [0, 1], keepdims=0))
        self._session = session_of(model, op.graph, threads)

    def __call__(self, subject: Subject, seed: int) -> Array:
        """Return (height, width), 0 or more: the higher, the more the score hangs on the pixel."""
        picture = np.asarray(subject.picture, np.float32)
        key = (content_key(picture), subject.class_)
        rng = generator(seed, "isolation sensitivity", *key)
        spread = np.float32(NOISE * np.ptp(picture))
        cotangent = np.zeros(self._shape, np.float32)
        cotangent[:, subject.class_] = subject.where
        total = np.zeros(picture.shape[1:], np.float64)
        for _ in range(-(-COPIES // self._batch)):
            noise = rng.standard_normal((self._batch, *picture.shape), np.float32)
            given = {"picture": picture + spread * noise, "cotangent": cotangent}
            total += self._session.run(given)[0]
        height, width = picture.shape[1:]
        blur = SMOOTHING * self._smoothing * min(height, width)
        return np.asarray(blur_matrix(height, blur) @ total @ blur_matrix(width, blur).T)
