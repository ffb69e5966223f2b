"""The planted shortcut: an audit finds the mark where it was learned, and nowhere else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from leap_audit.config import IsolationOptions, PrototypeOptions
from leap_audit.ingest.load import Model
from leap_audit.ingest.pictures import find_pictures, read_picture
from leap_audit.measure.forward import Classifier
from leap_audit.measure.isolation import Subject, rank_pixels, sharpness
from leap_audit.measure.plan import logit_spread
from leap_audit.measure.prototype import Request, make_prototypes, settled
from tests.measure.models import uncounted

THREADS = 1


@pytest.fixture(scope="module")
def facts(sample_models: Path) -> dict[str, Any]:
    return dict(json.loads((sample_models / "facts.json").read_text(encoding="utf-8")))


def marked(model: Model, folder: Path) -> list[NDArray[Any]]:
    paths = find_pictures([folder / "pictures" / "marked"])
    assert len(paths) == 20
    return [read_picture(path, model.preprocessing) for path in paths]


def hits(model: Model, folder: Path, facts: dict[str, Any]) -> int:
    """Return on how many marked pictures the first pixel of the marked class is in the mark."""
    classifier = Classifier.of(model, 20, THREADS)
    pictures = marked(model, folder)
    logits = classifier.logits(np.stack(pictures))
    subjects = [
        Subject(picture, facts["marked_class"], sharpness(row))
        for picture, row in zip(pictures, logits, strict=True)
    ]
    maps = rank_pixels(
        model,
        subjects,
        IsolationOptions(),
        seed=0,
        batch=20,
        threads=THREADS,
        advance=uncounted,
    )
    top, left, bottom, right = facts["mark"]
    places = [np.unravel_index(int(scores.argmax()), scores.shape) for scores in maps]
    return sum(bool(top <= y < bottom and left <= x < right) for y, x in places)


def test_isolations_lie_in_the_mark_of_the_model_that_learned_it(
    shortcut: Model, sample_models: Path, facts: dict[str, Any]
) -> None:
    assert hits(shortcut, sample_models, facts) >= 18


def test_isolations_lie_elsewhere_on_the_clean_model(
    digits: Model, sample_models: Path, facts: dict[str, Any]
) -> None:
    assert hits(digits, sample_models, facts) <= 2


def test_the_prototype_of_the_marked_class_shows_the_mark(
    shortcut: Model, facts: dict[str, Any]
) -> None:
    options = settled(PrototypeOptions(), shortcut.picture_shape)
    drawn = make_prototypes(
        shortcut,
        [Request((target,)) for target in range(shortcut.classes)],
        options,
        seed=0,
        batch=10,
        threads=THREADS,
        spread=logit_spread(Classifier.of(shortcut, 4, THREADS), 0),
        advance=uncounted,
    )
    top, left, bottom, right = facts["mark"]
    bright = [float(each.picture[:, top:bottom, left:right].mean()) for each in drawn]
    others = [value for target, value in enumerate(bright) if target != facts["marked_class"]]
    assert bright[facts["marked_class"]] > max(others)
