"""Which tensors are maps of places, and which attention is among all of them."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.places import attends_within_windows, attentions
from leap_audit.measure.attribution.smoothing import explainer
from tests.builders.classifiers import Node, read_model, write_model

RNG = np.random.default_rng(0)


def attending(path: Path, windows: int) -> Model:
    """A network whose 16 tokens, patches of 2 × 2 pixels, attend in so many windows."""
    tokens = 16 // windows
    weights = {
        "w": RNG.standard_normal((4, 1, 2, 2)),
        "v": RNG.standard_normal((3, 64)),
        "heads": np.array([windows, 2, 2, tokens]),
        "flat": np.array([1, 64]),
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
    outputs = [("y", (1, 3))]
    return read_model(write_model(path, nodes, weights, shape=(1, 1, 8, 8), outputs=outputs))


def test_attention_among_all_tokens_is_rolled_out(tmp_path: Path) -> None:
    model = attending(tmp_path / "m.onnx", 1)
    assert [value.shape[-1] for value in attentions(model) if value.shape] == [16]
    assert not attends_within_windows(model)
    assert not explainer("gradient_rollout").unmet(model)


@pytest.mark.parametrize("method", ["gradient_rollout", "attention_rollout"])
def test_attention_within_windows_is_not(tmp_path: Path, method: str) -> None:
    """Windows of 2 × 2 places are a grid as well, of another part of the picture each."""
    model = attending(tmp_path / "m.onnx", 4)
    assert not attentions(model)
    assert attends_within_windows(model)
    assert "within windows" in explainer(method).unmet(model)
