"""What a network shows of itself before its prototypes are made: whether its logits saturate."""

import numpy as np

from leap_audit.config import PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.measure.prototype.middle import has_a_middle
from leap_audit.measure.prototype.settings import SMALL, settled
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["contrast_growth", "settled_for"]

CELLS = 7
"""Squares along each side of the pictures that are shown."""
PICTURES = 4
MANY = 100
"""Classes, from which a logit may be standardised over them: of few, each counts for too much."""


def settled_for(options: PrototypeOptions, model: Model, threads: int = 0) -> PrototypeOptions:
    """Return the options with nothing left open for this model.

    Scenes in colour are shown to it where the objective depends on how its logits grow.
    Raises ConfigRefused: see `settled`.
    """
    channels, *sides = model.picture_shape
    mapped = has_a_middle(model.answer)
    scenes = channels == 3 and min(sides) >= SMALL and model.classes >= MANY and not mapped
    asked = scenes and options.objective is None
    return settled(
        options,
        model.picture_shape,
        batchable=model.batchable,
        mapped=mapped,
        growth=contrast_growth(Run(model, 1, threads)) if asked else 1.0,
    )


def contrast_growth(run: Run) -> float:
    """Return the factor by which the spread of the logits grows with twice the contrast.

    Over pictures of random squares: 2 for a network that is linear in its picture, 1 for one that
    saturates or normalises.
    """
    full = _squares(run.model.picture_shape)
    wide, narrow = (_spread(run.logits(each)) for each in (full, 0.25 + full / 2))
    return wide / max(narrow, 1e-9)


def _squares(shape: tuple[int, int, int]) -> Array:
    """Pictures, (PICTURES, channels, height, width) in 0..1."""
    channels, height, width = shape
    cells = np.random.default_rng(0).random((PICTURES, channels, CELLS, CELLS), np.float32)
    rows, columns = (np.arange(n) * CELLS // n for n in (height, width))
    return cells[:, :, rows][:, :, :, columns]


def _spread(logits: Array) -> float:
    return float(np.std(np.asarray(logits, np.float64), axis=1).mean())
