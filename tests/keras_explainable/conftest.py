"""A network whose every number can be worked out in NumPy, in both layouts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.builders.classifiers import Node, write_model

Array = NDArray[Any]
HEIGHT, WIDTH, CHANNELS, MAPS, CLASSES = 6, 8, 3, 4, 5


@dataclass(frozen=True)
class Worked:
    """relu(conv 1 × 1 (mean of 2 × 2)), averaged, then a dense layer; channels last."""

    path: Path
    kernel: Array
    """(maps, channels)."""
    bias: Array
    dense: Array
    """(classes, maps)."""
    dense_bias: Array

    def maps(self, x: Array) -> Array:
        """Return the last map, (n, rows, columns, maps)."""
        n, h, w, c = x.shape
        halves = x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
        return np.maximum(halves @ self.kernel.T + self.bias, 0)

    def scores(self, x: Array) -> Array:
        """Return (n, classes)."""
        return self.maps(x).mean((1, 2)) @ self.dense.T + self.dense_bias

    def map_gradient(self, x: Array) -> Array:
        """Return df_u/dA, (n, classes, rows, columns, maps)."""
        n, h, w, _ = self.maps(x).shape
        one = self.dense[None, :, None, None] / (h * w)
        return np.broadcast_to(one, (n, len(self.dense), h, w, MAPS))

    def bias_gradient(self, x: Array) -> Array:
        """Return df_u/dz before the ReLU, (n, classes, rows, columns, maps)."""
        return self.map_gradient(x) * (self.maps(x) > 0)[:, None]

    def gradient(self, x: Array) -> Array:
        """Return df_u/dx, (n, classes, height, width, channels)."""
        inner = self.bias_gradient(x) @ self.kernel / 4
        return inner.repeat(2, 2).repeat(2, 3)


@pytest.fixture(scope="session", params=["NCHW", "NHWC", "any size"])
def worked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Worked:
    rng = np.random.default_rng(7)
    made = Worked(
        tmp_path_factory.mktemp("worked") / "model.onnx",
        rng.normal(size=(MAPS, CHANNELS)),
        rng.normal(size=MAPS) * 0.3,
        rng.normal(size=(CLASSES, MAPS)) * [[3], [3], [3], [-3], [0]] + [[0], [0], [0], [0], [2]],
        rng.normal(size=CLASSES),
    )
    last = request.param == "NHWC"
    nodes: list[Node] = [
        (
            "AveragePool",
            ["first" if last else "x"],
            "h",
            {"kernel_shape": [2, 2], "strides": [2, 2]},
        ),
        ("Conv", ["h", "k", "b"], "z"),
        ("Relu", ["z"], "a"),
        ("GlobalAveragePool", ["a"], "p"),
        ("Flatten", ["p"], "f"),
        ("Gemm", ["f", "w", "c"], "y", {"transB": 1}),
    ]
    if last:
        nodes.insert(0, ("Transpose", ["x"], "first", {"perm": [0, 3, 1, 2]}))
    weights = {
        "k": made.kernel[:, :, None, None],
        "b": made.bias,
        "w": made.dense,
        "c": made.dense_bias,
    }
    sides: dict[str, tuple[int | str, ...]] = {
        "NCHW": ("n", CHANNELS, HEIGHT, WIDTH),
        "NHWC": ("n", HEIGHT, WIDTH, CHANNELS),
        "any size": ("n", CHANNELS, "height", "width"),
    }
    outputs = [("y", ("n", CLASSES))]
    write_model(made.path, nodes, weights, shape=sides[request.param], outputs=outputs)
    return made


@pytest.fixture(scope="session")
def inputs() -> Array:
    """Three inputs, (n, height, width, channels), beyond 0..1 on both sides."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(3, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)


@pytest.fixture(scope="session")
def units() -> Array:
    return np.array([[0, 3], [1, 1], [4, 2]])
