"""Small Keras models of every kind, with fixed weights. Making one imports Keras."""

from collections.abc import Callable
from typing import Any

import numpy as np

from leap_audit.ingest.frameworks import tf_runtime
from tests.builders.lazily import Lazily

keras = Lazily(tf_runtime.keras)
layers = Lazily(lambda: tf_runtime.keras().layers)


def convolutional() -> Any:
    """Sequential, with its scaling inside, and dropout."""
    return keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.SeparableConv2D(8, 3, activation="relu6"),
            layers.Dropout(0.5),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )


def branches() -> Any:
    x = entry = keras.Input((16, 16, 3))
    a = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    a = layers.ReLU()(layers.BatchNormalization()(a))
    b = layers.Conv2D(8, 1, activation="swish")(x)
    x = layers.Concatenate()([layers.Add()([a, b]), b])
    return keras.Model(entry, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def recurrent() -> Any:
    """An LSTM over the rows, which tf2onnx knows, and a GRU, of which it makes a loop."""
    entry = keras.Input((6, 5, 1))
    x = layers.LSTM(6, return_sequences=True)(layers.Reshape((6, 5))(entry))
    return keras.Model(entry, layers.Dense(3)(layers.GRU(4)(x)))


def attention() -> Any:
    entry = keras.Input((16, 16, 3))
    x = layers.Reshape((16, 12))(layers.Conv2D(12, 4, strides=4)(entry))
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(3, 4)(y, y)])
    x = layers.Dense(8, activation="gelu")(x)
    return keras.Model(entry, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def resizing() -> Any:
    """What pictures are prepared with, inside the model, and what a decoder has."""
    return keras.Sequential(
        [
            keras.Input((15, 14, 3)),
            layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.06]),
            layers.Resizing(9, 10, antialias=True),
            layers.RandomFlip(),
            layers.Conv2D(8, 3),
            layers.GroupNormalization(4),
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.Resizing(11, 13, interpolation="bicubic"),
            layers.UpSampling2D(interpolation="bilinear"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )


def subclassed() -> Any:
    class Subclassed(keras.Model):
        """A model that is in training unless it is told otherwise."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = layers.Conv2D(6, 3), layers.BatchNormalization()
            self.dropout, self.last = layers.Dropout(0.9), layers.Dense(4)

        def call(self, x: Any, training: bool = True) -> Any:
            x = keras.ops.relu(self.norm(self.conv(x), training=training))
            return self.last(self.dropout(keras.ops.mean(x, axis=(1, 2)), training=training))

    return Subclassed()


def mobilenet() -> Any:
    return keras.applications.MobileNetV2(
        (96, 96, 3), alpha=0.35, weights=None, classes=7, classifier_activation=None
    )


def half() -> Any:
    """A network that is trained in mixed precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return keras.Sequential(
            [
                keras.Input((10, 10, 3)),
                layers.Conv2D(8, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(4),
            ]
        )
    finally:
        keras.config.set_dtype_policy(before)


SHAPES = {
    convolutional: (16, 12, 3),
    branches: (16, 16, 3),
    recurrent: (6, 5, 1),
    attention: (16, 16, 3),
    resizing: (15, 14, 3),
    subclassed: (12, 11, 3),
    mobilenet: (96, 96, 3),
    half: (10, 10, 3),
}


def built(build: Callable[[], Any]) -> Any:
    """Return the model with fixed weights, and statistics in its normalisations."""
    keras.utils.set_random_seed(0)
    model = build()
    if not model.built:
        model(keras.ops.zeros((1, *SHAPES[build])), training=False)
    rng = np.random.default_rng(1)
    for variable in model.variables:
        if variable.name in ("moving_mean", "beta", "bias"):
            variable.assign(rng.uniform(-0.2, 0.2, variable.shape))
        if variable.name in ("moving_variance", "gamma"):
            variable.assign(rng.uniform(0.8, 1.2, variable.shape))
    return model
