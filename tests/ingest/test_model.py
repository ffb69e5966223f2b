"""From a file to what an audit knows of the model."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import LeapAuditError, ModelRefused
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest import load
from leap_audit.measure.run import Run
from tests.builders.classifiers import CPU, Node, one_at_a_time, read_model, write_model

RNG = np.random.default_rng(0)
W = RNG.standard_normal((64, 3))
GEMM: list[Node] = [("Flatten", ["x"], "f"), ("Gemm", ["f", "w"], "y")]


def plain(path: Path, **given: Any) -> Path:
    return write_model(path, GEMM, {"w": W}, **given)


def test_identity(tmp_path: Path) -> None:
    path = plain(tmp_path / "m.onnx")
    model = read_model(path)
    identity = model.identity
    assert identity.file == "m.onnx"
    assert identity.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert identity.size_bytes == path.stat().st_size
    assert (identity.opset, identity.parameters) == (17, 192)
    assert [(t.name, t.shape) for t in identity.inputs] == [("x", ("n", 1, 8, 8))]
    assert [t.name for t in identity.outputs] == ["y"]
    assert model.picture_shape == (1, 8, 8)
    assert sum(model.operators.values()) >= 1


def test_initializers_listed_as_inputs(tmp_path: Path) -> None:
    model = read_model(plain(tmp_path / "m.onnx", listed=True))
    assert [t.name for t in model.identity.inputs] == ["x"]
    pictures = RNG.random((2, 1, 8, 8))
    found = Run(model, 2, 1).logits(pictures)
    np.testing.assert_allclose(found, pictures.reshape(2, 64) @ W, rtol=1e-4, atol=1e-4)


def test_a_batch_fixed_at_one_is_freed(tmp_path: Path) -> None:
    nodes: list[Node] = [
        ("Reshape", ["x", "shape"], "f"),
        ("MatMul", ["f", "w"], "m"),
        ("Reshape", ["m", "out"], "y"),
    ]
    weights = {"w": W, "shape": np.array([1, 64]), "out": np.array([1, 3])}
    path = write_model(
        tmp_path / "m.onnx", nodes, weights, shape=(1, 1, 8, 8), outputs=[("y", (1, 3))]
    )
    model = read_model(path)
    assert model.batchable
    pictures = RNG.random((3, 1, 8, 8))
    found = Run(model, 3, 1).logits(pictures)
    np.testing.assert_allclose(found, pictures.reshape(3, 64) @ W, rtol=1e-4, atol=1e-4)


def test_an_item_taken_out_of_its_batch_forbids_a_batch(tmp_path: Path) -> None:
    model = read_model(one_at_a_time(tmp_path / "m.onnx"))
    assert not model.batchable
    classifier = Run(model, 16, 1)
    assert classifier.batch == 1
    assert classifier.logits(np.zeros((3, 1, 8, 8))).shape == (3, 3)


@pytest.mark.parametrize(
    ("nodes", "inside"),
    [
        ([("Sub", ["p", "c127"], "q"), ("Mul", ["q", "small"], "z")], True),
        ([("Mul", ["p", "small"], "z")], True),
        ([("Div", ["p", "c127"], "z")], True),
        ([("Add", ["p", "minus"], "z")], True),
        ([("Mul", ["p", "two"], "z")], False),
        ([("Sub", ["p", "half"], "z")], False),
        ([("Mul", ["p", "zero"], "q"), ("Add", ["p", "q"], "z")], False),
        ([("Relu", ["p"], "z")], False),
    ],
)
def test_scaling_inside_the_graph_is_seen(tmp_path: Path, nodes: list[Node], inside: bool) -> None:
    chain: list[Node] = [
        ("Transpose", ["x"], "p", {"perm": [0, 3, 1, 2]}),
        *nodes,
        ("Flatten", ["z"], "f"),
        ("Gemm", ["f", "w"], "y"),
    ]
    numbers = {"c127": 127, "small": 1 / 128, "minus": -127.5, "two": 2, "half": 0.5, "zero": 0}
    weights = {name: np.array([float(value)]) for name, value in numbers.items()}
    weights["w"] = RNG.standard_normal((192, 3))
    used = {name for node in chain for name in node[1]}
    kept = {name: array for name, array in weights.items() if name in used}
    path = write_model(tmp_path / "m.onnx", chain, kept, shape=("n", 8, 8, 3))
    found = load(path, DeclaredPreprocessing(), CPU).preprocessing
    assert found.layout == "NHWC"
    assert found.range == ((0, 255) if inside else (0, 1))
    if inside:
        assert "scales its input itself" in found.assumed["range"]


def test_the_forward_graph_holds_the_logits_of_a_batch(tmp_path: Path) -> None:
    nodes: list[Node] = [*GEMM[:1], ("Gemm", ["f", "w"], "m"), ("Softmax", ["m"], "y")]
    model = read_model(write_model(tmp_path / "m.onnx", nodes, {"w": W}))
    before = model.proto.SerializeToString(deterministic=True)
    graph = model.with_batch(4).graph
    assert [static_shape(v) for v in graph.outputs] == [(4, 3)]
    assert static_shape(graph.inputs[0]) == (4, 1, 8, 8)
    assert model.proto.SerializeToString(deterministic=True) == before


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", GEMM, {"w": np.full((64, 3), np.nan)})
    with pytest.raises(ModelRefused, match="NaN or infinite"):
        read_model(path)


def test_whole_numbers_in_are_read_as_a_picture_of_0_to_255(tmp_path: Path) -> None:
    path = plain(tmp_path / "m.onnx")
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    cast = onnx.helper.make_node("Cast", ["x"], ["cast"], to=1)
    proto.graph.node.insert(0, cast)
    proto.graph.node[1].input[0] = "cast"
    onnx.save(proto, path)
    model = load(path, DeclaredPreprocessing(), CPU)
    assert model.preprocessing.range == (0, 255)
    assert model.identity.inputs[0].dtype == "uint8"
    pictures = RNG.random((2, 1, 8, 8))
    found = Run(model, 2, 1).logits(pictures)
    np.testing.assert_allclose(found, 255 * pictures.reshape(2, 64) @ W, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [("n", 64), ("n",), (), ("n", 1, 8, 8, 8)])
def test_an_input_that_is_no_picture_is_refused(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    nodes: list[Node] = [("Relu", ["x"], "y")]
    path = write_model(tmp_path / "m.onnx", nodes, {}, shape=shape, outputs=[("y", shape)])
    with pytest.raises(LeapAuditError, match="input"):
        read_model(path)
