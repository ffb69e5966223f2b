"""Pictures to experiment on where there are no photographs.

A prototype shows its class far more strongly than any photograph, and a flat fill shows nothing.
So prototypes are laid, as weakly as still convinces the model, over random scenes: overlapping
shapes with the spectrum and the colours of natural pictures (dead leaves, Lee, Mumford and Huang
2001). Then a change has to overcome about as much evidence on every network.
"""

import functools
from collections.abc import Callable

import numpy as np

from leap_audit.measure.prototype.image import COLOUR_ROOT
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = ["faint", "scenes", "shifted"]

CONVINCED = 0.9
"""Probability of its class from which a faint prototype is taken."""
STRENGTHS = tuple(i / 10 for i in range(1, 11))
"""How much of the prototype there is, the rest is scene."""
SHAPES = (4, 14)
MOVED = 0.15
"""Of the side: how far a shifted prototype lies from where it was, at most."""
STEEPNESS = 1.2
"""Of the spectrum of textures: amplitude 1 / frequency to this power."""


def scenes(count: int, shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Return random scenes, (count, channels, height, width) in 0..1.

    shape: of one. Of other than three channels each has its own textures.
    """
    return np.array([_scene(shape, rng) for _ in range(count)]).reshape(-1, *shape)


def faint(
    prototypes: Array,
    classes: Array,
    backgrounds: Array,
    probabilities: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """Return prototypes laid over scenes as weakly as the model still answers their class.

    classes: of each prototype; probabilities: pictures -> (n, classes). Returns the pictures, and
    the class of each: fewer than the prototypes where the model answers with another class at
    full strength. Where no strength convinces, the full one if the class is the first answer.
    """
    pictures, kept = [], []
    for prototype, class_, scene in zip(prototypes, classes, backgrounds, strict=True):
        several = np.stack([s * prototype + (1 - s) * scene for s in STRENGTHS])
        probs = probabilities(several.astype(np.float32))
        sure = np.flatnonzero(probs[:, class_] >= CONVINCED)
        first = np.flatnonzero(probs.argmax(1) == class_)
        if len(sure) or len(first):
            pictures.append(several[sure[0] if len(sure) else first[-1]])
            kept.append(class_)
    if not pictures:
        return np.zeros((0, *prototypes.shape[1:]), np.float32), np.zeros(0, np.int64)
    return np.stack(pictures).astype(np.float32), np.asarray(kept, np.int64)


def shifted(prototypes: Array, rng: np.random.Generator) -> Array:
    """Return prototypes moved down and to the right, or back, by random distances.

    What leaves the picture is lost; what comes in repeats the border.
    """
    changed = np.empty_like(prototypes)
    height, width = prototypes.shape[2:]
    for each, prototype in zip(changed, prototypes, strict=True):
        down, right = (round(n * rng.uniform(-MOVED, MOVED)) for n in (height, width))
        rows = np.clip(np.arange(height) - down, 0, height - 1)
        columns = np.clip(np.arange(width) - right, 0, width - 1)
        each[:] = prototype[:, rows][:, :, columns]
    return changed


def _scene(shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    _, height, width = shape
    short = min(height, width)
    y, x = np.mgrid[:height, :width]
    picture = 0.5 + 0.22 * _texture(shape, rng)
    for _ in range(int(rng.integers(*SHAPES))):
        size = short * (0.06 + 0.45 * rng.random() ** 2)
        dy, dx = y - rng.uniform(0, height), x - rng.uniform(0, width)
        angle = rng.uniform(0, np.pi)
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / rng.uniform(0.4, 1)
        round_ = rng.random() < 0.6
        distance = np.hypot(along, across) if round_ else np.maximum(abs(along), abs(across))
        light = dy / short * rng.uniform(-0.4, 0.4)
        colour = 0.5 + 0.28 * _colour(shape[0], rng)
        surface = colour + light + rng.uniform(0.02, 0.12) * _texture(shape, rng)
        picture = np.where(distance < size, surface, picture)
    sharpness = rng.uniform(0.3, 0.7) * short / 32
    soft = blur_matrix(height, sharpness) @ picture @ blur_matrix(width, sharpness).T
    return np.asarray(np.clip(soft, 0, 1), np.float32)


def _texture(shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Noise with a spectrum of natural pictures, of mean 0 and deviation about 1."""
    channels, height, width = shape
    waves = np.fft.rfft2(rng.standard_normal(shape)) * _spectrum(height, width)
    noise = np.fft.irfft2(waves, (height, width))
    noise /= noise.std((1, 2), keepdims=True) + 1e-12
    return np.tensordot(_root(channels), noise, 1)


@functools.lru_cache(maxsize=4)  # a scene has up to fourteen textures of the same size
def _spectrum(height: int, width: int) -> Array:
    """How strong each frequency of a texture is, (height, width // 2 + 1): half of them do."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    return np.asarray(frequency**-STEEPNESS)


def _colour(channels: int, rng: np.random.Generator) -> Array:
    return np.reshape(_root(channels) @ rng.standard_normal(channels), (-1, 1, 1))


def _root(channels: int) -> Array:
    if channels != 3:
        return np.eye(channels)
    return np.asarray(COLOUR_ROOT / np.linalg.norm(COLOUR_ROOT, axis=0).max())
