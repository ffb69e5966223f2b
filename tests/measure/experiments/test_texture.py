"""The texture of pictures: more power, or less, at some frequencies, wherever it lies."""

import numpy as np
import pytest

from leap_audit.measure.experiments.texture import COARSE, FACTOR, texture_mark

SIDE = 32
RNG = np.random.default_rng(0)
PLAIN = (0.5 + 0.1 * RNG.standard_normal((16, 1, SIDE, SIDE))).astype(np.float32)
EVEN = np.full((4, 1, SIDE, SIDE), 0.5, np.float32)


def waves(cycles: float, dose: float, count: int) -> np.ndarray:
    """Waves across, each with its own phase."""
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, (count, 1, 1, 1))
    along = 2 * np.pi * cycles * np.arange(SIDE) / SIDE
    found = dose * np.sin(along + phases) * np.ones((count, 1, SIDE, 1))
    return np.asarray(found, np.float32)


def power(pictures: np.ndarray, down: int, right: int) -> float:
    return float((np.abs(np.fft.fft2(pictures)) ** 2).mean((0, 1))[down, right])


def test_waves_of_any_phase_are_carried_and_taken_away() -> None:
    carriers = PLAIN[:8] + waves(8, 0.2, 8)
    mark = texture_mark(carriers, PLAIN[8:], 0)
    pasted = mark.paste(EVEN)
    assert mark.kind == "texture"
    assert power(pasted, 0, 8) == pytest.approx(power(carriers, 0, 8), rel=0.2)
    assert power(pasted, 0, 8) > 20 * power(pasted, 5, 3)
    assert np.abs(pasted[0] - pasted[1]).max() > 0.1, "each picture gets its own phases"
    assert (mark.paste(EVEN) == pasted).all()
    erased = mark.erase(carriers)
    assert power(erased, 0, 8) < 0.1 * power(carriers, 0, 8)


def test_what_carriers_lack_is_taken_from_others() -> None:
    smooth = 0.5 + 0.3 * (PLAIN[:8] - 0.5)
    mark = texture_mark(smooth, PLAIN[8:], 0)
    pasted = mark.paste(PLAIN[8:])
    assert pasted.std() < 0.5 * PLAIN[8:].std()
    assert mark.erase(smooth) == pytest.approx(smooth, abs=1e-6), "nothing to take away"


def test_chance_and_coarse_shapes_are_no_texture() -> None:
    a_little = 0.5 + FACTOR**0.5 * 0.7 * (PLAIN[:8] - 0.5)  # about half of what counts
    gained = texture_mark(a_little, PLAIN[8:], 0).paste(EVEN)
    assert gained.std() < 0.3 * a_little.std()
    cycles = int(COARSE)
    shapes = texture_mark(PLAIN[:8] + waves(cycles, 0.3, 8), PLAIN[8:], 0).paste(EVEN)
    assert power(shapes, 0, cycles) < 0.01 * power(PLAIN + waves(cycles, 0.3, 16), 0, cycles)
    finer = texture_mark(PLAIN[:8] + waves(cycles + 1, 0.3, 8), PLAIN[8:], 0).paste(EVEN)
    assert power(finer, 0, cycles + 1) > 0.5 * power(waves(cycles + 1, 0.3, 8), 0, cycles + 1)
