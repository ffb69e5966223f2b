"""Vectors of a transformer's tokens: one is made of them as the user says, never silently."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.directions import Directions
from leap_audit.measure.run import Run
from leap_audit.run.session import Array
from tests.builders.classifiers import CPU, RAW, Node, write_model

TOKENS, WIDE = 16, 6
PICTURES = np.random.default_rng(2).random((3, 1, 8, 8)).astype(np.float32)
WEIGHTS = np.random.default_rng(3).standard_normal((4, WIDE)).astype(np.float32)
NODES: list[Node] = [
    ("Reshape", ["x", "patches"], "p"),
    ("MatMul", ["p", "w"], "m"),
    ("LayerNormalization", ["m", "ones"], "y", {"axis": -1}),
]


def transformer(path: Path, more: tuple[Node, ...] = (), **given: Any) -> Path:
    """An encoder whose output y has a vector for each of TOKENS tokens."""
    weights = {"patches": np.array([0, TOKENS, 4]), "w": WEIGHTS, "ones": np.ones(WIDE)}
    given = {"outputs": [("y", ("n", TOKENS, WIDE))], **given}
    return write_model(path, [*NODES, *more], weights, **given)


def loaded(path: Path, **said: Any) -> Model:
    return load(path, DeclaredPreprocessing.model_validate(RAW), CPU, **said)


def tokens_of(pictures: Array) -> Array:
    """(pictures, TOKENS, WIDE): the output by its definition."""
    found = pictures.reshape(len(pictures), TOKENS, 4) @ WEIGHTS
    apart = found - found.mean(-1, keepdims=True)
    return np.asarray(apart / np.sqrt(found.var(-1, keepdims=True) + 1e-5))


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_one_vector_is_made_as_output_says(tmp_path: Path, opset: int) -> None:
    path = transformer(tmp_path / "m.onnx", opset=opset)
    wanted = {"first": tokens_of(PICTURES)[:, 0], "mean": tokens_of(PICTURES).mean(1)}
    for suffix, vectors in wanted.items():
        model = loaded(path, output=f"y:{suffix}")
        assert (model.identity.task, model.classes) == ("embedding", WIDE)
        assert suffix in model.identity.task_reason
        assert model.identity.output == f"y:{suffix}"
        assert model.identity.meaning == "Its numbers are read as a vector."
        found = np.stack(list(Run(model, 3, 1).scores(PICTURES)))[:, :, 0]
        np.testing.assert_allclose(found, vectors, rtol=1e-4, atol=1e-5)


def test_a_tensor_inside_the_graph_has_tokens_as_well(tmp_path: Path) -> None:
    more: tuple[Node, ...] = (("Flatten", ["y"], "f"),)
    path = transformer(tmp_path / "m.onnx", more, outputs=[("f", ("n", TOKENS * WIDE))])
    assert loaded(path, output="y:first").classes == WIDE


def test_a_refusal_of_tokens_says_how_they_are_read(tmp_path: Path) -> None:
    path = transformer(tmp_path / "m.onnx")
    directions = Directions(np.eye(3, WIDE), 100.0)
    for said in ({}, {"task": "embedding"}, {"directions": directions}):
        with pytest.raises(ModelRefused, match=r": --output y:first\. .*: --output y:mean\."):
            loaded(path, **said)
    model = loaded(path, output="y:mean", directions=directions)
    assert (model.identity.task, model.classes) == ("classification", 3)


def test_a_refusal_of_other_shapes_says_nothing_of_tokens(tmp_path: Path) -> None:
    nodes: list[Node] = [("Abs", ["x"], "y")]
    path = write_model(tmp_path / "m.onnx", nodes, {}, outputs=[("y", ("n", 1, 8, 8))])
    with pytest.raises(ModelRefused) as caught:
        loaded(path, task="embedding")
    assert "tokens" not in str(caught.value)
    with pytest.raises(ModelRefused, match="batch × tokens × features; 'y' is n × 1 × 8 × 8"):
        loaded(path, output="y:first")


def test_a_name_with_a_colon_is_a_name(tmp_path: Path) -> None:
    path = transformer(
        tmp_path / "m.onnx", (("Flatten", ["y"], "f:0"),), outputs=[("f:0", ("n", 96))]
    )
    proto = onnx.load(path)
    proto.graph.node[-1].output[0] = proto.graph.output[0].name = "y:first"
    onnx.save(proto, path)
    assert loaded(path, output="y:first", task="embedding").classes == TOKENS * WIDE
    with pytest.raises(ModelRefused, match="no output called 'z:mean'"):
        loaded(path, output="z:mean")
