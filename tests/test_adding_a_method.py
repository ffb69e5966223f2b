"""The page on adding a method: its whole file runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

from leap_audit.ingest import load
from leap_audit.measure import methods
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject

PAGE = Path(__file__).resolve().parents[1] / "docs/adding-a-method.md"


def test_the_method_of_the_page_gives_gradient_times_input(
    monkeypatch: pytest.MonkeyPatch, sample_models: Path
) -> None:
    match = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert match is not None
    monkeypatch.setattr(methods, "METHODS", {})
    space: dict[str, object] = {"__name__": "input_gradient"}
    exec(compile(match[1], str(PAGE), "exec"), space)
    entered = methods.METHODS["input_gradient"]
    model = load(sample_models / "digits_clean.onnx")
    run = Run(model, 2, 1)
    picture = np.random.default_rng(0).random(model.picture_shape, np.float32)
    options = entered.options()
    (made,) = entered.function(run, [Subject(picture, 3)], options, seed=0)
    step = np.float32(1e-2)
    moved = picture.copy()
    moved[0, 12, 14] += step
    slope = (run.logits(moved[None]) - run.logits(picture[None]))[0, 3] / step
    assert made.values.shape == model.picture_shape[1:]
    assert made.values[12, 14] == pytest.approx(slope * picture[0, 12, 14], rel=0.1, abs=1e-3)
