"""Tiny networks with attention among tokens, and with an average before the classes."""

from pathlib import Path

import numpy as np

from leap_audit.ingest.model import Model
from tests.builders.classifiers import Node, read_model, write_model

__all__ = ["attending", "averaging"]


def attending(path: Path, windows: int = 1, *, bright: bool = False) -> Model:
    """Return a network whose 16 tokens, patches of 2 × 2 pixels, attend in so many windows.

    With one window it takes any number of pictures. bright: class 0 is what all tokens attend to,
    and they attend to what is bright.
    """
    rng = np.random.default_rng(0)
    tokens = 16 // windows
    v = rng.standard_normal((3, 64))
    v[0] = 1.0 if bright else v[0]
    weights = {
        "w": np.full((4, 1, 2, 2), 0.25) if bright else rng.standard_normal((4, 1, 2, 2)),
        "v": v,
        "heads": np.array([windows if windows > 1 else 0, 2, 2, tokens]),
        "flat": np.array([1 if windows > 1 else 0, 64]),
    }
    nodes: list[Node] = [
        ("Conv", ["x", "w"], "c", {"strides": [2, 2]}),
        ("Reshape", ["c", "heads"], "k"),
        ("Transpose", ["k"], "q", {"perm": [0, 1, 3, 2]}),
        ("MatMul", ["q", "k"], "s"),
        ("Softmax", ["s"], "a", {"axis": -1}),
        ("MatMul", ["a", "q"], "m"),
        ("Reshape", ["m", "flat"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    n: int | str = 1 if windows > 1 else "n"
    made = write_model(path, nodes, weights, shape=(n, 1, 8, 8), outputs=[("y", (n, 3))])
    return read_model(made)


def averaging(path: Path, *, bright: bool = False) -> Model:
    """Return a network whose classes are linear in the average of a map of 8 × 8 places.

    bright: class 0 is how bright the picture is.
    """
    rng = np.random.default_rng(0)
    w, v = rng.standard_normal((4, 1, 1, 1)), rng.standard_normal((3, 4))
    if bright:
        w[0], v[0] = 1.0, (1.0, 0.0, 0.0, 0.0)
    nodes: list[Node] = [
        ("Conv", ["x", "w"], "c"),
        ("Relu", ["c"], "r"),
        ("GlobalAveragePool", ["r"], "g"),
        ("Flatten", ["g"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    return read_model(write_model(path, nodes, {"w": w, "v": v}))
