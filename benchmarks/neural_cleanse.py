"""Neural Cleanse as published: a mask and a pattern a class, and how small the mask is.

Wang et al. 2019: minimise the cross-entropy of the class on pictures under (1 - mask) picture +
mask pattern, plus a weight times the mask's L1 norm; the weight rises while nearly all pictures
are turned and falls where too few are. A class is suspect by how many deviations (1.48 times the
median absolute one) its norm lies below the median. The paper takes an index from 2 for an outlier.
"""

from dataclasses import dataclass

import numpy as np

from leap_audit.measure.run import PICTURE, Run
from leap_audit.run.session import Array

__all__ = ["anomalies", "mask_norm"]

STEPS, BATCH, RATE = 120, 16, 0.1
BETAS = (0.5, 0.9)
"""Of Adam, as in the authors' code."""
WEIGHT, FACTOR, PATIENCE = 1e-3, 1.5, 5
"""Of the norm at first, what it is multiplied or divided by, after so many steps of one kind."""
TURNED = 0.99
"""Share of pictures that counts as all."""


@dataclass
class _Adam:
    """Adam on one array of numbers."""

    value: Array
    mean: Array
    square: Array

    def step(self, slope: Array, t: int) -> None:
        first, second = BETAS
        self.mean = first * self.mean + (1 - first) * slope
        self.square = second * self.square + (1 - second) * slope**2
        mean, square = self.mean / (1 - first**t), self.square / (1 - second**t)
        self.value = self.value - RATE * mean / (np.sqrt(square) + 1e-8)


def _adam(value: Array) -> _Adam:
    return _Adam(value, np.zeros_like(value), np.zeros_like(value))


def mask_norm(
    run: Run, class_: int, pictures: Array, rng: np.random.Generator, steps: int = STEPS
) -> float:
    """Return the least L1 norm of a mask that turned nearly all pictures of a batch, in pixels.

    pictures: (n, channels, height, width) in 0..1, of all classes. All pixels where none did.
    """
    channels, height, width = pictures.shape[1:]
    mask = _adam(rng.normal(0, 0.1, (1, 1, height, width)))
    pattern = _adam(rng.normal(0, 0.1, (1, channels, height, width)))
    weight, best, runs = WEIGHT, float(height * width), [0, 0]
    batch = min(BATCH, len(pictures))
    for t in range(1, steps + 1):
        shown = pictures[rng.choice(len(pictures), batch, replace=False)]
        m, p = (np.tanh(each.value) / 2 + 0.5 for each in (mask, pattern))
        marked = ((1 - m) * shown + m * p).astype(np.float32)
        logits = run.logits(marked)
        turned = float((logits.argmax(1) == class_).mean())
        norm = float(m.sum())
        if turned >= TURNED:
            best = min(best, norm)
        probs = np.exp(logits - logits.max(1, keepdims=True))
        probs /= probs.sum(1, keepdims=True)
        probs[:, class_] -= 1
        cotangent = (probs / batch)[:, :, None].astype(np.float32)
        slope = run.gradient(marked, cotangent)[PICTURE]
        by_mask = (slope * (p - shown)).sum((0, 1))[None, None] + weight
        by_pattern = (slope * m).sum(0, keepdims=True)
        mask.step(by_mask * 2 * m * (1 - m), t)
        pattern.step(by_pattern * 2 * p * (1 - p), t)
        runs = [runs[0] + 1, 0] if turned >= TURNED else [0, runs[1] + 1]
        if max(runs) >= PATIENCE:
            weight = weight * FACTOR if runs[0] else weight / FACTOR
            runs = [0, 0]
    return best


def anomalies(norms: Array) -> Array:
    """Return by how many deviations each norm lies below the median, (classes,)."""
    centre = np.median(norms)
    deviation = 1.4826 * np.median(np.abs(norms - centre))
    return np.asarray((centre - norms) / max(float(deviation), 1e-12))
