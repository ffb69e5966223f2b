"""ONNX Runtime's own operators written in standard ones: the numbers of its kernels."""

import math
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from leap_audit.canonical.form import canonicalise, to_proto
from leap_audit.run import Session, choose_provider
from tests.builders.contrib import one_node

CPU = choose_provider("cpu")
RNG = np.random.default_rng(0)
INT32 = TensorProto.INT32


def _f(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def _u8(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


MASK = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.int32)
ATTENTION = {"x": (2, 4, 6), "w": _f(6, 24), "b": _f(24)}
HEADS = {"query": (2, 4, 8), "key": (2, 4, 8), "value": (2, 4, 8)}
PACKED = {"a": (3, 40), "b": _u8(5, 3, 8), "scales": _f(15)}
CONV = {"x": (1, 2, 6, 6), "w": _f(3, 2, 3, 3), "b": _f(3)}

CASES = [
    ("Gelu", {"x": (2, 3)}, {}),
    ("FastGelu", {"x": (2, 3)}, {}),
    ("FastGelu", {"x": (2, 3), "bias": _f(3)}, {}),
    ("QuickGelu", {"x": (2, 3)}, {}),
    ("QuickGelu", {"x": (2, 3)}, {"alpha": 0.7}),
    ("BiasGelu", {"x": (2, 3), "bias": _f(3)}, {}),
    ("FusedConv", CONV, {"activation": "Relu", "pads": [1, 1, 1, 1]}),
    ("FusedConv", CONV, {"activation": "LeakyRelu", "activation_params": [0.3]}),
    ("FusedConv", CONV, {"activation": "Clip", "activation_params": [-0.5, 0.7]}),
    ("FusedConv", CONV, {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]}),
    ("FusedConv", {**CONV, "z": _f(1, 3, 4, 4)}, {"activation": "Sigmoid"}),
    ("FusedGemm", {"a": (2, 3), "b": _f(3, 4), "c": _f(4)}, {"activation": "Relu", "alpha": 0.5}),
    (
        "FusedGemm",
        {"a": (3, 2), "b": _f(4, 3), "c": _f(4)},
        {"activation": "LeakyRelu", "activation_alpha": 0.3, "transA": 1, "transB": 1},
    ),
    ("FusedMatMul", {"a": (2, 3, 4), "b": _f(2, 5, 4)}, {"transB": 1, "alpha": 0.5}),
    ("FusedMatMul", {"a": (2, 4, 3), "b": _f(4, 5)}, {"transA": 1}),
    ("TransposeMatMul", {"a": (2, 3, 4), "b": _f(2, 5, 4)}, {"transB": 1}),
    ("SkipLayerNormalization", {"x": (1, 3, 4), "s": (1, 3, 4), "g": _f(4), "b": _f(4)}, {}),
    (
        "SkipLayerNormalization",
        {"x": (1, 3, 4), "s": (1, 3, 4), "g": _f(4), "b": _f(4), "bias": _f(4)},
        {"epsilon": 0.1, "outputs": ("y", "", "", "total")},
    ),
    ("SkipSimplifiedLayerNormalization", {"x": (1, 3, 4), "s": (1, 3, 4), "g": _f(4)}, {}),
    (
        "SkipSimplifiedLayerNormalization",
        {"x": (1, 3, 4), "s": (1, 3, 4), "g": _f(4), "bias": _f(4)},
        {"epsilon": 0.1, "outputs": ("y", "", "", "total")},
    ),
    ("SimplifiedLayerNormalization", {"x": (1, 3, 4), "g": _f(4)}, {"domain": "", "epsilon": 0.1}),
    ("SimplifiedLayerNormalization", {"x": (1, 3, 4), "g": _f(3, 4)}, {"domain": "", "axis": 1}),
    (
        "LayerNormalization",
        {"x": (1, 3, 4), "g": _f(4), "b": _f(4)},
        {"domain": "", "version": 13, "epsilon": 0.1},
    ),
    ("Attention", ATTENTION, {"num_heads": 2}),
    ("Attention", {**ATTENTION, "mask": MASK}, {"num_heads": 2, "scale": 0.3}),
    ("Attention", ATTENTION, {"num_heads": 4, "unidirectional": 1}),
    (
        "Attention",
        {"x": (2, 4, 6), "w": _f(6, 20), "b": _f(20)},
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
    ),
    (
        "Attention",
        {**ATTENTION, "mask": None, "past": None, "bias": _f(2, 2, 4, 4)},
        {"num_heads": 2},
    ),
    ("MultiHeadAttention", HEADS, {"num_heads": 2}),
    ("MultiHeadAttention", {**HEADS, "bias": _f(24)}, {"num_heads": 4, "scale": 0.2}),
    ("MultiHeadAttention", {**HEADS, "bias": None, "mask": MASK}, {"num_heads": 2}),
    ("MatMulNBits", PACKED, {"K": 40, "N": 5, "bits": 4, "block_size": 16}),
    (
        "MatMulNBits",
        {**PACKED, "zero": _u8(10)},
        {"K": 40, "N": 5, "bits": 4, "block_size": 16},
    ),
]


@pytest.mark.parametrize(
    ("op_type", "inputs", "options"),
    [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(CASES)],
)
def test_rewritten_is_the_kernel(op_type: str, inputs: dict, options: dict) -> None:
    model = one_node(op_type, inputs, **options)
    batch = next(s for s in inputs.values() if isinstance(s, tuple))[0]
    proto = to_proto(canonicalise(model, batch=batch))
    assert {node.domain for node in proto.graph.node} == {""}
    assert not {node.op_type for node in proto.graph.node} & {"SimplifiedLayerNormalization"}
    rng = np.random.default_rng(1)
    feed = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in inputs.items()
        if isinstance(shape, tuple)
    }
    wanted = Session(model, CPU, threads=1).run(feed)
    found = Session(proto, CPU, threads=1).run(feed)
    for want, have in zip(wanted, found, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)


def _gelu(x: np.ndarray) -> np.ndarray:
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _group_norm(x: np.ndarray) -> np.ndarray:
    """Of (items, channels, height, width), in 3 groups."""
    rows = x.reshape(len(x), 3, -1)
    normal = (rows - rows.mean(2, keepdims=True)) / np.sqrt(rows.var(2, keepdims=True) + 0.1)
    return normal.reshape(x.shape) * GAMMA[:, None, None] + BETA[:, None, None]


def _nhwc_conv(x: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))  # n h w c y x
    return np.einsum("nhwcyx,ocyx->nhwo", windows, CONV["w"]) + CONV["b"]


GAMMA, BETA, ROW = _f(6), _f(6), _f(4)
NORM = {"g": GAMMA, "b": BETA}
ELSEWHERE = [
    ("BiasSplitGelu", {"x": (2, 4), "b": ROW}, {}, lambda x: _split_gelu(x + ROW)),
    ("BiasAdd", {"x": (2, 3, 4), "b": ROW, "s": (2, 3, 4)}, {}, lambda x, s: x + ROW + s),
    (
        "GroupNorm",
        {"x": (2, 6, 3, 2), **NORM},
        {"groups": 3, "epsilon": 0.1, "activation": 0, "channels_last": 0},
        _group_norm,
    ),
    (
        "GroupNorm",
        {"x": (2, 3, 2, 6), **NORM},
        {"groups": 3, "epsilon": 0.1, "activation": 1},
        lambda x: _silu(np.moveaxis(_group_norm(np.moveaxis(x, 3, 1)), 1, 3)),
    ),
    ("NhwcConv", {**CONV, "x": (1, 6, 5, 2)}, {}, _nhwc_conv),
]
"""Operators of which ONNX Runtime has a kernel on other processors only, and what they compute."""


def _split_gelu(x: np.ndarray) -> np.ndarray:
    left, right = np.split(x, 2, -1)
    return left * _gelu(right)


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("op_type", "inputs", "options", "exact"),
    [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(ELSEWHERE)],
)
def test_rewritten_is_what_its_words_say(
    op_type: str, inputs: dict[str, Any], options: dict[str, Any], exact: Any
) -> None:
    proto = to_proto(canonicalise(one_node(op_type, inputs, **options), batch=inputs["x"][0]))
    assert {node.domain for node in proto.graph.node} == {""}
    feed = {name: _f(*shape) for name, shape in inputs.items() if isinstance(shape, tuple)}
    (found,) = Session(proto, CPU, threads=1).run(feed)
    np.testing.assert_allclose(found, exact(*feed.values()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("segments", [False, True])
def test_an_embedding_is_the_kernel(segments: bool) -> None:
    ids = np.array([[1, 0, 2, 2]], np.int32)
    given = {"segments": ids % 2, "word": _f(3, 6)} if segments else {"s": None, "word": _f(3, 6)}
    given |= {"position": _f(5, 6), "segment": _f(2, 6) if segments else None}
    model = one_node("EmbedLayerNormalization", {"ids": (1, 4), **given, **NORM}, given=INT32)
    model.graph.node[0].output.append("mask")
    proto = to_proto(canonicalise(model))
    assert {node.domain for node in proto.graph.node} == {""}
    (wanted,) = Session(model, CPU, threads=1).run({"ids": ids})
    (found,) = Session(proto, CPU, threads=1).run({"ids": ids})
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_has_a_past_stays_as_it_is() -> None:
    past = _f(2, 2, 2, 3, 4)
    model = one_node("Attention", {**ATTENTION, "mask": None, "past": past}, num_heads=2)
    proto = to_proto(canonicalise(model, batch=2))
    assert [node.op_type for node in proto.graph.node] == ["Attention"]
    assert any(o.domain == "com.microsoft" for o in proto.opset_import)


def test_the_file_itself_is_not_changed() -> None:
    model = one_node("SimplifiedLayerNormalization", {"x": (1, 3, 4), "g": _f(4)}, domain="")
    before = model.SerializeToString(deterministic=True)
    canonicalise(model, provider=CPU)
    assert model.SerializeToString(deterministic=True) == before
    assert isinstance(model, onnx.ModelProto)
