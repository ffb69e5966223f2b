"""What the logits of a network show before its prototypes are made, and what is optimised then."""

from statistics import NormalDist

import numpy as np

from leap_audit.config import PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.measure.prototype.image import COLOUR_ROOT
from leap_audit.measure.prototype.middle import has_a_middle
from leap_audit.measure.prototype.settings import SMALL, settled
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["contrast_growth", "prominence", "settled_for", "stands_out"]

CELLS = 7
"""Squares along each side of the pictures of squares."""
SQUARES, NATURAL = 4, 24
"""Pictures of squares, and pictures with the spectrum of photographs, that are shown."""
MANY = 100
"""Classes, from which a logit may be standardised over them: of few, each counts for too much."""
UNSATURATED = 1.4
"""Growth of the logits with twice the contrast, from which the logit is standardised: SqueezeNet
has 1.66, MobileNetV1, V2 and EfficientNet-Lite0 have 1.04 to 1.12 (docs/prototypes.md)."""
CONTRAST = 0.5
"""Deviation of the logarithm of light to dark in pictures with the spectrum of photographs."""
PROMINENT = 1.45
"""Prominence of the highest logit, from which the logit is standardised: MobileNetV2 has 1.67 and
EfficientNet-Lite0 1.79, MobileNetV1 has 1.24 and SqueezeNet 1.28 (docs/prototypes.md)."""


def settled_for(options: PrototypeOptions, model: Model, threads: int = 0) -> PrototypeOptions:
    """Return the options with nothing left open for this model.

    Scenes in colour are shown to it where the objective depends on how its logits behave.
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
        standardise=asked and stands_out(Run(model, 1, threads)),
    )


def stands_out(run: Run) -> bool:
    """Return whether a class is told better by its logit in deviations from the others' mean.

    Of a network that does not saturate, the highest logit is that of the highest contrast. Of one
    whose logits are nearly equal but for one, the highest logit is reached by raising many others
    too, as no photograph does. Else classes that are alike rise together on photographs as well,
    and to hold the others back would take away what they share.
    """
    return contrast_growth(run) >= UNSATURATED or prominence(run) >= PROMINENT


def contrast_growth(run: Run) -> float:
    """Return the factor by which the spread of the logits grows with twice the contrast.

    Over pictures of random squares: 2 for a network that is linear in its picture, 1 for one that
    saturates or normalises.
    """
    full = _squares(run.model.picture_shape)
    wide, narrow = (_spread(run.logits(each)) for each in (full, 0.25 + full / 2))
    return wide / max(narrow, 1e-9)


def prominence(run: Run) -> float:
    """Return how far the highest logit lies above the mean, beside the highest of normal numbers.

    In deviations of the logits over classes, on average over pictures with the spectrum and the
    colours of photographs; 1 where logits are as so many numbers of a normal distribution.
    """
    logits = np.asarray(run.logits(_natural(run.model.picture_shape)), np.float64)
    deviation = np.maximum(logits.std(1), 1e-9)
    highest = (logits.max(1) - logits.mean(1)) / deviation
    # Blom 1958: the expected highest of so many normal numbers
    usual = NormalDist().inv_cdf((logits.shape[1] - 0.375) / (logits.shape[1] + 0.25))
    return float(highest.mean() / usual)


def _squares(shape: tuple[int, int, int]) -> Array:
    """Pictures, (SQUARES, channels, height, width) in 0..1."""
    channels, height, width = shape
    cells = np.random.default_rng(0).random((SQUARES, channels, CELLS, CELLS), np.float32)
    rows, columns = (np.arange(n) * CELLS // n for n in (height, width))
    return cells[:, :, rows][:, :, :, columns]


def _natural(shape: tuple[int, int, int]) -> Array:
    """Pictures in colour, (NATURAL, 3, height, width) in 0..1, of random phases under 1/f."""
    _, height, width = shape
    y, x = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * width
    drawn = np.random.default_rng(0).standard_normal((2, NATURAL, 3, height, width // 2 + 1))
    waves = (drawn[0] + 1j * drawn[1]) / np.maximum(np.hypot(y, x), 1)
    planes = np.fft.irfft2(waves, s=(height, width))
    coloured = np.einsum("dc,nchw->ndhw", COLOUR_ROOT, planes)
    each = (1, 2, 3)
    centred = coloured - coloured.mean(each, keepdims=True)
    scaled = CONTRAST * centred / centred.std(each, keepdims=True)
    return np.asarray(1 / (1 + np.exp(-scaled)), np.float32)


def _spread(logits: Array) -> float:
    return float(np.std(np.asarray(logits, np.float64), axis=1).mean())
