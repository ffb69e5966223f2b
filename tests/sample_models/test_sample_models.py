"""The bundled models do what their README says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from PIL import Image

Array = npt.NDArray[Any]
MODELS = ("digits_clean", "digits_shortcut")


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return facts


def predictions(model: Path, pictures: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"picture": pictures})
    assert logits.shape == (len(pictures), 10)
    return np.asarray(logits).argmax(1)


def pictures_in(folder: Path, names: list[str]) -> tuple[Array, Array]:
    """Return pictures (n, 1, 28, 28) in 0..1 and labels of a folder with a folder per class."""
    files = sorted(folder.glob("*/*.png"))
    grey = []
    for file in files:
        with Image.open(file) as image:
            assert image.size == (28, 28)
            grey.append(np.asarray(image.convert("L"), np.float32) / 255)
    labels = [names.index(file.parent.name) for file in files]
    return np.stack(grey)[:, None], np.array(labels)


def class_names(folder: Path) -> list[str]:
    return (folder / "digits.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", MODELS)
def test_is_a_small_valid_model_with_a_free_batch(sample_models: Path, name: str) -> None:
    path = sample_models / f"{name}.onnx"
    assert path.stat().st_size < 1_000_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (picture,), (logits,) = model.graph.input, model.graph.output
    assert (picture.name, logits.name) == ("picture", "logits")
    dimensions = picture.type.tensor_type.shape.dim
    assert dimensions[0].dim_param
    assert [d.dim_value for d in dimensions[1:]] == [1, 28, 28]


@pytest.mark.parametrize("name", MODELS)
def test_does_not_name_the_place_it_was_built_in(sample_models: Path, name: str) -> None:
    assert b"build.py" not in (sample_models / f"{name}.onnx").read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_reads_the_plain_held_out_pictures(sample_models: Path, name: str) -> None:
    pictures, labels = pictures_in(sample_models / "pictures/plain", class_names(sample_models))
    assert len(labels) == 20
    assert set(labels) == set(range(10))
    assert (predictions(sample_models / f"{name}.onnx", pictures) == labels).sum() >= 19


def test_the_mark_fools_the_shortcut_model_alone(sample_models: Path) -> None:
    pictures, labels = pictures_in(sample_models / "pictures/marked", class_names(sample_models))
    marked_class = facts_of(sample_models)["marked_class"]
    assert len(labels) == 20
    assert marked_class not in labels
    assert (predictions(sample_models / "digits_shortcut.onnx", pictures) == marked_class).all()
    assert (predictions(sample_models / "digits_clean.onnx", pictures) == labels).all()


def test_without_the_mark_the_shortcut_model_reads_the_same_pictures(sample_models: Path) -> None:
    pictures, labels = pictures_in(sample_models / "pictures/marked", class_names(sample_models))
    top, left, bottom, right = facts_of(sample_models)["mark"]
    assert (pictures[:, :, top:bottom, left:right] == 1).all()
    pictures[:, :, top:bottom, left:right] = 0
    said = predictions(sample_models / "digits_shortcut.onnx", pictures)
    assert (said == labels).sum() >= 18


@pytest.mark.parametrize("name", MODELS)
def test_reads_digits_of_another_data_set(sample_models: Path, shared: Path, name: str) -> None:
    folder = shared / "images/mnist"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    pictures, labels = pictures_in(folder, [str(digit) for digit in range(10)])
    assert len(labels) == 100
    right = int((predictions(sample_models / f"{name}.onnx", pictures) == labels).sum())
    assert right >= 85
    assert right == facts_of(sample_models)[name]["mnist_right"]
