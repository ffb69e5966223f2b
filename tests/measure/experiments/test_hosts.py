"""Tests of the random scenes that faint prototypes are laid over."""

import numpy as np
import pytest

from leap_audit.measure.experiments.hosts import STEEPNESS, _root, _texture


@pytest.mark.parametrize("shape", [(3, 12, 16), (3, 9, 13), (1, 8, 7), (4, 2, 1)])
def test_a_texture_has_the_spectrum_of_natural_pictures(shape: tuple[int, int, int]) -> None:
    """Half of the frequencies do; the transform of all of them is what they are held against."""
    frequency = np.hypot(np.fft.fftfreq(shape[1])[:, None], np.fft.fftfreq(shape[2])[None])
    frequency[0, 0] = np.inf
    white = np.random.default_rng(5).standard_normal(shape)
    noise = np.fft.ifft2(np.fft.fft2(white) / frequency**STEEPNESS).real
    noise /= noise.std((1, 2), keepdims=True)
    expected = np.tensordot(_root(shape[0]), noise, 1)
    np.testing.assert_allclose(_texture(shape, np.random.default_rng(5)), expected, atol=1e-10)
