"""Tiny encoders, whole and with faults that were planted, and pictures to show them."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper
from PIL import Image

from leap_audit.run.session import Array
from tests.builders.classifiers import RAW, Node, write_model

SIDE = 16
QUICK: dict[str, Any] = {
    "effort": "quick",
    "prototype": {"steps": 24},
    "isolation": {"steps": 2},
    "top_classes": 1,
    "preprocessing": RAW,
    "threads": 1,
}
"""Options of an audit of a tiny encoder that takes seconds."""
Fault = Literal["none", "collapsed", "corner", "flat", "unequal"]


def tiny_encoder(path: Path, fault: Fault = "none") -> Path:
    """Write an encoder (n, 1, SIDE, SIDE) -> (n, 64): edges of four kinds in 16 cells.

    fault: "collapsed" adds so much to all numbers that all vectors are alike; "corner" weighs the
    lower right corner eight times; "flat" sees two kinds in one cell alone; "unequal" does not
    bring the vectors to one length.
    """
    bars = np.zeros((4, 1, 3, 3), np.float32)
    bars[0, 0] = [[-1, 0, 1]] * 3
    bars[1, 0] = np.transpose(bars[0, 0])
    bars[2, 0] = np.eye(3) - 1 / 3
    bars[3, 0] = np.eye(3)[::-1] - 1 / 3
    nodes: list[Node] = [
        ("Conv", ["x", "k"], "c"),
        ("Abs", ["c"], "r"),
    ]
    weights = {"k": bars}
    last = "r"
    if fault == "collapsed":
        nodes += [("Add", ["r", "much"], "a")]
        weights["much"] = np.float32(500)
        last = "a"
    if fault == "corner":
        nodes += [("Mul", ["r", "often"], "a")]
        weights["often"] = np.ones((SIDE - 2, SIDE - 2))
        weights["often"][-4:, -4:] = 8
        last = "a"
    if fault == "flat":
        nodes += [("Mul", ["r", "part"], "a")]
        weights["part"] = np.zeros((4, SIDE - 2, SIDE - 2))
        weights["part"][:2, :3, :3] = 1
        last = "a"
    nodes += [
        ("AveragePool", [last], "p", {"kernel_shape": [4, 4], "strides": [3, 3]}),
        ("Flatten", ["p"], "f"),
        ("Identity", ["f"], "y") if fault == "unequal" else ("LpNormalization", ["f"], "y"),
    ]
    return write_model(path, nodes, weights, shape=("n", 1, SIDE, SIDE), outputs=[("y", ("n", 64))])


def glyphs(count: int, classes: int, seed: int = 0) -> tuple[Array, list[int]]:
    """Return pictures (count, 1, SIDE, SIDE) in 0..1 of classes by turns, and their classes.

    A class is a bar of one place and direction, on a ground of cells that each picture has of its
    own.
    """
    rng = np.random.default_rng(seed)
    found, labels = [], []
    for i in range(count):
        class_ = i % classes
        picture = 0.4 * rng.random((4, 4)).repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
        place = 2 + 3 * (class_ // 2) + int(rng.integers(0, 2))
        start, length = int(rng.integers(1, 4)), int(rng.integers(9, 12))
        if class_ % 2:
            picture[place : place + 2, start : start + length] = 1
        else:
            picture[start : start + length, place : place + 2] = 1
        picture = picture * rng.uniform(0.7, 0.9)
        found.append(np.clip(picture + 0.03 * rng.standard_normal(picture.shape), 0, 1))
        labels.append(class_)
    return np.asarray(found, np.float32)[:, None], labels


def marked(pictures: Array, labels: list[int], class_: int) -> Array:
    """Return the pictures, those of a class with a chequered mark in the lower right corner."""
    found = pictures.copy()
    mark = np.indices((3, 3)).sum(0) % 2
    for i, label in enumerate(labels):
        if label == class_:
            found[i, 0, -4:-1, -4:-1] = mark
    return found


def write_folders(root: Path, pictures: Array, labels: list[int]) -> Path:
    """Write pictures to `root`/class-K/NNN.png."""
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        folder = root / f"class-{label}"
        folder.mkdir(parents=True, exist_ok=True)
        levels = np.round(picture[0] * 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{number:03d}.png")
    return root


def smooth_encoder(path: Path) -> Path:
    """Write an encoder (n, 3, 8, 8) -> (n, 6): convolutions, Softplus, the mean over places."""
    draws = np.random.default_rng(1)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = draws.normal(0, 0.5, shape).astype(np.float32)
        return onnx.numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "c1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Softplus", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"]),
        helper.make_node("Softplus", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "encoder",
        [value("x", onnx.TensorProto.FLOAT, ("n", 3, 8, 8))],
        [value("y", onnx.TensorProto.FLOAT, ("n", 6))],
        [weights("w1", 4, 3, 3, 3), weights("c1", 4), weights("w2", 6, 4, 1, 1)],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path
