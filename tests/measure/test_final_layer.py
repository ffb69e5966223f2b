"""The last linear layer, found under whatever an exporter put after it."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.measure.entanglement import WEIGHTS, measure_entanglement
from leap_audit.measure.run import Run
from tests.builders.classifiers import Node, read_model, write_model

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((5, 1, 3, 3))
W = RNG.standard_normal((3, 5))
BIAS = RNG.standard_normal(3)
CONV: Node = ("Conv", ["x", "kernel"], "c", {"pads": [1, 1, 1, 1]})
BODY: list[Node] = [
    CONV,
    ("Relu", ["c"], "r"),
    ("GlobalAveragePool", ["r"], "g"),
    ("Flatten", ["g"], "f"),
]
LINEAR: dict[str, list[Node]] = {
    "gemm": [*BODY, ("Gemm", ["f", "w_in", "b"], "y")],
    "gemm, transposed": [*BODY, ("Gemm", ["f", "w", "b"], "y", {"transB": 1})],
    "gemm without a bias": [*BODY, ("Gemm", ["f", "w"], "y", {"transB": 1})],
    "matmul": [*BODY, ("MatMul", ["f", "w_in"], "y")],
    "matmul and bias": [*BODY, ("MatMul", ["f", "w_in"], "m"), ("Add", ["m", "b"], "y")],
    "bias and matmul": [*BODY, ("MatMul", ["f", "w_in"], "m"), ("Add", ["b", "m"], "y")],
    "convolution on one pixel": [
        *BODY[:3],
        ("Conv", ["g", "w_map", "b"], "m"),
        ("Reshape", ["m", "shape"], "y"),
    ],
    "convolution, then averaged": [
        *BODY[:2],
        ("Conv", ["r", "w_map", "b"], "m"),
        ("GlobalAveragePool", ["m"], "a"),
        ("Flatten", ["a"], "y"),
    ],
    "under a softmax": [
        *BODY,
        ("Gemm", ["f", "w", "b"], "m", {"transB": 1}),
        ("Softmax", ["m"], "y"),
    ],
}
OTHER: dict[str, list[Node]] = {
    "a ReLU after it": [*BODY, ("Gemm", ["f", "w_in", "b"], "m"), ("Relu", ["m"], "y")],
    "a ReLU between convolution and average": [
        *BODY[:2],
        ("Conv", ["r", "w_map", "b"], "m"),
        ("Relu", ["m"], "n"),
        ("GlobalAveragePool", ["n"], "a"),
        ("Flatten", ["a"], "y"),
    ],
    "the largest of a map": [
        *BODY[:2],
        ("Conv", ["r", "w_map", "b"], "m"),
        ("GlobalMaxPool", ["m"], "a"),
        ("Flatten", ["a"], "y"),
    ],
    "a residual after it": [
        *BODY,
        ("Gemm", ["f", "w_in", "b"], "m"),
        ("Sin", ["m"], "s"),
        ("Add", ["m", "s"], "y"),
    ],
    "a wide kernel, averaged": [
        *BODY[:2],
        ("Conv", ["r", "w_wide"], "m"),
        ("GlobalAveragePool", ["m"], "a"),
        ("Flatten", ["a"], "y"),
    ],
    "a convolution in strides, averaged": [
        *BODY[:2],
        ("Conv", ["r", "w_map", "b"], "m", {"strides": [2, 2]}),
        ("GlobalAveragePool", ["m"], "a"),
        ("Flatten", ["a"], "y"),
    ],
}


def classifier(path: Path, nodes: list[Node]) -> Run:
    weights = {
        "kernel": KERNEL,
        "w": W,
        "w_in": W.T,
        "w_map": W[:, :, None, None],
        "w_wide": RNG.standard_normal((3, 5, 3, 3)),
        "b": BIAS,
        "shape": np.array([-1, 3]),
    }
    used = {name for node in nodes for name in node[1]}
    kept = {name: array for name, array in weights.items() if name in used}
    return Run(read_model(write_model(path, nodes, kept), names=3), 2, 1)


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_end_gives_features_and_weights(tmp_path: Path, name: str) -> None:
    found = classifier(tmp_path / "m.onnx", LINEAR[name])
    pictures = np.random.default_rng(1).random((3, 1, 8, 8), np.float32)
    assert found.weights is not None
    np.testing.assert_allclose(found.weights, W, rtol=1e-5)
    features, logits = found.features(pictures), found.logits(pictures)
    biased = "without" not in name and name != "matmul"
    want = features @ W.T + (BIAS if biased else 0)
    np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-5)

    shared, method = measure_entanglement(found, pictures, [(0,), (1,), (2,)])
    assert method == WEIGHTS
    for item, row in zip(shared, features, strict=True):
        assert list(item.cosines) == [0, 1, 2]
        for k, cosine in item.cosines.items():
            norms = np.linalg.norm(row) * np.linalg.norm(W[k])
            assert cosine == pytest.approx(float(row @ W[k]) / float(norms), abs=1e-5)


@pytest.mark.parametrize("name", OTHER)
def test_any_other_end_gives_none(tmp_path: Path, name: str) -> None:
    assert classifier(tmp_path / "m.onnx", OTHER[name]).weights is None
