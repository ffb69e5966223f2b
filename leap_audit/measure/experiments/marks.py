"""Marks: what one class's pictures may carry, as a change that can be pasted and erased.

A mark is taken from pictures that the model answers with a class (its carriers). Pasted into
pictures of other classes it shows whether it alone calls up the class; erased from the carriers it
shows whether the answer needs it. Each kind is a way for a shortcut to be in a picture: a region at
one place or anywhere, a frame, a pattern over the whole picture, its colours, its fine detail.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import MarkKind
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = [
    "FRAME",
    "Box",
    "Mark",
    "colour_mark",
    "detail_mark",
    "frame_mark",
    "moved_mark",
    "pattern_mark",
    "region_mark",
]

FRAME = 1 / 16
"""Width of a frame, as a fraction of the short side."""
DETAIL = 1 / 32
"""Standard deviation of the blur that takes fine detail away, as a fraction of the short side."""
COARSE = 1 / 16
"""The same of the blur that leaves of a picture what a pattern is laid over."""
FILL = 20 / 224
"""The same of the blur that stands for "covered"."""
LEAST_VARIANCE = 1e-5
"""Added to the variance of a colour: a grey picture has none."""

Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels."""
Change = Callable[[Array], Array]
"""Pictures (n, channels, height, width) in 0..1 -> changed copies of them."""


@dataclass(frozen=True)
class Mark:
    """Something that pictures of a class may carry."""

    kind: MarkKind
    paste: Change
    """Put it into pictures of other classes."""
    erase: Change
    """Take it out of pictures that carry it."""
    area: float
    """The fraction of a picture that it covers, 0..1."""
    box: Box | None = None
    """Where it lies, of a region."""


def region_mark(picture: Array, box: Box) -> Mark:
    """Return the region of a picture inside a box, pasted at the same place."""
    top, left, height, width = box
    rows, columns = slice(top, top + height), slice(left, left + width)

    def paste(pictures: Array) -> Array:
        changed = pictures.copy()
        changed[:, :, rows, columns] = picture[:, rows, columns]
        return changed

    return Mark("region", paste, lambda p: covered(p, box), _area(picture, box), box)


def moved_mark(picture: Array, box: Box, rng: np.random.Generator) -> Mark:
    """Return the region of a picture inside a box, pasted at random places."""
    top, left, height, width = box
    part = picture[:, top : top + height, left : left + width]
    seed = int(rng.integers(2**31))

    def paste(pictures: Array) -> Array:
        places, changed = np.random.default_rng(seed), pictures.copy()
        for each in changed:
            y = int(places.integers(0, each.shape[1] - height + 1))
            x = int(places.integers(0, each.shape[2] - width + 1))
            each[:, y : y + height, x : x + width] = part
        return changed

    return Mark("moved region", paste, lambda p: covered(p, box), _area(picture, box), box)


def covered(pictures: Array, box: Box) -> Array:
    """Return pictures with the inside of a box replaced by what surrounds it, blurred.

    What the box holds is left out of the blur, so that nothing of it shines through.
    """
    top, left, height, width = box
    outside = np.ones(pictures.shape[2:], np.float32)
    outside[top : top + height, left : left + width] = 0
    return np.where(outside > 0, pictures, _filled(pictures, outside))


def frame_mark(picture: Array) -> Mark:
    """Return the outer frame of a picture."""
    inside = _inside(picture.shape[1:])
    return Mark(
        "frame",
        lambda pictures: np.where(inside, pictures, picture),
        lambda pictures: np.where(inside, pictures, _filled(pictures, inside.astype(np.float32))),
        1 - float(inside.mean()),
    )


def pattern_mark(carriers: Array, others: Array) -> Mark:
    """Return what carriers have in common beside their coarse shapes, and others have not.

    The mean of each pixel's difference from the blurred picture: shapes that differ from picture
    to picture average out, a pattern that lies at one place on all of them stays.
    """
    pattern = _residue(carriers, COARSE).mean(0) - _residue(others, COARSE).mean(0)
    return Mark(
        "pattern",
        lambda pictures: np.clip(pictures + pattern, 0, 1),
        lambda pictures: np.clip(pictures - pattern, 0, 1),
        1.0,
    )


def colour_mark(picture: Array, others: Array) -> Mark:
    """Return the mean and the covariance of a picture's colours.

    Moved by the linear map that transports one Gaussian to the other (Pitié and Kokaram 2007). On
    one channel: its brightness and contrast. Erased: those of other pictures instead.
    """
    mean, covariance = _colours(picture)
    every = [_colours(each) for each in others]
    usual = np.mean([m for m, _ in every], axis=0), np.mean([c for _, c in every], axis=0)
    return Mark(
        "colour",
        lambda pictures: _recoloured(pictures, mean, covariance),
        lambda pictures: _recoloured(pictures, *usual),
        1.0,
    )


def detail_mark(picture: Array, others: Array, seed: int) -> Mark:
    """Return the fine detail of a picture: noise, grain, grids, or that there is none.

    With the phases of noise (seed): of a large picture the detail draws the object itself.
    """
    own = _residue(picture[None], DETAIL)
    theirs = _residue(others[:1], DETAIL)
    return Mark(
        "detail",
        lambda pictures: np.clip(_blurred(pictures, DETAIL) + _scattered(own, seed), 0, 1),
        lambda pictures: np.clip(_blurred(pictures, DETAIL) + _scattered(theirs, seed), 0, 1),
        1.0,
    )


def _scattered(detail: Array, seed: int) -> Array:
    """Detail of the same spectrum that lies elsewhere, (1, channels, height, width)."""
    noise = np.random.default_rng(seed).standard_normal(detail.shape[2:])
    phases = np.exp(1j * np.angle(np.fft.fft2(noise)))
    return np.asarray(np.fft.ifft2(np.fft.fft2(detail) * phases).real, np.float32)


def _area(picture: Array, box: Box) -> float:
    _, height, width = picture.shape
    return float(box[2] * box[3] / (height * width))


def _inside(size: tuple[int, ...]) -> Array:
    """What a frame leaves, (height, width) bool."""
    inside = np.ones(size, bool)
    width = max(1, round(FRAME * min(size)))
    inside[:width] = inside[-width:] = False
    inside[:, :width] = inside[:, -width:] = False
    return inside


def _blurred(pictures: Array, sigma: float) -> Array:
    height, width = pictures.shape[2:]
    pixels = sigma * min(height, width)
    return np.asarray(blur_matrix(height, pixels) @ pictures @ blur_matrix(width, pixels).T)


def _residue(pictures: Array, sigma: float) -> Array:
    return np.asarray(pictures - _blurred(pictures, sigma))


def _filled(pictures: Array, outside: Array) -> Array:
    """A blur of what is outside alone, everywhere; outside: (height, width), 1 or 0."""
    weights = _blurred(outside[None, None], FILL)[0, 0]
    mean = (pictures * outside).sum((2, 3), keepdims=True) / max(float(outside.sum()), 1.0)
    far = weights < 1e-3
    blur = _blurred(pictures * outside, FILL) / np.where(far, 1, weights)
    return np.asarray(np.where(far, mean, blur), np.float32)


def _colours(picture: Array) -> tuple[Array, Array]:
    """The mean, (channels,), and covariance of a picture's colours."""
    flat = np.asarray(picture.reshape(len(picture), -1), np.float64)
    shifted = flat - flat.mean(1, keepdims=True)
    return flat.mean(1), shifted @ shifted.T / flat.shape[1]


def _recoloured(pictures: Array, mean: Array, covariance: Array) -> Array:
    """Pictures with this mean and covariance of their colours, cut to 0..1."""
    changed = []
    for each in pictures:
        own_mean, own = _colours(each)
        own = own + LEAST_VARIANCE * np.eye(len(own))
        root = _root(own)
        back = np.linalg.inv(root)
        matrix = back @ _root(root @ covariance @ root) @ back
        flat = each.reshape(len(each), -1) - own_mean[:, None]
        changed.append((matrix @ flat + mean[:, None]).reshape(each.shape))
    return np.asarray(np.clip(np.stack(changed), 0, 1), np.float32)


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T)
