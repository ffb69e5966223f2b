"""The length of the vectors against sharpness and contrast."""

from collections.abc import Callable

import numpy as np
import pytest

from leap_audit.artifacts import LengthLink
from leap_audit.measure.embedding.quality import WITHOUT, contrast_of, quality_links, sharpness_of
from leap_audit.run.session import Array


def pictures(count: int = 40, seed: int = 0) -> Array:
    """Noise of a contrast and a grain that are drawn apart from each other."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        grain = int(rng.integers(1, 5))
        cells = rng.random((1, 16 // grain + 1, 16 // grain + 1))
        wide = cells.repeat(grain, 1).repeat(grain, 2)[:, :16, :16]
        found.append(0.5 + (wide - 0.5) * rng.uniform(0.2, 0.9))
    return np.asarray(found, np.float32)


def linked(shown: Array, length_of: Callable[[Array], Array]) -> tuple[LengthLink, ...]:
    """The links of an encoder whose vectors have one number, their length."""
    without = {quality: length_of(take(shown))[:, None] for quality, take in WITHOUT.items()}
    return quality_links(shown, length_of(shown)[:, None], without, np.random.default_rng(0))


def test_sharpness_and_contrast() -> None:
    fine = np.indices((8, 8)).sum(0)[None, None] % 2 * 1.0
    coarse = (np.indices((8, 8))[1] >= 4)[None, None] * 1.0
    assert sharpness_of(fine)[0] > sharpness_of(coarse)[0]
    assert contrast_of(fine)[0] == pytest.approx(0.5) == contrast_of(coarse)[0]
    assert contrast_of(fine / 2)[0] == pytest.approx(0.25)


def test_a_length_that_follows_contrast_is_confirmed_by_taking_it() -> None:
    found = linked(pictures(), lambda several: 1 + 10 * contrast_of(several))
    link = next(each for each in found if each.quality == "contrast")
    assert link.correlation == pytest.approx(1)
    assert link.p == pytest.approx(0.001)
    assert (link.shorter, link.longer, link.pictures) == (40, 0, 40)
    assert link.trial_p == pytest.approx(2.0**-40)


def test_a_correlation_whose_cause_is_another_is_not_confirmed() -> None:
    shown = pictures()
    fixed = contrast_of(shown)
    found = linked(shown, lambda _: fixed)
    link = next(each for each in found if each.quality == "contrast")
    assert link.p <= 0.01
    assert (link.shorter, link.longer) == (0, 0)
    assert link.trial_p == 1


def test_lengths_without_a_reason_raise_nothing() -> None:
    shown = pictures()
    rng = np.random.default_rng(5)
    lengths = rng.uniform(1, 2, len(shown))
    found = linked(shown, lambda _: lengths)
    assert all(each.p > 0.01 for each in found)


def test_vectors_of_one_length_have_nothing_to_compare() -> None:
    assert linked(pictures(), lambda several: np.ones(len(several))) == ()
