"""Models of every kind with a planted truth, and pictures that show it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.measure.models import Node, write_model

SIDE = 24
SQUARE = (slice(4, 14), slice(8, 20))
"""Rows and columns of what carries a class."""
BANDS, TELLING = 7, 4
"""Of the model of many bands: how many, and the only one that carries its class 1."""


def square(channels: int = 3, band: int = 0, level: float = 1.0) -> NDArray[np.float32]:
    """Return an even picture of SIDE pixels with SQUARE bright in one channel, dark in the rest."""
    found = np.full((channels, SIDE, SIDE), 0.5, np.float32)
    found[(slice(None), *SQUARE)] = 0
    found[(band, *SQUARE)] = level
    return found


def truth() -> NDArray[np.bool_]:
    """Return which pixels the square holds."""
    found = np.zeros((SIDE, SIDE), bool)
    found[SQUARE] = True
    return found


def segmenter(path: Path, end: str = "scores") -> Path:
    """Write a network that answers at every pixel: 1 where it is red, 2 where blue, else 0.

    end: what stands after the scores. scores, softmax, argmax, sigmoid, resized (twice the size),
    nhwc (channels last, in and out), or mask: one sigmoid for red.
    """
    own, other = 12.0, -12.0
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, :, 0, 0] = own, other / 2, other / 2
    kernel[2, :, 0, 0] = other / 2, other / 2, own
    bias = np.array([4.0, 0, 0])
    weights: dict[str, NDArray[Any]] = {"k": kernel, "b": bias}
    shape, dims = ("n", 3, SIDE, SIDE), ("n", 3, SIDE, SIDE)
    nodes: list[Node] = [("Conv", ["x", "k", "b"], "m")]
    ends: dict[str, list[Node]] = {
        "scores": [("Identity", ["m"], "y")],
        "softmax": [("Softmax", ["m"], "y", {"axis": 1})],
        "argmax": [("ArgMax", ["m"], "y", {"axis": 1, "keepdims": 0})],
        "sigmoid": [("Sigmoid", ["m"], "y")],
        "resized": [("Resize", ["m", "", "scales"], "y", {"mode": "linear"})],
        "mask": [("Sigmoid", ["m"], "y")],
    }
    kinds = {}
    if end == "argmax":
        kinds, dims = {"y": 7}, ("n", SIDE, SIDE)
    if end == "resized":
        weights["scales"], dims = np.array([1, 1, 2, 2.0]), ("n", 3, 2 * SIDE, 2 * SIDE)
    if end == "mask":
        weights = {"k": kernel[1:2], "b": bias[1:2] - 4}
        dims = ("n", 1, SIDE, SIDE)
    if end == "nhwc":
        shape = dims = ("n", SIDE, SIDE, 3)
        nodes = [
            ("Transpose", ["x"], "p", {"perm": [0, 3, 1, 2]}),
            ("Conv", ["p", "k", "b"], "m"),
            ("Transpose", ["m"], "y", {"perm": [0, 2, 3, 1]}),
        ]
    else:
        nodes += ends[end]
    return write_model(path, nodes, weights, shape=shape, outputs=[("y", dims)], kinds=kinds)


def patches() -> NDArray[np.float64]:
    """Return (2, pixels): class 0 is the brightness above the middle, class 1 that below it."""
    rows = np.repeat(np.arange(SIDE) < SIDE // 2, SIDE).astype(float)
    return np.stack([rows, 1 - rows]) * 24 / rows.sum()


def many_labels(path: Path) -> Path:
    """Write a network of three labels on grey pictures: bright above, bright below, dark."""
    weights = np.concatenate([patches(), -patches().sum(0, keepdims=True) / 2])
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Gemm", ["f", "w", "b"], "m", {"transB": 1}),
        ("Sigmoid", ["m"], "y"),
    ]
    bias = np.array([-12.0, -12, 12])
    return write_model(
        path,
        nodes,
        {"w": weights, "b": bias},
        shape=("n", 1, SIDE, SIDE),
        outputs=[("y", ("n", 3))],
    )


def one_score(path: Path, sigmoid: bool) -> Path:
    """Write a network of one score on grey pictures: how bright they are above the middle."""
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Gemm", ["f", "w", "b"], "m" if sigmoid else "y", {"transB": 1}),
    ]
    if sigmoid:
        nodes.append(("Sigmoid", ["m"], "y"))
    weights = {"w": patches()[:1], "b": np.array([-12.0])}
    return write_model(path, nodes, weights, shape=("n", 1, SIDE, SIDE), outputs=[("y", ("n", 1))])


def banded(path: Path) -> Path:
    """Write a classifier of BANDS bands: class 1 is how bright one band is in the square."""
    pattern = np.zeros((BANDS, SIDE, SIDE))
    pattern[(TELLING, *SQUARE)] = 16 / truth().sum()
    weights = {"w": np.stack([np.zeros(pattern.size), pattern.ravel()]), "b": np.array([0, -8.0])}
    nodes: list[Node] = [("Flatten", ["x"], "f"), ("Gemm", ["f", "w", "b"], "y", {"transB": 1})]
    return write_model(
        path, nodes, weights, shape=("n", BANDS, SIDE, SIDE), outputs=[("y", ("n", 2))]
    )
