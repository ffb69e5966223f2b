"""Files that ONNX Runtime's optimiser wrote have the gradient of the files they came from."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.canonical import nchwc as blocked
from leap_audit.canonical.form import canonicalise
from leap_audit.errors import GradientUnavailable, ModelRefused
from leap_audit.gradient import build_gradient
from leap_audit.run import Session, choose_provider
from tests.builders.networks import conv_net, residual_net, transformer

NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    "convolutions": conv_net,
    "residual": residual_net,
    "residual-13": lambda: residual_net(opset=13),
    "transformer": transformer,
    "transformer-13": lambda: transformer(opset=13),
}
LEVELS = ("BASIC", "EXTENDED", "ALL")
BATCH = 2


def optimised(model: onnx.ModelProto, level: str, folder: Path) -> onnx.ModelProto:
    """Return what ONNX Runtime writes when it optimises the model up to a level."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}"
    )
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3  # it warns that the highest level is for one processor
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return onnx.load(folder / "optimised.onnx")


def gradient(model: onnx.ModelProto) -> np.ndarray:
    """Return the gradient at a random picture for a random cotangent."""
    graph = build_gradient(model, batch=BATCH)
    rng = np.random.default_rng(0)
    given = {
        value.name: rng.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim])
        for value in graph.graph.input
    }
    session = Session(graph, choose_provider("cpu"), threads=1)
    feed = {name: array.astype(np.float32) for name, array in given.items()}
    return session.run(feed, ["image_grad"])[0]


def assert_same_gradient(model: onnx.ModelProto, original: onnx.ModelProto) -> None:
    want = gradient(original)
    scale = float(np.abs(want).max())
    assert scale > 1e-3
    np.testing.assert_allclose(gradient(model), want, rtol=0, atol=1e-5 * scale)


def operators(model: onnx.ModelProto) -> set[str]:
    return {
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for node in model.graph.node
    }


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NETWORKS)
def test_an_optimised_file_has_the_gradient_of_its_original(
    name: str, level: str, tmp_path: Path
) -> None:
    original = NETWORKS[name]()
    assert_same_gradient(optimised(original, level, tmp_path), original)


@pytest.mark.parametrize("multi_head", [False, True])
@pytest.mark.parametrize("opset", [13, 17])
def test_what_the_transformer_optimiser_fuses(
    opset: int, multi_head: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    optimizer = pytest.importorskip("onnxruntime.transformers.optimizer")
    options = importlib.import_module("onnxruntime.transformers.fusion_options")
    original = transformer(opset=opset)
    onnx.save(original, tmp_path / "transformer.onnx")
    wanted = options.FusionOptions("bert")
    wanted.use_multi_head_attention = multi_head
    fused = optimizer.optimize_model(
        str(tmp_path / "transformer.onnx"),
        num_heads=2,
        hidden_size=8,
        opt_level=0,
        optimization_options=wanted,
    ).model
    attention = "MultiHeadAttention" if multi_head else "Attention"
    expected = {attention, "SkipLayerNormalization", "BiasGelu"}
    assert {f"com.microsoft.{name}" for name in expected} <= operators(fused)
    assert_same_gradient(fused, original)


def test_the_levels_write_what_the_tests_are_about(tmp_path: Path) -> None:
    found = operators(optimised(residual_net(), "EXTENDED", tmp_path))
    assert {"com.microsoft.FusedConv", "com.microsoft.QuickGelu"} <= found
    found = operators(optimised(transformer(opset=13), "EXTENDED", tmp_path))
    assert {"LayerNormalization", "com.microsoft.BiasGelu", "com.microsoft.FusedMatMul"} <= found


def _needs_blocks() -> None:
    if blocked._block_size() == 1:
        pytest.skip("this processor computes nothing in blocks")


def test_blocks_are_taken_apart(tmp_path: Path) -> None:
    _needs_blocks()
    model = optimised(residual_net(), "ALL", tmp_path)
    names = {node.op_type for node in model.graph.node if node.domain == blocked.BLOCKED}
    assert {"Conv", "MaxPool", "ReorderInput", "ReorderOutput"} <= names
    plain = blocked.without_blocks(model)
    assert blocked.BLOCKED not in {node.domain for node in plain.graph.node}


def _convolutions(
    nodes: list[onnx.NodeProto], shape: list[int], **arrays: np.ndarray
) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "k"])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_groups_pools_and_enlargements_in_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    make = helper.make_node
    nodes = [
        make("Conv", ["image", "w1"], ["c1"], pads=[1] * 4),
        make("Conv", ["c1", "w2"], ["c2"], group=2, pads=[1] * 4),
        make("AveragePool", ["c2"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Resize", ["p2", "", "scales"], ["u2"], mode="nearest", nearest_mode="floor",
             coordinate_transformation_mode="asymmetric"),
        make("Conv", ["u2", "w3"], ["c3"]),
        make("Concat", ["c3", "u2"], ["j3"], axis=1),
        make("GlobalMaxPool", ["j3"], ["g3"]),
        make("GlobalAveragePool", ["j3"], ["h3"]),
        make("Add", ["g3", "h3"], ["a3"]),
        make("Flatten", ["a3"], ["scores"]),
    ]  # fmt: skip
    original = _convolutions(
        nodes,
        [16, 6, 6],
        w1=rng.standard_normal((32, 16, 3, 3)) * 0.2,
        w2=rng.standard_normal((32, 16, 3, 3)) * 0.2,
        w3=rng.standard_normal((32, 32, 1, 1)) * 0.2,
        scales=np.array([1, 1, 2, 2]),
    )
    assert_same_gradient(optimised(original, "ALL", tmp_path), original)


def test_weights_stored_in_blocks_are_refused_by_name(tmp_path: Path) -> None:
    _needs_blocks()
    model = optimised(residual_net(), "ALL", tmp_path)
    conv = next(n for n in model.graph.node if n.domain == blocked.BLOCKED and n.op_type == "Conv")
    with pytest.raises(GradientUnavailable, match=f"'{conv.input[1]}' is stored in another order"):
        build_gradient(model, wrt=conv.input[1])


def test_blocks_of_another_processor_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _needs_blocks()
    model = optimised(residual_net(), "ALL", tmp_path)
    monkeypatch.setattr(blocked, "_block_size", lambda: 5)
    with pytest.raises(ModelRefused, match=r"nchwc\.Conv .*blocks of 5.*'extended' at most"):
        canonicalise(model)


def test_wrongly_unblocked_kernels_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _needs_blocks()
    model = optimised(residual_net(), "ALL", tmp_path)
    half = blocked._block_size() // 2
    monkeypatch.setattr(blocked, "_block_size", lambda: half)
    with pytest.raises(Exception, match=r"other numbers|does not run"):
        canonicalise(model, provider=choose_provider("cpu"))


def test_an_operator_in_blocks_without_a_plain_form_is_named(tmp_path: Path) -> None:
    _needs_blocks()
    model = optimised(residual_net(), "ALL", tmp_path)
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool")
    pool.op_type = "LpPool"
    with pytest.raises(ModelRefused, match=r"nchwc\.LpPool \(node .*no plain form"):
        canonicalise(model)
