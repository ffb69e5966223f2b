"""The planted shortcut shows: isolations lie on the mark, and the prototype bears it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.config import DeclaredPreprocessing, IsolationOptions, PrototypeOptions
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.measure.isolation.ranking import rankings
from leap_audit.measure.plan import logit_spread
from leap_audit.measure.prototype import Request, make_prototypes, settled
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.run.providers import choose_provider


def audited(folder: Path, name: str) -> Model:
    return load(folder / f"{name}.onnx", DeclaredPreprocessing(), choose_provider("cpu"))


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return facts


def within(mark: list[int], row: int, column: int) -> bool:
    top, left, bottom, right = mark
    return top <= row < bottom and left <= column < right


def isolations_on_the_mark(folder: Path, name: str) -> int:
    """Return on how many of the marked pictures the marked class's best pixel is in the mark."""
    facts = facts_of(folder)
    subjects = []
    for file in sorted((folder / "pictures/marked").glob("*/*.png")):
        with Image.open(file) as image:
            picture = np.asarray(image.convert("L"), np.float32)[None] / 255
        subjects.append(Subject(picture, facts["marked_class"]))
    assert len(subjects) == 20
    maps = rankings(
        Run(audited(folder, name), len(subjects), 1),
        subjects,
        IsolationOptions(),
        seed=0,
        batch=len(subjects),
        advance=lambda _: None,
    )
    best = [np.unravel_index(int(np.argmax(scores)), scores.shape) for scores in maps]
    return sum(within(facts["mark"], int(row), int(column)) for row, column in best)


def test_the_shortcut_models_isolations_lie_on_the_mark(sample_models: Path) -> None:
    assert isolations_on_the_mark(sample_models, "digits_shortcut") >= 18


def test_the_clean_models_isolations_do_not(sample_models: Path) -> None:
    assert isolations_on_the_mark(sample_models, "digits_clean") <= 2


@pytest.mark.parametrize(("name", "shown"), [("digits_shortcut", True), ("digits_clean", False)])
def test_the_prototype_of_the_marked_class_shows_the_mark(
    sample_models: Path, name: str, shown: bool
) -> None:
    facts = facts_of(sample_models)
    model = audited(sample_models, name)
    top, left, bottom, right = facts["mark"]
    drawn = make_prototypes(
        Run(model, 4, 1),
        [Request((target,)) for target in range(model.classes)],
        settled(PrototypeOptions(), model.picture_shape),
        seed=0,
        batch=model.classes,
        spread=logit_spread(Run(model, 4, 1), 0),
        advance=lambda _: None,
    )
    brightness = [float(each.picture[:, top:bottom, left:right].mean()) for each in drawn]
    marked = brightness.pop(facts["marked_class"])
    if shown:
        assert marked > 0.4
        assert marked > max(brightness) + 0.2
    else:
        assert marked < 0.2
