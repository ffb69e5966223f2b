"""Where the class scores are, under whatever stands at the end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from leap_audit.errors import ModelRefused
from leap_audit.ingest.model import Model
from leap_audit.measure.run import Run
from tests.builders.classifiers import Node, read_model, write_model

RNG = np.random.default_rng(0)
W = RNG.standard_normal((64, 3))
KERNEL = RNG.standard_normal((3, 1, 8, 8))
GEMM: list[Node] = [("Flatten", ["x"], "f"), ("Gemm", ["f", "w"], "m")]
MAP: list[Node] = [("Conv", ["x", "kernel"], "m")]
"""(n, 3, 1, 1)"""
PICTURES = np.random.default_rng(1).random((2, 1, 8, 8), np.float32)


def model(path: Path, nodes: list[Node], outputs: Any = (("y", ("n", 3)),), **given: Any) -> Model:
    weights = {"w": W, "kernel": KERNEL, "shape": np.array([-1, 3]), "one": W[:, :1]}
    used = {name for node in nodes for name in node[1]}
    kept = {name: array for name, array in weights.items() if name in used}
    return read_model(write_model(path, nodes, kept, outputs=outputs, **given))


DENSE = PICTURES.reshape(2, 64) @ W.astype(np.float32)
MAPPED = PICTURES.reshape(2, 64) @ KERNEL.reshape(3, 64).T.astype(np.float32)


@pytest.mark.parametrize(
    ("nodes", "opset", "taken", "want"),
    [
        ([*GEMM, ("Identity", ["m"], "y")], 17, None, DENSE),
        ([*GEMM, ("Softmax", ["m"], "y")], 17, "Softmax", DENSE),
        ([*GEMM, ("LogSoftmax", ["m"], "y", {"axis": 1})], 13, "LogSoftmax", DENSE),
        ([*GEMM, ("Softmax", ["m"], "s"), ("Reshape", ["s", "shape"], "y")], 17, "Softmax", DENSE),
        (
            [
                *MAP,
                ("Flatten", ["m"], "f"),
                ("Softmax", ["f"], "s"),
                ("Reshape", ["s", "shape"], "y"),
            ],
            17,
            "Softmax",
            MAPPED,
        ),
        (
            [*MAP, ("Softmax", ["m"], "s", {"axis": 1}), ("Flatten", ["s"], "y")],
            17,
            "Softmax",
            MAPPED,
        ),
        (
            [*MAP, ("Softmax", ["m"], "s", {"axis": 1}), ("Flatten", ["s"], "y")],
            9,
            "Softmax",
            MAPPED,
        ),
    ],
)
def test_the_logits_are_found(
    tmp_path: Path, nodes: list[Node], opset: int, taken: str | None, want: Any
) -> None:
    found = model(tmp_path / "m.onnx", nodes, opset=opset)
    assert found.classes == 3
    assert found.batchable
    assert ("taken off" in found.identity.logits) == (taken is not None)
    if taken:
        assert f"trailing {taken} " in found.identity.logits
    np.testing.assert_allclose(Run(found, 2, 1).logits(PICTURES), want, atol=1e-4)


def test_a_map_of_one_pixel_under_an_old_softmax(tmp_path: Path) -> None:
    """SqueezeNet's end: Softmax over everything after the batch, on (n, classes, 1, 1)."""
    nodes: list[Node] = [*MAP, ("Softmax", ["m"], "y", {"axis": 1})]
    outputs = [("y", ("n", 3, 1, 1))]
    found = model(tmp_path / "m.onnx", nodes, outputs, opset=9)
    assert "Softmax taken off" in found.identity.logits
    np.testing.assert_allclose(Run(found, 2, 1).logits(PICTURES), MAPPED, atol=1e-4)


def test_the_first_output_of_scores_counts(tmp_path: Path) -> None:
    nodes: list[Node] = [
        *GEMM,
        ("ArgMax", ["m"], "label", {"axis": 1, "keepdims": 0}),
        ("Softmax", ["m"], "y"),
        ("Relu", ["m"], "z"),
    ]
    outputs = [("label", ("n",)), ("y", ("n", 3)), ("z", ("n", 3))]
    kinds = {"label": TensorProto.INT64}
    found = model(tmp_path / "m.onnx", nodes, outputs, kinds=kinds)
    assert "output 'y' (chosen of 3 outputs: " in found.identity.logits
    np.testing.assert_allclose(Run(found, 2, 1).logits(PICTURES), DENSE, atol=1e-4)


@pytest.mark.parametrize(
    ("nodes", "dims", "says"),
    [
        ([("Relu", ["x"], "y")], ("n", 1, 8, 8), "one score per class"),
    ],
)
def test_what_gives_no_list_of_scores_is_refused(
    tmp_path: Path, nodes: list[Node], dims: tuple[Any, ...], says: str
) -> None:
    with pytest.raises(ModelRefused, match=says):
        model(tmp_path / "m.onnx", nodes, [("y", dims)])
