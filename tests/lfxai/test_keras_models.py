"""LFXAI's functions on Keras models: inputs with the channels last, in and out."""

from typing import Any

import numpy as np
import pytest

from leap_audit.lfxai import (
    InfluenceFunctions,
    NearestNeighbours,
    SimplEx,
    TracIn,
    attribute_auxiliary,
    attribute_individual_dim,
)

pytestmark = pytest.mark.xdist_group("tensorflow")  # one process imports it

X = np.random.default_rng(0).standard_normal((6, 8, 8, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def model(keras: Any) -> Any:
    keras.utils.set_random_seed(0)
    of = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            of.Conv2D(4, 3, padding="same", activation="relu"),
            of.Flatten(),
            of.Dense(5),
        ]
    )


def slopes(model: Any, weights: Any) -> Any:
    """The gradient of Σ weights · f(x) by the inputs, by TensorFlow."""
    import tensorflow

    with tensorflow.GradientTape() as tape:
        x = tensorflow.constant(X)
        tape.watch(x)
        score = tensorflow.reduce_sum(weights * model(x))
    return tape.gradient(score, x).numpy()


def test_attributions_lie_as_the_inputs(model: Any) -> None:
    h = np.asarray(model(X))
    found = attribute_auxiliary(model, [X[:4], (X[4:], np.zeros(2))], None, "Saliency")
    assert found.shape == X.shape
    np.testing.assert_allclose(found, np.abs(slopes(model, h)), atol=1e-5)
    against = attribute_auxiliary(
        model, [X], None, "integrated_gradients", baseline=lambda x: x.mean((1, 2), keepdims=True)
    )
    gap = (h * (h - np.asarray(model(X.mean((1, 2), keepdims=True) + 0 * X)))).sum(1)
    np.testing.assert_allclose(against.sum((1, 2, 3)), gap, atol=0.02 * np.abs(gap).max())
    of_one = attribute_individual_dim(model, 2, [X], None, "Saliency")
    assert of_one.shape == (6, 2, 8, 8, 2)
    for d in range(2):
        slow = np.abs(h[:, d, None, None, None] * slopes(model, np.eye(5, dtype=np.float32)[d]))
        np.testing.assert_allclose(of_one[:, d], slow, atol=1e-5)


def test_examples_of_keras_models(keras: Any, model: Any) -> None:
    import tensorflow

    weights = SimplEx(model, X_train=X).attribute(X, [*range(6)])
    np.testing.assert_allclose(weights, np.eye(6), atol=1e-3)
    h = np.asarray(model(X))
    near = NearestNeighbours(model).attribute_loader(
        None, tensorflow.data.Dataset.from_tensor_slices(X[3:]).batch(2), [X[:2]]
    )
    slow = 1 / ((h[:2, None] - h[None, 3:]) ** 2).sum(2)
    np.testing.assert_allclose(near, slow, rtol=1e-3)
    labels = np.array([0, 1, 2, 3, 4, 0])
    found = TracIn(model, X_train=X, y_train=labels).attribute(X[:2], [1, 2])
    body = keras.Model(model.inputs[0], model.layers[-2].output)
    features = np.c_[np.asarray(body(X)), np.ones(6)]
    p = np.exp(h) / np.exp(h).sum(1, keepdims=True)

    def error(i: int, label: int) -> Any:
        return p[i] - np.eye(5)[label]

    slow = [
        [
            (error(t, h[t].argmax()) @ error(i, labels[i])) * (features[t] @ features[i])
            for i in (1, 2)
        ]
        for t in (0, 1)
    ]
    np.testing.assert_allclose(found, slow, rtol=1e-3, atol=1e-4)
    helped = InfluenceFunctions(model).attribute_loader(None, [(X, labels)], [(X, labels)], damp=1)
    assert (np.diag(helped) > 0).all()
