"""Neural Cleanse as published, beside which our search is measured."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.neural_cleanse import anomalies, mask_norm
from benchmarks.photographs import classifier_of
from leap_audit.measure.run import Run


def test_the_class_with_the_smallest_mask_stands_out() -> None:
    found = anomalies(np.array([50.0, 55, 60, 45, 52, 10]))
    assert found.argmax() == 5
    assert found[5] > 2
    assert np.median(found) == pytest.approx(0, abs=0.5)
    assert np.isfinite(anomalies(np.full(4, 9.0))).all()


def test_the_mask_of_a_planted_class_is_smaller(sample_models: Path) -> None:
    run = Run(classifier_of(sample_models / "digits_shortcut.onnx"), 16, 1)
    files = sorted((sample_models / "pictures" / "plain").glob("*/*.png"))
    pictures = np.stack([np.asarray(Image.open(f).convert("L"), np.float32)[None] for f in files])
    norms = [mask_norm(run, k, pictures / 255, np.random.default_rng(0), steps=60) for k in (3, 7)]
    assert norms[0] < 0.7 * norms[1]
