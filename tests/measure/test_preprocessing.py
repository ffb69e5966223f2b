"""A wrong preprocessing is noticed on photographs of known classes, and a right one left alone."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.findings.evidence import doubt
from leap_audit.ingest import load
from leap_audit.ingest.classes.ground_truth import ground_truth
from leap_audit.ingest.classes.lists import read_classes
from leap_audit.ingest.pictures.images import find_pictures, read_picture
from leap_audit.measure.preprocessing import compare_readings
from leap_audit.measure.run import Run
from leap_audit.run import choose_provider
from tests.builders.classifiers import read_model, write_model

CPU = choose_provider("cpu")


def digits(sample_models: Path, **declared: object) -> tuple[Run, list, list]:
    said = DeclaredPreprocessing.model_validate(declared)
    model = load(sample_models / "digits_clean.onnx", said, CPU)
    paths = find_pictures([sample_models / "pictures" / "plain"])
    known = ground_truth(paths, read_classes(sample_models / "digits.txt"), None)
    pictures = [read_picture(path, model.preprocessing) for path in paths]
    return Run(model, 8, 1), pictures, known


def test_the_right_preprocessing_is_left_alone(sample_models: Path) -> None:
    readings = compare_readings(*digits(sample_models))
    assert readings is not None
    assert readings.photographs == 20
    assert readings.right >= 17
    assert doubt(readings) is None


@pytest.mark.parametrize("low_high", [(1, 0), (-3, -2)])
def test_a_wrong_one_is_noticed(sample_models: Path, low_high: tuple[float, float]) -> None:
    """Black and white exchanged cannot be declared: an own range is what gives it here."""
    classifier, pictures, known = digits(sample_models, range=(min(low_high), max(low_high)))
    if low_high[0] > low_high[1]:
        pictures = [1 - picture for picture in pictures]
    readings = compare_readings(classifier, pictures, known)
    assert readings is not None
    assert readings.right <= 12
    better = doubt(readings)
    assert better is not None
    assert better.right >= 17
    wanted = "black and white exchanged" if low_high[0] > low_high[1] else "pixels from 0 to 1"
    assert wanted in better.text


def test_red_and_blue_exchanged(tmp_path: Path) -> None:
    """The model answers 0 for red and 1 for blue pictures, and is shown them exchanged."""
    weight = np.zeros((3, 3, 1, 1))
    weight[0, 0] = weight[1, 2] = 1
    path = write_model(
        tmp_path / "m.onnx",
        [("Conv", ["x", "w"], "a"), ("GlobalAveragePool", ["a"], "b"), ("Flatten", ["b"], "y")],
        {"w": weight},
        shape=("n", 3, 8, 8),
    )
    model = read_model(path, range=(0, 1), mean=0.0, std=1.0, channel_order="BGR")
    pictures = [np.zeros((3, 8, 8), np.float32) for _ in range(12)]
    known = [i % 2 for i in range(12)]
    for picture, class_ in zip(pictures, known, strict=True):
        picture[0 if class_ == 0 else 2] = 0.9
    readings = compare_readings(Run(model, 4, 1), pictures, known)
    assert readings is not None
    assert readings.right == 0
    better = doubt(readings)
    assert better is not None
    assert (better.right, "red" in better.text) == (12, True)


def test_too_few_photographs_prove_nothing(sample_models: Path) -> None:
    classifier, pictures, known = digits(sample_models, range=(-3, -2))
    few = compare_readings(classifier, pictures[:4], known[:4])
    assert few is not None
    assert doubt(few) is None
    assert compare_readings(classifier, pictures, [None] * len(pictures)) is None
