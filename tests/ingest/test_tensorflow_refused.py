"""Files and models that are refused, each with one sentence, and nothing of them is run before."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from leap_audit.errors import ModelRefused
from leap_audit.ingest.frameworks import tf_conversion, tf_operators, tf_runtime
from leap_audit.ingest.frameworks.tensorflow import export_keras, export_tensorflow_file
from tests.builders.lazily import Lazily, require

require("tensorflow", "keras", "tf2onnx")
tf, keras = Lazily(tf_runtime.tensorflow), Lazily(tf_runtime.keras)
layers = Lazily(lambda: tf_runtime.keras().layers)

pytestmark = pytest.mark.xdist_group("tensorflow")  # one process imports it


def own() -> Any:
    class Own(layers.Layer):
        """A layer that is not registered."""

        def call(self, x: Any) -> Any:
            return x * 2

    return Own()


def registered() -> Any:
    @keras.saving.register_keras_serializable("leap_audit_tests")
    class Registered(type(own())):
        pass

    return Registered()


def small(*inside: Any) -> Any:
    return keras.Sequential([keras.Input((4, 4, 1)), *inside, layers.Flatten(), layers.Dense(2)])


def refused(path: Path, complaint: str) -> None:
    with pytest.raises(ModelRefused, match=complaint) as caught:
        export_tensorflow_file(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def written(path: Path, *inside: Any) -> Path:
    with tf_runtime.quiet():
        small(*inside).save(path)
    return path


def edited(path: Path, change: Callable[[str], str]) -> Path:
    """The same .keras file with another description."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = change(parts["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
def test_a_lambda_layer_however_deep(file: str, tmp_path: Path) -> None:
    """Keras is not even asked."""
    inner = keras.Sequential([keras.Input((4, 4, 1)), layers.Lambda(lambda x: x * 2)])
    refused(written(tmp_path / file, inner), "holds a Lambda layer, which runs code")


def test_a_lambda_that_is_no_layer(tmp_path: Path) -> None:
    path = written(tmp_path / "model.keras", layers.Activation("relu"))
    function = {"class_name": "__lambda__", "config": {"value": ["4wAA", None, None]}}
    hidden = edited(path, lambda text: text.replace('"relu"', json.dumps(function)))
    refused(hidden, "holds a lambda function, which runs code")


def test_a_layer_that_loads_another_file(tmp_path: Path) -> None:
    path = written(tmp_path / "model.keras", layers.ReLU())
    refused(edited(path, lambda text: text.replace('"ReLU"', '"TFSMLayer"')), "loads another file")


@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
def test_a_layer_of_the_users_own(file: str, tmp_path: Path) -> None:
    refused(written(tmp_path / file, own()), "Own")


def test_a_registered_layer_is_taken(tmp_path: Path) -> None:
    proto = export_tensorflow_file(written(tmp_path / "model.keras", registered()))
    assert "Mul" in {node.op_type for node in proto.graph.node}


def test_a_module_that_is_not_kerass(tmp_path: Path) -> None:
    path = written(tmp_path / "model.keras", layers.ReLU())
    other = edited(path, lambda text: text.replace('"keras.layers"', '"subprocess"'))
    refused(other, "of subprocess, which is not in the file; register it")


def test_damaged_files(tmp_path: Path) -> None:
    for name in ("model.keras", "model.h5"):
        path = written(tmp_path / name)
        path.write_bytes(path.read_bytes()[:-700])
        refused(path, "was cut off on its way")
        path.write_bytes(b"nothing of the kind")
        refused(path, "was cut off on its way")
    (tmp_path / "model.tflite").write_bytes(b"nothing of the kind")
    refused(tmp_path / "model.tflite", "TensorFlow Lite cannot load it")
    (tmp_path / "saved_model.pb").write_bytes(b"nothing of the kind")
    refused(tmp_path, "cannot be read")


def test_what_is_no_model(tmp_path: Path) -> None:
    path = written(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
    refused(path, "holds weights alone")
    refused(edited(written(tmp_path / "model.keras"), lambda _: "[]"), "is not one of a model")
    refused(edited(written(tmp_path / "model.keras"), lambda _: "{"), "is damaged")
    (tmp_path / "model.pb").write_bytes(b"")
    refused(tmp_path / "model.pb", "is none of .h5, .hdf5, .keras, .tflite and no SavedModel")
    refused(tmp_path / "absent.keras", "there is no such file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "is a folder without saved_model.pb")


def plain(x: Any) -> Any:
    return tf.reduce_mean(x, axis=(1, 2))


def both(a: Any, b: Any) -> Any:
    return a + tf.reduce_mean(b)


def reading(x: Any) -> Any:
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def calling(x: Any) -> Any:
    return tf.numpy_function(np.sin, [x], tf.float32)


def restoring(x: Any) -> Any:
    (read,) = tf.raw_ops.RestoreV2(
        prefix="x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )
    return x + read


@pytest.mark.parametrize(
    ("functions", "complaint"),
    [
        (
            [plain, both],
            "has the signatures 'both', 'plain', of which .* --signature",
        ),
        (
            [both],
            "2 inputs that could take the picture, .* with --input",
        ),
        ([reading], r"reach outside the model \(ReadFile\)"),
        ([plain, calling], r"reach outside the model \(PyFunc\)"),
        ([restoring], r"reach outside the model \(RestoreV2\)"),
        ([], "serves nothing"),
    ],
)
def test_a_saved_model(functions: list[Callable[..., Any]], complaint: str, tmp_path: Path) -> None:
    module, served = tf.Module(), {}
    with tf_runtime.quiet():
        for function in functions:
            specs = [tf.TensorSpec((None, 4, 4, 1))] * (2 if function is both else 1)
            served[function.__name__] = tf.function(function).get_concrete_function(*specs)
        module.functions = list(served.values())
        tf.saved_model.save(module, str(tmp_path), served)
    refused(tmp_path, complaint)


def decoding() -> Any:
    return tf.function(lambda x: tf.strings.length(x), [tf.TensorSpec((None, 1), tf.string)])


def two_inputs() -> Any:
    entries = [keras.Input((4, 4, 1)), keras.Input((4, 4, 1))]
    return keras.Model(entries, layers.Add()(entries))


def drawing() -> Any:
    class Drawing(layers.Layer):
        def call(self, x: Any) -> Any:
            return x + keras.random.normal((4,))

    return Drawing()


def bessel() -> Any:
    class Bessel(layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.math.bessel_i0e(tf.math.bessel_i1e(x))

    return Bessel()


def failing() -> Any:
    class Failing(layers.Layer):
        def call(self, _: Any) -> Any:
            raise ValueError("no such luck\nand more")

    return Failing()


@pytest.mark.parametrize(
    ("model", "shape", "complaint"),
    [
        ("resnet50", None, "is a str, not a Keras model, tf.Module or tf.function"),
        (decoding, None, "takes string instead of a picture's numbers; save what comes after"),
        (
            two_inputs,
            None,
            "Functional has 2 inputs that could take the picture, .* with --input",
        ),
        (own, None, "the model Own does not say what pictures it takes; give the shape of one"),
        (small, (5, 4, 1), "takes pictures of 4 × 4 × 1, not of 5 × 4 × 1"),
        (small, (4, 4), "takes pictures of 4 × 4 × 1, not of 4 × 4"),
        (
            lambda: keras.Sequential([keras.Input((None, 4, 1)), layers.ReLU()]),
            None,
            r"takes pictures of \? × 4 × 1, which leaves their size free; pass --input-size",
        ),
        (drawing, (4, 4, 1), "what tf2onnx writes gives other numbers than TensorFlow itself"),
        (bessel, (4, 4, 1), "tf2onnx has no ONNX for BesselI0e, BesselI1e; replace the layer"),
        (failing, (4, 4, 1), r"the model Failing cannot be built: no such luck\.$"),
    ],
)
def test_a_live_model(model: Any, shape: tuple[int, ...] | None, complaint: str) -> None:
    with pytest.raises(ModelRefused, match=complaint) as caught:
        export_keras(model() if callable(model) else model, shape)
    assert "\n" not in str(caught.value)


def test_keras_on_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(
        ModelRefused, match=r"runs on Keras's jax backend.*KERAS_BACKEND=tensorflow"
    ):
        export_keras(small())


def test_a_graph_with_other_numbers_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tf_operators.handlers

    def wrong(library: Any) -> Any:
        def doubled(graph: Any, node: Any, name: str, _: Any) -> None:
            node.type, node.input[:] = "Add", [node.input[0]] * 2

        return {**honest(library), "Relu": (doubled, [])}

    monkeypatch.setattr(tf_conversion, "handlers", wrong)
    with pytest.raises(ModelRefused, match="gives other numbers than TensorFlow itself"):
        export_keras(small(layers.ReLU()))
