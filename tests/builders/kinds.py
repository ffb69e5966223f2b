"""Models of every kind with a planted truth, and pictures that show it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.builders.classifiers import Node, write_model

SIDE = 24
SQUARE = (slice(4, 14), slice(8, 20))
"""Rows and columns of what carries a class."""
CHECKS = np.kron(np.indices((SIDE // 2, SIDE // 2)).sum(0) % 2, np.ones((2, 2)))
"""The texture that carries it, 0 and 1: a blur, which erases, leaves nothing of it."""
BANDS, TELLING = 7, 4
"""Of the model of many bands: how many, and the only one that carries its class 1."""


def square(channels: int = 3, band: int = 0) -> NDArray[np.float32]:
    """Return an even picture of SIDE pixels with SQUARE checkered in one channel."""
    found = np.full((channels, SIDE, SIDE), 0.5, np.float32)
    found[(band, *SQUARE)] = CHECKS[SQUARE]
    return found


def truth() -> NDArray[np.bool_]:
    """Return which pixels the square holds."""
    found = np.zeros((SIDE, SIDE), bool)
    found[SQUARE] = True
    return found


def segmenter(path: Path, end: str = "scores") -> Path:
    """Write a network that answers at every pixel: 1 where red varies, 2 where blue does, else 0.

    end: what stands after the scores. scores, softmax, argmax, sigmoid, resized (twice the size),
    nhwc (channels last, in and out), or mask: one sigmoid for red.
    """
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, :, 0, 0] = 24, 0, -12
    kernel[2, :, 0, 0] = -12, 0, 24
    bias = np.array([0.0, -4, -4])
    neighbours = np.array([[0, -0.25, 0], [-0.25, 1, -0.25], [0, -0.25, 0]])
    weights: dict[str, NDArray[Any]] = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "difference": np.broadcast_to(neighbours, (3, 1, 3, 3)),
        "k": kernel,
        "b": bias,
    }
    shape: tuple[int | str, ...] = ("n", 3, SIDE, SIDE)
    dims: tuple[int | str, ...] = ("n", 3, SIDE, SIDE)
    nodes: list[Node] = [
        ("Pad", ["p" if end == "nhwc" else "x", "pads"], "q", {"mode": "reflect"}),
        ("Conv", ["q", "difference"], "d", {"group": 3}),
        ("Abs", ["d"], "a"),
        ("Conv", ["a", "k", "b"], "m"),
    ]
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
        weights |= {"k": kernel[1:2], "b": bias[1:2]}
        dims = ("n", 1, SIDE, SIDE)
    if end == "nhwc":
        shape = dims = ("n", SIDE, SIDE, 3)
        nodes = [
            ("Transpose", ["x"], "p", {"perm": [0, 3, 1, 2]}),
            *nodes,
            ("Transpose", ["m"], "y", {"perm": [0, 2, 3, 1]}),
        ]
    else:
        nodes += ends[end]
    return write_model(path, nodes, weights, shape=shape, outputs=[("y", dims)], kinds=kinds)


def patches() -> NDArray[np.float64]:
    """Return (2, pixels): the pattern of checks above the middle, and that below it.

    Times a checkered picture each is 12, times an even one 0.
    """
    above = np.repeat(np.arange(SIDE) < SIDE // 2, SIDE)
    checks = CHECKS.ravel() * 2 - 1
    return np.stack([above * checks, ~above * checks]) * 24 / above.sum()


def many_labels(path: Path) -> Path:
    """Write a network of three labels on grey pictures: checks above, checks below, neither."""
    weights = np.concatenate([patches(), -patches().sum(0, keepdims=True) / 2])
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Gemm", ["f", "w", "b"], "m", {"transB": 1}),
        ("Sigmoid", ["m"], "y"),
    ]
    bias = np.array([-6.0, -6, 6])
    return write_model(
        path,
        nodes,
        {"w": weights, "b": bias},
        shape=("n", 1, SIDE, SIDE),
        outputs=[("y", ("n", 3))],
    )


def one_score(path: Path, sigmoid: bool) -> Path:
    """Write a network of one score on grey pictures: checks above the middle."""
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Gemm", ["f", "w", "b"], "m" if sigmoid else "y", {"transB": 1}),
    ]
    if sigmoid:
        nodes.append(("Sigmoid", ["m"], "y"))
    weights = {"w": patches()[:1], "b": np.array([-6.0])}
    return write_model(path, nodes, weights, shape=("n", 1, SIDE, SIDE), outputs=[("y", ("n", 1))])


def banded(path: Path) -> Path:
    """Write a classifier of BANDS bands: class 1 is how checkered one band is in the square."""
    pattern = np.zeros((BANDS, SIDE, SIDE))
    pattern[(TELLING, *SQUARE)] = (CHECKS[SQUARE] * 2 - 1) * 24 / truth().sum()
    weights = {"w": np.stack([np.zeros(pattern.size), pattern.ravel()]), "b": np.array([0, -6.0])}
    nodes: list[Node] = [("Flatten", ["x"], "f"), ("Gemm", ["f", "w", "b"], "y", {"transB": 1})]
    return write_model(
        path, nodes, weights, shape=("n", BANDS, SIDE, SIDE), outputs=[("y", ("n", 2))]
    )
