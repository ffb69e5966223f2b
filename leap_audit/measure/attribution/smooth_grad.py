"""Where a class's score depends on the pixels: SmoothGrad (Smilkov et al. 2017)."""

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from leap_audit.config import Options
from leap_audit.gradient import Emitter, backpropagate
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.measure.draws import content_key, generator
from leap_audit.measure.methods import GRADIENT, Explanation, method
from leap_audit.measure.run import Classifier, place_scores, session_of
from leap_audit.measure.smooth import blur_matrix
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

__all__ = ["Sensitivity", "SmoothGradOptions", "smooth_grad"]

COPIES, NOISE = 16, 0.15
SMOOTHING = 16 / 224


class SmoothGradOptions(Options):
    """How the slopes are averaged."""

    copies: int = Field(default=COPIES, ge=1, le=10_000)
    """Noisy copies of the picture, of which the gradients are averaged. More are made where they
    do not fill the last batch."""
    noise: float = Field(default=NOISE, ge=0, le=10)
    """Standard deviation of the noise, as a share of the picture's own range."""
    squared: bool = True
    """Whether the gradients are squared before the average, which makes the map unsigned."""
    blur: float = Field(default=SMOOTHING, ge=0, le=1)
    """Standard deviation of the blur of the map, as a fraction of the picture's short side."""


@method(
    "smooth_grad",
    kind="attribution",
    options=SmoothGradOptions,
    needs=(GRADIENT,),
    source="Smilkov et al. 2017",
    cost="about 3 passes a copy",
)
def smooth_grad(
    run: Classifier,
    subjects: Sequence[Subject],
    options: SmoothGradOptions,
    *,
    seed: int,
    batch: int,
    threads: int,
) -> Iterator[Explanation]:
    """Mean gradient of the class's score over noisy copies of the picture, squared and blurred."""
    if not subjects:
        return
    slopes = Sensitivity(run.model, batch, threads, options)
    for subject in subjects:
        yield Explanation(slopes(subject, seed) / slopes.copies)


class Sensitivity:
    """The sum of the slopes of a class's score at each pixel, over noisy copies of a picture."""

    def __init__(
        self,
        model: Model,
        batch: int,
        threads: int,
        options: SmoothGradOptions | None = None,
    ) -> None:
        self._options = options or SmoothGradOptions()
        self._batch = min(batch, self._options.copies)
        self._rounds = -(-self._options.copies // self._batch)
        op = Emitter(new_graph(), "sensitivity")
        picture = new_input(op.graph, "picture", (self._batch, *model.picture_shape))
        scores = place_scores(op, model, picture)
        self._shape = static_shape(scores)
        cotangent = new_input(op.graph, "cotangent", self._shape)
        (slope,) = backpropagate(op, {scores: cotangent}, [picture])
        added = op.Mul(slope, slope) if self._options.squared else slope
        op.graph.outputs.append(op.ReduceSum(added, [0, 1], keepdims=0))
        self._session = session_of(model, op.graph, threads)

    @property
    def copies(self) -> int:
        """Return how many copies are added up."""
        return self._rounds * self._batch

    def __call__(self, subject: Subject, seed: int) -> Array:
        """Return (height, width): the larger, the more the score depends on the pixel.

        0 or more where the slopes are squared.
        """
        picture = np.asarray(subject.picture, np.float32)
        key = (content_key(picture), subject.class_)
        rng = generator(seed, "isolation sensitivity", *key)
        spread = np.float32(self._options.noise * np.ptp(picture))
        cotangent = np.zeros(self._shape, np.float32)
        cotangent[:, subject.class_] = subject.where
        total = np.zeros(picture.shape[1:], np.float64)
        for _ in range(self._rounds):
            noise = rng.standard_normal((self._batch, *picture.shape), np.float32)
            inputs = {"picture": picture + spread * noise, "cotangent": cotangent}
            total += self._session.run(inputs)[0]
        height, width = picture.shape[1:]
        blur = self._options.blur * min(height, width)
        return np.asarray(blur_matrix(height, blur) @ total @ blur_matrix(width, blur).T)
