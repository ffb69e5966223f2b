"""FullGrad of activations that are linear between two ends, and of what ONNX Runtime breaks."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.methods import load_methods
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.measure.targets import ClassTarget
from leap_audit.run import choose_provider

RNG = np.random.default_rng(3)
PICTURE = RNG.random((3, 8, 8)).astype(np.float32)


def _network(folder: Path, activation: list[onnx.NodeProto]) -> Run:
    """Convolution, activation a -> b, padding, convolution, and five scores."""

    def weights(name: str, *shape: int, scale: float = 0.4) -> onnx.TensorProto:
        values = np.random.default_rng(len(name)).normal(0, scale, shape)
        return onnx.numpy_helper.from_array(values.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "c1"], ["a"], pads=[1, 1, 1, 1]),
        *activation,
        helper.make_node("Pad", ["b", "pads"], ["p"]),
        helper.make_node("Conv", ["p", "weight2", "bias02"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    initializers = [
        weights("w1", 4, 3, 3, 3),
        weights("c1", 4),
        weights("weight2", 5, 4, 3, 3),
        weights("bias02", 5),
        onnx.numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads"),
        onnx.numpy_helper.from_array(np.float32(-0.2), "low"),
        onnx.numpy_helper.from_array(np.float32(0.3), "high"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, 5))],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "m.onnx")
    declared = DeclaredPreprocessing(mean=(0.0,), std=(1.0,), range=(0.0, 1.0))
    return Run(load(folder / "m.onnx", declared, choose_provider("cpu")), 2, 1)


ACTIVATIONS = {
    "clip": [helper.make_node("Clip", ["a", "low", "high"], ["b"])],
    "clip from below": [helper.make_node("Clip", ["a", "low"], ["b"])],
    "clip from above": [helper.make_node("Clip", ["a", "", "high"], ["b"])],
    "hard sigmoid": [helper.make_node("HardSigmoid", ["a"], ["b"], alpha=0.9, beta=0.35)],
    "hard sigmoid by default": [helper.make_node("HardSigmoid", ["a"], ["b"])],
    "relu": [helper.make_node("Relu", ["a"], ["b"])],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_with_ends_have_a_part(name: str, tmp_path: Path) -> None:
    run = _network(tmp_path, ACTIVATIONS[name])
    assert _gap(run) < 1e-5
    without = _gap(run, ends=False)
    assert without < 1e-5 if name == "relu" else without > 1e-2


def test_parts_of_ends_are_on_the_map(tmp_path: Path) -> None:
    """Signed parts add up to the score but for the last bias, which stands for no place."""
    run = _network(tmp_path, ACTIVATIONS["clip"])
    values = _explained(run, parts="signed").values
    plain = _explained(run, parts="signed", ends=False).values
    b = Score(run, ClassTarget(2)).inner(PICTURE[None], "b")["b"]
    at_an_end = (b.values == np.float32(-0.2)) | (b.values == np.float32(0.3))
    want = (b.values * at_an_end * b.gradient)[0].sum(0)
    assert 0 < at_an_end.mean() < 1
    np.testing.assert_allclose(values - plain, want, atol=1e-6)


def test_a_tensor_before_a_padding_is_read_as_optimised(tmp_path: Path) -> None:
    """ONNX Runtime 1.32 breaks a graph where it also goes to an Identity; no warning here."""
    run = _network(tmp_path, ACTIVATIONS["clip"])
    score = Score(run, ClassTarget(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score.values(PICTURE[None], ["b", "c"])
    a = score.values(PICTURE[None], "a")["a"]
    np.testing.assert_allclose(found["b"], np.clip(a, -0.2, 0.3), atol=1e-6)
    assert found["c"].shape == (1, 5, 8, 8)


def _explained(run: Run, **options: object):  # type: ignore[no-untyped-def]
    method = load_methods()["fullgrad"]
    (found,) = method.function(run, [Subject(PICTURE, 2)], method.options(**options), seed=0)
    return found


def _gap(run: Run, **options: object) -> float:
    return float(_explained(run, **options).figures["completeness_gap"])
