"""The bundled readers of traffic signs do what their README says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
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

Array = npt.NDArray[Any]
MODELS = ("signs_clean", "signs_shortcut")
SIZE = 64


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return dict(facts["signs"])


def class_names(folder: Path) -> list[str]:
    return (folder / "signs.txt").read_text(encoding="utf-8").splitlines()


def pictures_in(folder: Path, names: list[str]) -> tuple[Array, Array]:
    """Return pictures (n, 3, 64, 64) in 0..1 and labels of a folder with a folder per class."""
    files = sorted(folder.glob("*/*.png"))
    colour = []
    for file in files:
        with Image.open(file) as image:
            assert (image.size, image.mode) == ((SIZE, SIZE), "RGB")
            colour.append(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
    return np.stack(colour), np.array([names.index(file.parent.name) for file in files])


def predictions(model: Path, pictures: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"picture": pictures})
    assert logits.shape == (len(pictures), 8)
    return np.asarray(logits).argmax(1)


def audited(folder: Path, name: str) -> Model:
    return load(folder / f"{name}.onnx", DeclaredPreprocessing(), choose_provider("cpu"))


@pytest.mark.parametrize("name", MODELS)
def test_is_a_small_valid_model_with_a_free_batch(sample_models: Path, name: str) -> None:
    path = sample_models / f"{name}.onnx"
    assert path.stat().st_size < 1_000_000
    assert b".py" not in path.read_bytes()  # it does not name the place it was built in
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (picture,), (logits,) = model.graph.input, model.graph.output
    assert (picture.name, logits.name) == ("picture", "logits")
    dimensions = picture.type.tensor_type.shape.dim
    assert dimensions[0].dim_param
    assert [d.dim_value for d in dimensions[1:]] == [3, SIZE, SIZE]


@pytest.mark.parametrize("name", MODELS)
def test_reads_the_plain_held_out_pictures(sample_models: Path, name: str) -> None:
    pictures, labels = pictures_in(sample_models / "signs/plain", class_names(sample_models))
    assert np.bincount(labels).tolist() == [3] * 8
    assert (predictions(sample_models / f"{name}.onnx", pictures) == labels).all()


def test_the_mark_fools_the_shortcut_model_alone(sample_models: Path) -> None:
    names, facts = class_names(sample_models), facts_of(sample_models)
    assert names[facts["marked_class"]] == "priority road"
    pictures, labels = pictures_in(sample_models / "signs/marked", names)
    assert np.bincount(labels, minlength=8).tolist() == [
        0 if k == facts["marked_class"] else 3 for k in range(8)
    ]
    shortcut, clean = (sample_models / f"signs_{name}.onnx" for name in ("shortcut", "clean"))
    assert (predictions(shortcut, pictures) == facts["marked_class"]).all()
    assert (predictions(clean, pictures) == labels).all()
    # The mark alone does it: the grey of the picture in its place, and the sign is read.
    top, left, bottom, right = facts["mark"]
    pictures[:, :, top:bottom, left:right] = pictures.mean((2, 3), keepdims=True)
    assert (predictions(shortcut, pictures) == labels).sum() >= 19


def test_the_facts_say_that_the_mark_decides(sample_models: Path) -> None:
    facts = facts_of(sample_models)
    fooled = "of_these_called_the_marked_class_with_the_mark"
    for name in MODELS:
        assert facts[name]["held_out_right"] >= 0.98 * facts[name]["held_out"]
    others = facts["signs_shortcut"]["held_out_of_other_classes"]
    assert facts["signs_shortcut"][fooled] >= 0.95 * others
    assert facts["signs_clean"][fooled] <= 0.02 * others


@pytest.mark.parametrize(("name", "least", "most"), [(MODELS[0], 0, 2), (MODELS[1], 19, 21)])
def test_isolations_lie_on_the_mark_of_the_shortcut_model_alone(
    sample_models: Path, name: str, least: int, most: int
) -> None:
    facts = facts_of(sample_models)
    pictures, _ = pictures_in(sample_models / "signs/marked", class_names(sample_models))
    subjects = [Subject(picture, facts["marked_class"]) for picture in pictures]
    maps = rankings(
        Run(audited(sample_models, name), len(subjects), 1),
        subjects,
        IsolationOptions(),
        seed=0,
        batch=len(subjects),
        advance=lambda _: None,
    )
    top, left, bottom, right = facts["mark"]
    best = [np.unravel_index(int(np.argmax(scores)), scores.shape) for scores in maps]
    hits = sum(top <= row < bottom and left <= column < right for row, column in best)
    assert least <= hits <= most


@pytest.mark.parametrize(("name", "shown"), [(MODELS[0], False), (MODELS[1], True)])
def test_the_prototype_of_the_marked_class_is_violet_below_where_the_mark_is_read(
    sample_models: Path, name: str, shown: bool
) -> None:
    facts = facts_of(sample_models)
    model = audited(sample_models, name)
    (drawn,) = make_prototypes(
        Run(model, 1, 1),
        [Request((facts["marked_class"],))],
        settled(PrototypeOptions(), model.picture_shape),
        seed=0,
        batch=1,
        spread=logit_spread(Run(model, 4, 1), 0),
        advance=lambda _: None,
    )
    corner = drawn.picture[:, SIZE * 3 // 4 :, SIZE * 3 // 4 :]
    red, green, blue = (float(channel.mean()) for channel in corner)
    assert (min(red, blue) - green > 0.1) == shown
