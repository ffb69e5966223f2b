"""Baselines: pictures without content, which attributions compare a picture with."""

from typing import Literal, TypeAlias

import numpy as np

from leap_audit.ingest.model import Model
from leap_audit.measure.smooth import blur_matrix
from leap_audit.measure.subject import Subject
from leap_audit.run.session import Array

__all__ = ["Baseline", "baseline", "baselines", "model_zero"]

Baseline: TypeAlias = Literal["zero", "black", "white", "grey", "mean", "blur"]
BLUR = 1 / 12
"""Standard deviation of the blur, as a fraction of the height."""


def baselines(model: Model, subject: Subject, names: tuple[Baseline, ...]) -> Array:
    """Return the baselines of a subject, (m, channels, height, width) in 0..1."""
    if subject.baselines is not None:
        return np.asarray(subject.baselines, np.float32)
    return np.stack([baseline(model, subject.picture, name) for name in names])


def baseline(model: Model, picture: Array, name: Baseline) -> Array:
    """Return one baseline, (channels, height, width) float32.

    zero: what the preprocessing makes zeros of, usually the mean colour of the training data.
    grey: 0.5. mean: the picture's mean colour. blur: the picture, blurred by height/12.
    """
    picture = np.asarray(picture, np.float32)
    if name == "blur":
        height, width = picture.shape[1:]
        rows, columns = blur_matrix(height, BLUR * height), blur_matrix(width, BLUR * height)
        return np.asarray(rows @ picture @ columns.T, np.float32)
    if name == "mean":
        colour = picture.mean((1, 2), keepdims=True)
    elif name == "zero":
        colour = model_zero(model)
    else:
        colour = np.full((len(picture), 1, 1), {"black": 0.0, "grey": 0.5, "white": 1.0}[name])
    return np.array(np.broadcast_to(colour, picture.shape), np.float32)


def model_zero(model: Model) -> Array:
    """Return the colour that the preprocessing makes zeros of, (channels, 1, 1)."""
    preprocessing = model.preprocessing
    low, high = preprocessing.range
    colour = (np.asarray(preprocessing.mean, np.float64) - low) / (high - low)
    if preprocessing.channel_order == "BGR":
        colour = colour[::-1]
    return np.asarray(colour[:, None, None], np.float32)
