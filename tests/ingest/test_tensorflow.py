"""Keras and TensorFlow models as ONNX: numbers and gradients are TensorFlow's own."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest

from leap_audit.errors import RuntimeMissing
from leap_audit.gradient import build_gradient
from leap_audit.ingest.files.onnx import checked
from leap_audit.ingest.frameworks import tensorflow as door
from leap_audit.ingest.frameworks import tf_runtime
from leap_audit.ingest.frameworks.tensorflow import export_keras, export_tensorflow_file
from leap_audit.run import Session, choose_provider
from tests.builders import keras_models as models
from tests.builders.lazily import Lazily, require

require("tensorflow", "keras", "tf2onnx")
tf, keras = Lazily(tf_runtime.tensorflow), Lazily(tf_runtime.keras)

pytestmark = pytest.mark.xdist_group("tensorflow")  # one process imports it

CPU = choose_provider("cpu")


def saved(model: Any, path: Path) -> Path:
    """The model in a file of the kind that its name says."""
    with tf_runtime.quiet():
        if path.suffix == ".tflite":
            path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
        elif path.suffix:
            model.save(path)
        else:
            model.export(path, format="tf_saved_model", verbose=False)
    return path


def pictures(shape: tuple[int, ...], batch: int = 5) -> np.ndarray:
    return np.random.default_rng(3).random((batch, *shape), np.float32)


def assert_same(proto: onnx.ModelProto, model: Callable[..., Any], x: np.ndarray) -> None:
    """The same outputs to 1e-4 of the largest, for a batch that was never traced."""
    checked(proto, "the export")
    want = np.asarray(model(x, training=False))
    (have,) = Session(proto, CPU, 1).run({"picture": x})
    assert np.abs(have - want).max() <= 1e-4 * np.abs(want).max()


def assert_same_gradient(proto: onnx.ModelProto, model: Any, x: np.ndarray) -> None:
    """The same gradient of a class's score to 1e-3 of the largest."""
    with tf.GradientTape() as tape:
        leaf = tf.Variable(x)
        scores = model(leaf, training=False)
        score = scores[0, 1]
    want = tape.gradient(score, leaf).numpy()
    cotangent = np.eye(scores.shape[1], dtype=np.float32)[[1]]
    session = Session(build_gradient(proto), CPU, 1)
    (have,) = session.run({"picture": x, "cotangent": cotangent}, ["picture_grad"])
    assert np.abs(want).max() > 0
    assert np.abs(have - want).max() <= 1e-3 * np.abs(want).max()


@pytest.mark.parametrize(
    ("build", "file"),
    [
        (models.convolutional, "model.h5"),
        (models.convolutional, "model.tflite"),
        (models.branches, "model.keras"),
        (models.recurrent, None),
        (models.attention, "saved"),
        (models.resizing, None),
        (models.subclassed, None),
        (models.mobilenet, None),
    ],
)
def test_numbers_and_gradient(
    build: Callable[[], Any], file: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed on the way, and no trace of the machine is in the graph."""
    model = models.built(build)
    if file is None:
        proto = export_keras(model)
    else:
        path = saved(model, tmp_path / file)
        capfd.readouterr()
        proto = export_tensorflow_file(path)
    assert capfd.readouterr() == ("", "")
    shape = models.SHAPES[build]
    batch = 1 if file and file.endswith("tflite") else 5
    assert_same(proto, model, pictures(shape, batch))
    assert_same_gradient(proto, model, pictures(shape, 1))
    entry, end = proto.graph.input[0], proto.graph.output[0]
    assert (entry.name, end.name) == ("picture", "logits")
    assert [d.dim_value for d in entry.type.tensor_type.shape.dim][1:] == list(shape)
    content = proto.SerializeToString()
    for trace in (str(tmp_path), str(Path(tf.__file__).parent), ".py"):
        assert trace.encode() not in content


def test_two_exports_are_the_same_bytes(tmp_path: Path) -> None:
    """Attention is an einsum, which tf2onnx names by addresses in memory."""
    path = saved(models.built(models.attention), tmp_path / "model.keras")
    first, second = (export_tensorflow_file(path).SerializeToString() for _ in range(2))
    assert first == second


def test_mixed_precision_is_exported_in_float32_and_left_as_it_was() -> None:
    model = models.built(models.half)
    before = [layer.dtype_policy for layer in model.layers]
    proto = export_keras(model)
    assert [layer.dtype_policy for layer in model.layers] == before
    assert {layer.compute_dtype for layer in model.layers} == {"float16"}
    casts = [node for node in proto.graph.node if node.op_type == "Cast"]
    assert onnx.TensorProto.FLOAT16 not in {a.i for node in casts for a in node.attribute}
    want = np.asarray(model(pictures((10, 10, 3))))
    (have,) = Session(proto, CPU, 1).run({"picture": pictures((10, 10, 3))})
    assert 0 < np.abs(have - want).max() <= 1e-2 * np.abs(want).max()


def test_a_model_that_was_never_built_is_given_a_shape() -> None:
    model = keras.Sequential([keras.layers.Conv2D(3, 3), keras.layers.Flatten()])
    assert_same(export_keras(model, (8, 7, 1)), model, pictures((8, 7, 1)))


def test_free_sides_are_given() -> None:
    entry = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(entry))
    model = keras.Model(entry, x)
    assert_same(export_keras(model, (9, 7, 3)), model, pictures((9, 7, 3)))


def test_several_outputs_keep_their_order_and_names() -> None:
    entry = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten()(entry)
    ends = [keras.layers.Dense(n, name=name)(flat) for n, name in ((3, "species"), (2, "age"))]
    proto = export_keras(keras.Model(entry, ends))
    assert [v.name for v in proto.graph.output] == ["species", "age"]
    assert [v.type.tensor_type.shape.dim[1].dim_value for v in proto.graph.output] == [3, 2]


def scaled() -> Any:
    class Scaled(tf.Module):
        """A module of TensorFlow's own, with a tensor that is no variable."""

        def __init__(self) -> None:
            super().__init__()
            self.mean, self.gain = tf.constant([0.4, 0.5]), tf.Variable(3.0)

        @tf.function(input_signature=[tf.TensorSpec((None, 6, 5, 2))])
        def __call__(self, x: Any) -> Any:
            return tf.reduce_sum((x - self.mean) * self.gain, axis=(1, 2))

    return Scaled()


@pytest.mark.parametrize("kind", ["module", "function", "concrete", "loaded"])
def test_what_is_tensorflow_and_not_keras(kind: str, tmp_path: Path) -> None:
    module = scaled()
    model: Any = module
    if kind == "function":
        model = tf.function(lambda x: module(x))
    if kind == "concrete":
        model = module.__call__.get_concrete_function()
    if kind == "loaded":
        tf.saved_model.save(module, str(tmp_path), module.__call__.get_concrete_function())
        model = tf.saved_model.load(str(tmp_path))
    proto = export_keras(model, (6, 5, 2) if kind == "function" else None)
    assert_same(proto, lambda x, **_: module(x), pictures((6, 5, 2)))


def test_a_depthwise_layer_as_keras_2_wrote_it(tmp_path: Path) -> None:
    model = models.built(models.convolutional)
    path = saved(model, tmp_path / "old.h5")
    with h5py.File(path, "r+") as file:
        config = file.attrs["model_config"]
        newer = '"class_name": "DepthwiseConv2D", "config": {'
        assert newer in config
        file.attrs["model_config"] = config.replace(newer, newer + '"groups": 1, ')
    assert_same(export_tensorflow_file(path), model, pictures((16, 12, 3)))


def test_keras_on_pytorch_is_a_module_in_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras has one backend for as long as a process runs: what is handed on is looked at here."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    handed: list[Any] = []
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    monkeypatch.setattr(door, "export_module", lambda *given: handed.extend(given))
    model = models.built(models.subclassed)
    export_keras(model)
    module, shape, functions = handed
    assert functions == ()
    assert (type(module).__name__, shape) == ("Subclassed", models.SHAPES[models.subclassed])
    x = pictures(shape)
    want = np.asarray(model(x, training=False))
    assert np.array_equal(module(x), want)
    assert not np.allclose(model(x), want)


@pytest.mark.parametrize(
    ("module", "name"),
    [("tensorflow", "TensorFlow"), ("keras", "Keras 3"), ("tf2onnx.convert", "tf2onnx")],
)
def test_without_them(
    module: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model.tflite").write_bytes(b"")
    path = saved(
        keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()]), tmp_path / "model.keras"
    )
    if module == "tensorflow":
        path = tmp_path / "model.tflite"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RuntimeMissing, match=rf"{name}.* pip install 'leap-audit\[tensorflow\]'"):
        export_tensorflow_file(path)
