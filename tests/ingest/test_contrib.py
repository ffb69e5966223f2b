"""ONNX Runtime's own operators written in standard ones: the numbers of its kernels."""

import numpy as np
import onnx
import pytest

from leap_audit.ingest.canonical import canonicalise, to_proto
from leap_audit.run import Session, choose_provider
from tests.ingest.contrib import one_node

CPU = choose_provider("cpu")
RNG = np.random.default_rng(0)


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
        {"domain": "", "opset": 13, "epsilon": 0.1},
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
