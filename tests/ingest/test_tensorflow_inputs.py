"""TensorFlow models with several inputs or several signatures: one picture goes in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.ingest import load
from leap_audit.ingest.frameworks import tf_runtime
from leap_audit.ingest.inputs.selection import Inputs
from leap_audit.measure.run import Run
from leap_audit.run import choose_provider
from tests.builders.lazily import Lazily, require

require("tensorflow", "keras", "tf2onnx")
tf, keras = Lazily(tf_runtime.tensorflow), Lazily(tf_runtime.keras)

pytestmark = pytest.mark.xdist_group("tensorflow")  # one process imports it

CPU = choose_provider("cpu")
RAW = DeclaredPreprocessing(range=(0, 1), mean=(0,), std=(1,))
AGE = np.array([0.5, -1.0], np.float32)


def with_metadata() -> Any:
    keras.utils.set_random_seed(0)
    picture = keras.Input((8, 8, 3), name="picture_in")
    age = keras.Input((2,), name="age")
    features = keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(picture))
    joined = keras.layers.Concatenate()([features, age])
    return keras.Model([age, picture], keras.layers.Dense(3)(joined))


def pictures() -> np.ndarray:
    return np.random.default_rng(0).random((3, 3, 8, 8), np.float32)


@pytest.mark.parametrize("file", [None, "model.keras", "model.h5"])
def test_a_keras_model_with_metadata(file: str | None, tmp_path: Path) -> None:
    given: Any = with_metadata()
    with tf_runtime.quiet():
        want = given([np.tile(AGE, (3, 1)), pictures().transpose(0, 2, 3, 1)]).numpy()
        if file is not None:
            given.save(tmp_path / file)
            given = tmp_path / file
    model = load(given, RAW, CPU, inputs=Inputs(values={"age": AGE}))
    have = Run(model, 3, 1).logits(pictures())
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)
    assert model.batchable
    assert model.identity.picture == "picture_in"
    (fixed,) = model.identity.fixed_inputs
    assert (fixed.name, fixed.value) == ("age", "0.5, -1.0")


def test_metadata_that_is_not_given_is_asked_for() -> None:
    with pytest.raises(ModelRefused, match=r"beside the picture 'picture_in' it takes 'age'"):
        load(with_metadata(), RAW, CPU)


def signatures(tmp_path: Path, **served: Any) -> Path:
    """Save a module that serves these functions."""
    module = tf.Module()
    module.w = tf.Variable(np.random.default_rng(1).random((3, 4)), dtype=tf.float32)

    def scores(x: Any) -> Any:
        return tf.reduce_mean(x, axis=(1, 2)) @ module.w

    def of_bytes(data: Any) -> Any:
        return scores(tf.zeros((tf.shape(data)[0], 8, 8, 3)))

    def doubled(x: Any) -> Any:
        return 2 * scores(x)

    def switched(x: Any, training: Any) -> Any:
        return tf.where(training, 2 * scores(x), scores(x))

    picture = tf.TensorSpec((None, 8, 8, 3), tf.float32, "x")
    specs = {
        scores: [picture],
        of_bytes: [tf.TensorSpec((None,), tf.string, "data")],
        doubled: [picture],
        switched: [picture, tf.TensorSpec((), tf.bool, "training")],
    }
    functions = {"scores": scores, "bytes": of_bytes, "doubled": doubled, "switched": switched}
    with tf_runtime.quiet():
        made = {
            name: tf.function(functions[what]).get_concrete_function(*specs[functions[what]])
            for name, what in served.items()
        }
        module.functions = list(made.values())
        tf.saved_model.save(module, str(tmp_path), made)
    return tmp_path


def logits(model: Any) -> np.ndarray:
    return Run(model, 3, 1).logits(pictures())


def expected() -> np.ndarray:
    w = np.random.default_rng(1).random((3, 4)).astype(np.float32)
    return np.asarray(pictures().mean((2, 3)) @ w)


def test_bytes_are_not_audited_where_another_signature_takes_pictures(tmp_path: Path) -> None:
    model = load(signatures(tmp_path, serving_default="bytes", predict="scores"), RAW, CPU)
    np.testing.assert_allclose(logits(model), expected(), rtol=1e-4)
    assert model.identity.signature == "predict"


def test_the_signature_that_was_asked_for(tmp_path: Path) -> None:
    path = signatures(tmp_path, serving_default="scores", twice="doubled")
    assert load(path, RAW, CPU).identity.signature == "serving_default"
    model = load(path, RAW, CPU, inputs=Inputs(signature="twice"))
    np.testing.assert_allclose(logits(model), 2 * expected(), rtol=1e-4)
    with pytest.raises(ModelRefused, match=r"--signature other: .* 'serving_default', 'twice'"):
        load(path, RAW, CPU, inputs=Inputs(signature="other"))


def test_several_that_take_pictures_are_listed(tmp_path: Path) -> None:
    path = signatures(tmp_path, once="scores", twice="doubled", serving_default="bytes")
    with pytest.raises(ModelRefused, match=r"'once', 'twice' take pictures: .* --signature NAME"):
        load(path, RAW, CPU)


def test_bytes_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="takes string instead of a picture's numbers"):
        load(signatures(tmp_path, serving_default="bytes"), RAW, CPU)


def test_a_flag_of_a_signature(tmp_path: Path) -> None:
    path = signatures(tmp_path, serving_default="switched")
    with pytest.raises(ModelRefused, match="--set training=false"):
        load(path, RAW, CPU)
    model = load(path, RAW, CPU, inputs=Inputs(values={"training": True}))
    np.testing.assert_allclose(logits(model), 2 * expected(), rtol=1e-4)


@pytest.mark.parametrize(
    "first",
    [
        ["Resizing", "Rescaling"],
        ["Rescaling", "Resizing"],
        ["Rescaling", "Normalization"],
        ["Resizing", "Normalization255"],
    ],
)
def test_scaling_inside_keras_is_read_in_any_order(first: list[str]) -> None:
    made = {
        "Resizing": lambda: keras.layers.Resizing(12, 12),
        "Rescaling": lambda: keras.layers.Rescaling(1 / 255),
        "Normalization": lambda: keras.layers.Normalization(
            mean=[0.485, 0.456, 0.406], variance=[0.05, 0.05, 0.05]
        ),
        "Normalization255": lambda: keras.layers.Normalization(
            mean=[123.0, 117.0, 104.0], variance=[3300.0, 3300.0, 3300.0]
        ),
    }
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((16, 16, 3)), *(made[name]() for name in first)])
    model.add(keras.layers.Conv2D(4, 3))
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(3))
    found = load(model, DeclaredPreprocessing(), CPU).preprocessing
    assert (found.range, found.mean, found.std) == ((0, 255), (0, 0, 0), (1, 1, 1))
    assert "scales its input itself" in found.assumed["range"]
