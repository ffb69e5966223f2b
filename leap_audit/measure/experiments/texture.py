"""The texture of a class's pictures: what they hold more of, or less, at each frequency.

A grain, a grid or waves that lie elsewhere in each picture have no place and no pattern in common,
and neither has a blur. Their power spectrum has. Pasted is a texture of that spectrum with random
phases (Galerne, Gousseau and Morel 2011), and what the class's pictures lack is taken away.
"""

import numpy as np

from leap_audit.measure.experiments.marks import Mark
from leap_audit.run.session import Array

__all__ = ["texture_mark"]

FACTOR = 2.0
"""How many times the power of others counts as more, and its inverse as less: of few pictures the
power at one frequency is off by about a third."""
COARSE = 2.5
"""Cycles in a picture up to which power belongs to its shapes and colours."""


def texture_mark(carriers: Array, others: Array, seed: int) -> Mark:
    """Return what the spectrum of carriers has more of than that of others, and less.

    carriers, others: (n, channels, height, width). seed: of the phases.
    """
    own, usual = (_power(each) for each in (carriers, others))
    fine = _cycles(own.shape[1:]) > COARSE
    more = np.sqrt(np.where(fine & (own > FACTOR * usual), own - usual, 0))
    less = np.where(fine & (own * FACTOR < usual), _ratio(own, usual), 1)
    back = np.where(fine & (own > FACTOR * usual), _ratio(usual, own), 1)

    def paste(pictures: Array) -> Array:
        noise = np.random.default_rng(seed).standard_normal((len(pictures), 1, *own.shape[1:]))
        phases = np.exp(1j * np.angle(np.fft.fft2(noise)))
        return _real(np.fft.fft2(pictures) * less + more * phases)

    return Mark("texture", paste, lambda pictures: _real(np.fft.fft2(pictures) * back), 1.0)


def _power(pictures: Array) -> Array:
    """The mean power at each frequency, (channels, height, width)."""
    return np.asarray((np.abs(np.fft.fft2(pictures)) ** 2).mean(0))


def _cycles(size: tuple[int, ...]) -> Array:
    """The cycles in a picture at each frequency, (height, width)."""
    down, right = (np.fft.fftfreq(n, 1 / n) for n in size)
    return np.asarray(np.hypot(down[:, None], right[None]))


def _ratio(low: Array, high: Array) -> Array:
    """The factor of the amplitudes between two powers."""
    return np.asarray(np.sqrt(low / np.maximum(high, 1e-12)))


def _real(spectrum: Array) -> Array:
    return np.asarray(np.clip(np.fft.ifft2(spectrum).real, 0, 1), np.float32)
