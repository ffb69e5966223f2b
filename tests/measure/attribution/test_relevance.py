"""The methods lrp and attnlrp: sums, targets, tensors inside, and the way back to the picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from typer.testing import CliRunner

from leap_audit import cli
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ConfigRefused, UsageError
from leap_audit.ingest import load
from leap_audit.measure.attribution.relevance import PATENTS
from leap_audit.measure.attribution.smoothing import explainer
from leap_audit.measure.methods import Explanation
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.measure.targets import (
    ClassTarget,
    CosineTarget,
    DifferenceTarget,
    ScoreTarget,
    TensorTarget,
)
from leap_audit.pipeline.explain import explained
from leap_audit.run import choose_provider
from leap_audit.run.session import Array
from tests.builders.attention import attending

RNG = np.random.default_rng(3)
PICTURE = RNG.random((3, 8, 8)).astype(np.float32)
VECTOR = RNG.normal(size=6)
W1, C1 = RNG.normal(0, 0.5, (4, 3, 3, 3)), RNG.normal(0.3, 0.3, 4)
W2 = RNG.normal(0, 0.5, (6, 4, 1, 1))


def network(path: Path, declared: DeclaredPreprocessing, *, last: bool = False) -> Run:
    """Two convolutions with ReLUs, the mean, six scores. last: the input's channels come last."""
    nodes = [
        *([helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])] if last else []),
        helper.make_node("Conv", ["t" if last else "x", "w1", "c1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    shape = ("n", 8, 8, 3) if last else ("n", 3, 8, 8)
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", onnx.TensorProto.FLOAT, shape)],
        [value("y", onnx.TensorProto.FLOAT, ("n", 6))],
        [
            onnx.numpy_helper.from_array(w.astype(np.float32), n)
            for n, w in (("w1", W1), ("c1", C1), ("w2", W2))
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, path)
    return Run(load(path, declared, choose_provider("cpu"), task="embedding"), 2, 1)


MEAN, STD = (0.4, 0.5, 0.3), (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    declared = DeclaredPreprocessing(mean=MEAN, std=STD, range=(0.0, 1.0))
    return network(tmp_path_factory.mktemp("net") / "m.onnx", declared)


def relevance(
    run: Run, target: ScoreTarget | None, picture: Array = PICTURE, **options: Any
) -> Explanation:
    method = explainer(options.pop("method", "lrp"))
    subject = Subject(picture, 0, target=target) if target is not None else Subject(picture, 0)
    chosen = method.options.parse(options, "test")
    (found,) = method.function(run, [subject], chosen, seed=0)
    return found


BEST = 2
TARGETS: dict[str, Callable[[], ScoreTarget]] = {
    "a class": lambda: ClassTarget(BEST),
    "a difference": lambda: DifferenceTarget(BEST, (0, 3)),
    "a cosine": lambda: CosineTarget(VECTOR),
    "a tensor inside": lambda: TensorTarget("c", (1, 4, 5)),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "epsilon_gamma_box"])
def test_relevance_adds_up_to_every_target(run: Run, name: str, composite: str) -> None:
    found = relevance(run, TARGETS[name](), composite=composite)
    figures = found.figures
    assert figures["completeness_gap"] < 1e-4
    assert found.values.sum() == pytest.approx(figures["relevance_sum"], rel=1e-4)
    total = figures["relevance_sum"] + figures["kept_by_constants"]
    assert total == pytest.approx(figures["score"], rel=1e-4)
    assert abs(figures["score"]) > 1e-3


def test_the_way_back_to_the_picture(run: Run, tmp_path: Path) -> None:
    """Where channels come last, or blue first, the same network gives the same map."""
    plain = relevance(run, ClassTarget(BEST), composite="epsilon_gamma_box")
    assert plain.detail is not None
    last = DeclaredPreprocessing(mean=MEAN, std=STD, range=(0.0, 1.0), layout="NHWC")
    other = relevance(
        network(tmp_path / "last.onnx", last, last=True),
        ClassTarget(BEST),
        composite="epsilon_gamma_box",
    )
    np.testing.assert_allclose(other.detail, plain.detail, rtol=1e-3, atol=1e-6)
    blue = DeclaredPreprocessing(
        mean=MEAN, std=STD, range=(0.0, 1.0), layout="NCHW", channel_order="BGR"
    )
    turned = relevance(
        network(tmp_path / "blue.onnx", blue),
        ClassTarget(BEST),
        PICTURE[::-1],
        composite="epsilon_gamma_box",
    )
    assert turned.detail is not None
    np.testing.assert_allclose(turned.detail[::-1], plain.detail, rtol=1e-3, atol=1e-6)


def test_the_box_is_the_range_of_pictures(run: Run) -> None:
    """z^B by hand: with γ 0 and one place, relevance is in proportion to x w - l w⁺ - h w⁻."""
    found = relevance(run, TensorTarget("a", (1, 4, 5)), composite="epsilon_gamma_box")
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (MEAN, STD))
    x, low, high = (PICTURE - mean) / std, (0 - mean) / std, (1 - mean) / std
    w = W1[1]
    z = x[:, 3:6, 4:7] * w - low * np.maximum(w, 0) - high * np.minimum(w, 0)
    expected = np.zeros((3, 8, 8))
    expected[:, 3:6, 4:7] = z / z.sum() * found.figures["score"]
    np.testing.assert_allclose(found.detail, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box"])
def test_a_tensor_inside_keeps_the_rules_of_the_whole(run: Run, composite: str) -> None:
    """The second convolution is not the first layer because one looks right before it."""
    found = relevance(run, ClassTarget(BEST), composite=composite, at="b")
    assert found.detail is not None
    assert found.detail.shape == (4, 8, 8)
    assert found.at.startswith("'b'")
    assert found.figures["completeness_gap"] < 1e-4
    assert abs(found.figures["kept_by_constants"]) < 1e-4 * abs(found.figures["score"])
    w = W2[BEST, :, 0, 0]
    weights = np.maximum(w, 0) if composite != "epsilon_gamma_box" else w + 0.25 * np.maximum(w, 0)
    b = run.activations(PICTURE[None], "b")["b"][0]
    z = weights[:, None, None] * b
    y = np.maximum(np.tensordot(w, b, 1), 0) / 64
    expected = z / (z.sum(0) + 1e-12) * y
    np.testing.assert_allclose(found.detail, expected, rtol=1e-2, atol=1e-4)


def test_what_goes_around_a_tensor_is_not_promised(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[n,3,8,8] x) => (float[n,6] y) '
        "{ a = Conv(x, w) b = Relu(a) c = Add(a, b) g = GlobalAveragePool(c) y = Flatten(g) }"
    )
    weights = RNG.normal(0, 1, (6, 3, 1, 1)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(proto, tmp_path / "m.onnx")
    raw = DeclaredPreprocessing(mean=(0.0,), std=(1.0,), range=(0.0, 1.0))
    run = Run(load(tmp_path / "m.onnx", raw, choose_provider("cpu"), task="embedding"), 1, 1)
    assert "completeness_gap" not in relevance(run, ClassTarget(1), at="b").figures
    assert relevance(run, ClassTarget(1), at="c").figures["completeness_gap"] < 1e-4
    assert relevance(run, ClassTarget(1), at="a").figures["completeness_gap"] < 1e-4


def test_the_box_is_refused_where_pictures_are_mixed_first(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[n,3,8,8] x) => (float[n,6] y) '
        "{ m = AveragePool<kernel_shape=[2,2]>(x) a = Conv(m, w) g = GlobalAveragePool(a) "
        "y = Flatten(g) }"
    )
    weights = RNG.normal(0, 1, (6, 3, 1, 1)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(proto, tmp_path / "m.onnx")
    raw = DeclaredPreprocessing(mean=(0.0,), std=(1.0,), range=(0.0, 1.0))
    run = Run(load(tmp_path / "m.onnx", raw, choose_provider("cpu"), task="embedding"), 1, 1)
    with pytest.raises(UsageError, match="AveragePool stands before the first convolution"):
        relevance(run, ClassTarget(1), composite="epsilon_gamma_box")


def test_attention_is_refused_by_name_before_anything_is_computed(tmp_path: Path) -> None:
    model = attending(tmp_path / "m.onnx")
    with pytest.raises(ConfigRefused, match=r"'lrp' has no rule for: MatMul .*; Softmax"):
        explainer("lrp").require_of(model)
    explainer("attnlrp").require_of(model)
    picture = RNG.random(model.picture_shape).astype(np.float32)
    found = relevance(Run(model, 1, 1), None, picture, method="attnlrp")
    assert found.figures["completeness_gap"] < 1e-3


def test_the_sum_is_said_beside_the_score(run: Run) -> None:
    method = explainer("lrp")
    subject = Subject(PICTURE, 0, target=ClassTarget(BEST))
    found = explained(run, subject, method, method.options.parse({}, "test"))
    (said,) = [note for note in found.notes if "relevance" in note]
    assert said == (
        f"relevance adds up to {found.figures['relevance_sum']:.4g}, constants keep "
        f"{found.figures['kept_by_constants']:.4g}, the score is {found.score:.4g}"
    )


def test_the_patent_is_left_to_the_user_wherever_methods_are_listed() -> None:
    listed = CliRunner().invoke(cli.app, ["explain", "--methods"])
    assert f"attnlrp, lrp: {PATENTS}" in listed.stdout
    page = Path(__file__).resolve().parents[3] / "docs" / "methods.md"
    assert page.read_text(encoding="utf-8").count(PATENTS) == 2
    assert "patented" in PATENTS
