"""A class of two shapes: prototypes that are pushed apart show both."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.artifacts import Audit
from leap_audit.pipeline import audit
from tests.builders.classifiers import RAW, Node, write_model
from tests.builders.running import TINY

SIDE = 16
LEFT_OR_RIGHT, TOP = 0, 1

pytestmark = pytest.mark.usefixtures("unprinted")


def halves(path: Path) -> Path:
    """Write a network whose first class is a light left half or, a little less so, a right one.

    Either half excludes the other. The second class is a light upper half.
    """
    y, x = np.mgrid[:SIDE, :SIDE] < SIDE // 2
    shapes = np.stack([np.where(half, 1.0, -1.0) for half in (x, ~x, y)]).reshape(3, -1)
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Gemm", ["f", "shapes"], "h", {"transB": 1}),
        ("Relu", ["h"], "r"),
        ("Gemm", ["r", "w"], "y", {"transB": 1}),
    ]
    weights = {"shapes": 0.1 * shapes, "w": np.array([[1, 0.8, 0], [0, 0, 1.0]])}
    outputs = [("y", ("n", 2))]
    return write_model(path, nodes, weights, shape=("n", 1, SIDE, SIDE), outputs=outputs)


def audited(folder: Path, diversity: float) -> Audit:
    prototype = {"steps": 48, "diversity": diversity, "transform": "none", "hold": 0.0}
    settings = {**TINY, "prototype": prototype, "seeds": 3}
    path = halves(folder / "m.onnx")
    return audit(path, ["side", "top"], out=folder / "out", preprocessing=RAW, **settings).audit


def test_a_class_of_two_shapes_has_two_faces_and_another_one(tmp_path: Path) -> None:
    faces = {
        prototype.target[0]: prototype.stability.faces
        for prototype in audited(tmp_path, diversity=3.0).prototypes
        if prototype.stability is not None
    }
    assert len(faces[LEFT_OR_RIGHT] or ()) == 2
    assert len(faces[TOP] or ()) == 1


def test_faces_are_counted_where_prototypes_are_pushed_apart(tmp_path: Path) -> None:
    made = audited(tmp_path, diversity=0.0).prototypes
    assert [each.stability.faces for each in made if each.stability] == [None, None]
