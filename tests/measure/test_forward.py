"""The model behind its preprocessing, as a piece of another graph."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from leap_audit.artifacts import Preprocessing
from leap_audit.config import IsolationOptions, PrototypeOptions
from leap_audit.ingest.outputs.answer import Sigmoids, Softmax
from leap_audit.measure.isolation.optimise import rank_pixels
from leap_audit.measure.prototype import Request, make_prototypes, settled
from leap_audit.measure.run import Run, preprocess
from leap_audit.measure.subject import Subject
from leap_audit.run import Session
from tests.builders.classifiers import CPU, Node, linear, read_model, uncounted, write_model
from tests.builders.emitted import numbers, start


def prepared(p: Preprocessing, picture: NDArray[Any]) -> NDArray[Any]:
    """x = pixel · (high − low) + low, then the swap, then (x − mean) / std, then the layout."""
    low, high = p.range
    x = picture * (high - low) + low
    if p.channel_order == "BGR":
        x = x[:, ::-1]
    mean, std = (np.array(v).reshape(1, -1, 1, 1) for v in (p.mean, p.std))
    x = (x - mean) / std
    return x if p.layout == "NCHW" else x.transpose(0, 2, 3, 1)


IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "range": (0, 1)}
CAFFE = {"mean": (103.939, 116.779, 123.68), "std": (1, 1, 1), "range": (0, 255)}


@pytest.mark.parametrize(
    ("order", "layout", "scaling"),
    [
        ("RGB", "NCHW", IMAGENET),
        ("BGR", "NCHW", CAFFE),
        ("RGB", "NHWC", {"mean": (0, 0, 0), "std": (1, 1, 1), "range": (-1, 1)}),
        ("BGR", "NHWC", IMAGENET),
        ("GRAY", "NCHW", {"mean": (0.1307,), "std": (0.3081,), "range": (0, 1)}),
        ("GRAY", "NHWC", {"mean": (128,), "std": (2,), "range": (255, 0)}),
        ("BANDS", "NCHW", {"mean": range(7), "std": range(1, 8), "range": (0, 10_000)}),
    ],
)
def test_preprocessing_equals_the_formula(
    order: str, layout: str, scaling: dict[str, object]
) -> None:
    channels = len(scaling["mean"])
    p = Preprocessing.model_validate(
        {
            **scaling,
            "channel_order": order,
            "layout": layout,
            "resize": "crop",
            "input_size": (4, 5),
        }
    )
    picture = np.random.default_rng(0).random((2, channels, 4, 5))
    op, (value,) = start(picture=picture.shape)
    (found,) = numbers(op, [preprocess(op, p, value)], {"picture": picture})
    np.testing.assert_allclose(found, prepared(p, picture), rtol=1e-4, atol=1e-4)


def rival_names(path: Path) -> Path:
    """A model whose tensors are called what ours are called."""
    rng = np.random.default_rng(0)
    nodes: list[Node] = [
        ("Conv", ["x", "weights"], "picture", {"pads": [1, 1, 1, 1]}),
        ("Relu", ["picture"], "logits"),
        ("GlobalAveragePool", ["logits"], "coefficients"),
        ("Flatten", ["coefficients"], "noise"),
        ("MatMul", ["noise", "rows"], "features"),
        ("Add", ["features", "scores"], "score"),
        ("Identity", ["score"], "prototype_Mul"),
    ]
    weights = {
        "weights": rng.standard_normal((5, 1, 3, 3)),
        "rows": rng.standard_normal((5, 3)),
        "scores": rng.standard_normal(3),
    }
    write_model(path, nodes, weights, outputs=[("prototype_Mul", ("n", 3))])
    text = path.read_bytes()
    model = onnx.load_from_string(text)
    model.graph.input[0].name = "cotangent"
    model.graph.node[0].input[0] = "cotangent"
    onnx.save(model, path)
    return path


def test_names_of_the_models_tensors_may_be_any(tmp_path: Path) -> None:
    model = read_model(rival_names(tmp_path / "m.onnx"))
    before = model.proto.SerializeToString(deterministic=True)
    pictures = np.random.default_rng(1).random((3, 1, 8, 8), np.float32)
    (want,) = Session(model.proto, CPU).run({"cotangent": pictures})
    classifier = Run(model, 2, 1)
    np.testing.assert_allclose(classifier.logits(pictures), want, rtol=1e-4, atol=1e-5)
    options = settled(PrototypeOptions(steps=2), model.picture_shape)
    common: dict[str, Any] = {"seed": 0, "batch": 2, "advance": uncounted}
    drawn = list(make_prototypes(classifier, [Request((0,))], options, spread=1.0, **common))
    assert np.isfinite(drawn[0].picture).all()
    subjects = [Subject(drawn[0].picture, 0)]
    (scores,) = rank_pixels(classifier, subjects, IsolationOptions(steps=2, grid=4), **common)
    assert np.isfinite(scores).all()
    # Placing the model once renamed the file's own tensors, and the next check compared nonsense.
    assert model.proto.SerializeToString(deterministic=True) == before


def test_an_incomplete_batch_is_padded_and_cut(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((3, 64))
    model = read_model(linear(tmp_path / "m.onnx", weights))
    pictures = np.random.default_rng(1).random((5, 1, 8, 8))
    want = pictures.reshape(5, 64) @ weights.T
    for batch in (1, 2, 5, 8):
        classifier = Run(model, batch, 1)
        np.testing.assert_allclose(classifier.logits(pictures), want, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            classifier.features(pictures), pictures.reshape(5, 64), rtol=1e-4, atol=1e-5
        )
    assert classifier.logits(np.zeros((0, 1, 8, 8))).shape == (0, 3)


def test_probabilities_survive_enormous_logits() -> None:
    scores = np.array([[1e5, 0, 1e5], [1, 1, 1]], np.float32)[:, :, None]
    found = Softmax(3).probabilities(scores)[:, :, 0]
    np.testing.assert_allclose(found, [[0.5, 0, 0.5], [1 / 3] * 3])
    np.testing.assert_allclose(Sigmoids(3).probabilities(-scores[0])[:, 0], [0, 0.5, 0])


def test_a_model_in_double_precision_gives_float_logits(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", np.random.default_rng(0).standard_normal((3, 64)))
    model = onnx.load(path)
    double = onnx.TensorProto.DOUBLE
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = double
    (tensor,) = model.graph.initializer
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1.0, "w"))
    array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, "w"))
    onnx.save(model, path)
    loaded = read_model(path)
    pictures = np.random.default_rng(1).random((1, 1, 8, 8))
    (logits,) = [Run(loaded, 1, 1).logits(pictures)]
    np.testing.assert_allclose(logits, pictures.reshape(1, 64) @ array.T, rtol=1e-4, atol=1e-4)
    assert re.match("float32", str(logits.dtype))
