"""A model is canonicalised once, whatever batches are asked of it, where its batch leads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.canonical import form
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of
from leap_audit.measure.run import Run
from leap_audit.pipeline import audit
from tests.builders import kinds
from tests.builders.classifiers import RAW, Node, linear, read_model, write_model
from tests.builders.ends import own_answer
from tests.builders.running import TINY


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the batches for which a graph was canonicalised."""
    batches: list[int] = []
    work = form._canonical

    def counting(*given: Any) -> Any:
        batches.append(given[-1])
        return work(*given)

    monkeypatch.setattr(form, "_canonical", counting)
    return batches


@pytest.mark.parametrize("kind", ["segmentation", "binary", "linear"])
def test_a_whole_audit_canonicalises_its_model_once(
    tmp_path: Path, counted: list[int], kind: str, without_pdf: None
) -> None:
    path, side = tmp_path / "m.onnx", kinds.SIDE
    if kind == "segmentation":
        kinds.segmenter(path, "argmax")
    elif kind == "binary":
        kinds.one_score(path, True)
    else:
        linear(path, np.random.default_rng(0).normal(size=(3, side * side)), side=side)
    result = audit(path, out=tmp_path / "out", **{**TINY, "preprocessing": RAW})
    assert result.audit.prototypes
    assert all(each.isolations for each in result.audit.prototypes)
    assert counted == [1]


def tokens_first(path: Path, batch: int | str) -> Path:
    """Write a network whose middle is (tokens, batch, features), as attention has it."""
    nodes: list[Node] = [
        ("Reshape", ["x", "tokens"], "t"),
        ("Transpose", ["t"], "s", {"perm": [1, 0, 2]}),
        ("MatMul", ["s", "w"], "f"),
        ("Tanh", ["f"], "h"),
        ("ReduceMean", ["h"], "y", {"axes": [0], "keepdims": 0}),
    ]
    weights = {
        "tokens": np.array([-1, 8, 8]),
        "w": np.random.default_rng(0).normal(size=(8, 3)),
    }
    shape, outputs = (batch, 1, 8, 8), [("y", (batch, 3))]
    return write_model(path, nodes, weights, shape=shape, outputs=outputs)


def test_a_batch_that_does_not_lead_is_canonicalised_for_each_batch(
    tmp_path: Path, counted: list[int]
) -> None:
    path = tokens_first(tmp_path / "m.onnx", "n")
    model = read_model(path, **RAW, names=3)
    assert model.batchable
    pictures = np.random.default_rng(1).random((5, 1, 8, 8), np.float32)
    want = own_answer(path, pictures)
    for batch in (1, 2, 3, 3):
        found = Run(model, batch, 1).logits(pictures)
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    assert counted == [1, 2, 2, 3]  # 2 is tried when the model is read, and made when it is run


def test_a_graph_of_another_batch_is_a_copy_that_shares_the_weights(
    tmp_path: Path, counted: list[int]
) -> None:
    weights = np.random.default_rng(0).normal(size=(100, 64))
    model = read_model(linear(tmp_path / "m.onnx", weights))
    (own,) = (v for v in model.graph.graph.initializers.values() if v.const_value.size == 6400)
    for batch in (1, 5):
        wider = model.with_batch(batch)
        assert static_shape(wider.graph.inputs[0]) == (batch, 1, 8, 8)
        assert static_shape(wider.graph.outputs[0]) == (batch, 100)
        shared = wider.graph.initializers[own.name]
        assert np.shares_memory(constant_of(shared), constant_of(own))
        shared.name = "another"
        assert own.name == own.const_value.name != "another"
    assert static_shape(model.graph.graph.inputs[0]) == (1, 1, 8, 8)
    assert counted == [1]


def test_the_digest_is_that_of_the_numbers_and_of_how_they_are_read(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 64))
    path = linear(tmp_path / "m.onnx", weights)
    first, again = read_model(path), read_model(path)
    assert first.digest == again.digest
    assert read_model(path, range=(0, 255), mean=0.0, std=1.0).digest != first.digest
    weights[2, 5] += 1e-3
    assert read_model(linear(path, weights)).digest != first.digest
    large = [np.ones((100, 64)), np.ones((100, 64))]
    large[1][99, 63] = 2
    a, b = (read_model(linear(path, w)).digest for w in large)
    assert a != b
