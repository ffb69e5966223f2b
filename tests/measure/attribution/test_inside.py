"""Methods that ask the part of a model behind a tensor, such as Recipro-CAM."""

from pathlib import Path

import numpy as np
import pytest

import leap_audit
from leap_audit.canonical.cut import cut
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import UsageError
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.places import Places, places_of
from leap_audit.measure.attribution.recipro_cam import cell_masks
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.run import Run
from leap_audit.measure.targets import ClassTarget, Target, TensorTarget
from leap_audit.run import choose_provider
from leap_audit.run.session import Array
from tests.builders.attention import averaging
from tests.builders.classifiers import Node, read_model, write_model
from tests.builders.encoders import smooth_encoder
from tests.builders.kinds import SIDE, SQUARE, segmenter, square

RAW = DeclaredPreprocessing(mean=(0.0,), std=(1.0,), range=(0.0, 1.0))
RNG = np.random.default_rng(9)
PICTURE = RNG.random((1, 8, 8)).astype(np.float32)


def squaring(path: Path) -> Model:
    """Classes that are linear in the mean of b + (2 b)², whose gradient changes on the way."""
    nodes: list[Node] = [
        ("Conv", ["x", "w"], "a"),
        ("Relu", ["a"], "b"),
        ("Conv", ["b", "u"], "c"),
        ("Mul", ["c", "c"], "d"),
        ("Add", ["b", "d"], "s"),
        ("GlobalAveragePool", ["s"], "g"),
        ("Flatten", ["g"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    weights = {
        "w": np.array([1.0, -0.5, 2.0]).reshape(3, 1, 1, 1),
        "u": 2 * np.eye(3)[:, :, None, None],
        "v": np.array([[1.0, 0.0, 0.0], [0.5, 1.0, -2.0], [0.0, -1.0, 0.5]]),
    }
    return read_model(write_model(path, nodes, weights))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(squaring(tmp_path_factory.mktemp("inside") / "m.onnx"), 4, 1)


def inside(picture: Array) -> Array:
    """The tensor b of `squaring`, (3, 8, 8)."""
    return np.maximum(np.array([1.0, -0.5, 2.0])[:, None, None] * picture, 0)


def test_the_path_runs_between_the_tensors_own_values(run: Run) -> None:
    """Of b + 4 b² from b0 to b: (b - b0) + 4 (b² - b0²), of each element."""
    x0 = np.full((1, 8, 8), 0.25, np.float32)
    found = leap_audit.explain(run, PICTURE, 1, "layer_ig", at="b", baseline=x0, steps=4)
    v = np.array([0.5, 1.0, -2.0])[:, None, None] / 64
    want = [v * (b + 4 * b**2) for b in (inside(PICTURE), inside(x0))]
    np.testing.assert_allclose(found.values, want[0] - want[1], rtol=1e-4, atol=1e-7)
    assert found.completeness < 1e-5
    influence = leap_audit.explain(run, PICTURE, 1, "internal_influence", at="b", baseline=x0)
    assert not np.allclose(influence.values, found.values, rtol=0.1)


def test_what_goes_past_a_tensor_stays_and_is_said(run: Run) -> None:
    """At c the sum has 4 b² alone: b goes past it."""
    found = leap_audit.explain(run, PICTURE, 1, "layer_ig", at="c", baseline="black", steps=4)
    v = np.array([0.5, 1.0, -2.0])[:, None, None] / 64
    np.testing.assert_allclose(found.values, v * 4 * inside(PICTURE) ** 2, rtol=1e-4, atol=1e-7)
    assert "'b' beside it as it was" in found.at
    for method in ("layer_ig", "reciprocam", "ablationcam"):
        assert "beside" in leap_audit.explain(run, PICTURE, 1, method, at="c").at
        assert "beside" not in leap_audit.explain(run, PICTURE, 1, method, at="s").at


def test_each_place_says_what_it_adds_alone(run: Run) -> None:
    """The mean of 4 channels' squares, behind masks: by hand."""
    b, v = inside(PICTURE), np.array([0.5, 1.0, -2.0])
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    want, plain = np.zeros((8, 8)), np.zeros((8, 8))
    for i in range(8):
        for j in range(8):
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    if 0 <= i + down < 8 and 0 <= j + across < 8:
                        share = kernel[down + 1, across + 1] * b[:, i + down, j + across]
                        want[i, j] += v @ (share + 4 * share**2) / 64
            plain[i, j] = v @ (b[:, i, j] + 4 * b[:, i, j] ** 2) / 64
    found = leap_audit.explain(run, PICTURE, 1, "reciprocam", at="b")
    np.testing.assert_allclose(found.map, want, rtol=1e-4, atol=1e-6)
    found = leap_audit.explain(run, PICTURE, 1, "reciprocam", at="b", spread=False)
    np.testing.assert_allclose(found.map, plain, rtol=1e-4, atol=1e-6)


def test_masks_are_the_kernel_cut_off_at_the_edge() -> None:
    masks = list(cell_masks(3, 4, spread=True))
    assert len(masks) == 12
    np.testing.assert_array_equal(masks[0][:2, :2], np.array([[4, 2], [2, 1]]) / 16)
    assert masks[0].sum() == 9 / 16
    assert masks[5].sum() == 1  # the second row's second place
    np.testing.assert_array_equal(masks[5][:, :3], np.outer([1, 2, 1], [1, 2, 1]) / 16)
    alone = np.stack(list(cell_masks(3, 4, spread=False)))
    np.testing.assert_array_equal(alone.reshape(12, 12), np.eye(12))


@pytest.mark.parametrize(
    ("order", "shape", "extra"),
    [
        ((0, 1, 2, 3), (2, 5, 3, 4), 0),
        ((0, 3, 1, 2), (2, 3, 4, 5), 0),
        ((0, 2, 1), (2, 14, 5), 2),
        ((0, 1, 2), (2, 5, 14), 2),
    ],
)
def test_masks_lie_as_the_tensor_does(
    order: tuple[int, ...], shape: tuple[int, ...], extra: int
) -> None:
    places = Places("t", 3, 4, 5, order, extra)
    kept = RNG.random((2, 3, 4)).astype(np.float32)
    values = RNG.random(shape).astype(np.float32)
    masked = values * places.masks(kept)
    assert masked.shape == shape
    np.testing.assert_allclose(places.of(masked), places.of(values) * kept[:, None], rtol=1e-6)
    if extra:
        first = np.moveaxis(masked, order.index(2) if order == (0, 1, 2) else 1, 0)[:extra]
        before = np.moveaxis(values, order.index(2) if order == (0, 1, 2) else 1, 0)[:extra]
        np.testing.assert_array_equal(first, before)


def test_the_rest_of_the_model_takes_no_picture(run: Run) -> None:
    """Only where something goes past the tensor."""
    score = Score(run, ClassTarget(1), 4)
    for at, past in (("s", None), ("b", None), ("c", "b"), ("d", "b")):
        tail = score.tail(PICTURE, at)
        assert tail.beside == past
        values = score.values(PICTURE[None], at)[at]
        np.testing.assert_allclose(tail(values), score(PICTURE[None]), rtol=1e-5)
        slope = score.gradients(PICTURE[None], (at,))[at]
        np.testing.assert_allclose(tail.gradient(values), slope, rtol=1e-5)
    sizes = {at: len(list(cut(run.model.graph, [at], ["y"]).graph)) for at in ("b", "s", "g")}
    assert sizes == {"b": 6, "s": 3, "g": 2}


def test_half_precision_inside(tmp_path: Path) -> None:
    """The tensor is float16 in the model; what stands for it is cast as the model's own is."""
    nodes: list[Node] = [
        ("Cast", ["x"], "h", {"to": 10}),
        ("Relu", ["h"], "r"),
        ("Mul", ["r", "r"], "q"),
        ("Add", ["q", "r"], "p"),
        ("Cast", ["p"], "k", {"to": 1}),
        ("GlobalAveragePool", ["k"], "g"),
        ("Flatten", ["g"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    weights = {"v": np.array([[1.0], [-1.0], [0.5]])}
    half = Run(read_model(write_model(tmp_path / "m.onnx", nodes, weights)), 4, 1)
    for at in ("p", "q"):
        found = leap_audit.explain(half, PICTURE, 2, "reciprocam", at=at, spread=False)
        add = PICTURE[0] ** 2 + (PICTURE[0] if at == "p" else 0)
        np.testing.assert_allclose(found.map, 0.5 * add / 64, rtol=5e-3, atol=1e-5)


EVERY: list[Target] = [
    leap_audit.Difference(1, (0, 2)),
    leap_audit.Tensor("f", (2,)),
    leap_audit.Tensor("s", (2, 4, 4)),
]


@pytest.mark.parametrize("method", ["layer_ig", "reciprocam", "ablationcam"])
@pytest.mark.parametrize("target", EVERY, ids=str)
def test_any_score_is_explained(run: Run, method: str, target: Target) -> None:
    options = {"relu": False} if method == "ablationcam" else {}
    found = leap_audit.explain(run, PICTURE, target, method, at="b", **options)
    assert found.map.any()
    if target == EVERY[2] and method == "reciprocam":
        away = found.map.copy()
        away[3:6, 3:6] = 0
        assert not away.any()  # one place of s comes from the same place of b


@pytest.mark.parametrize("method", ["layer_ig", "reciprocam", "ablationcam"])
def test_what_is_computed_without_the_tensor_is_refused(run: Run, method: str) -> None:
    with pytest.raises(UsageError, match="'b' is computed without 's'"):
        leap_audit.explain(run, PICTURE, TensorTarget("b", (0, 1, 1)), method, at="s")


def test_a_linear_end_gives_cam_spread_over_the_neighbours(tmp_path: Path) -> None:
    run = Run(averaging(tmp_path / "m.onnx"), 8, 1)
    cam = leap_audit.explain(run, PICTURE, 1, "cam", relu=False).map / 64
    plain = leap_audit.explain(run, PICTURE, 1, "reciprocam", spread=False)
    np.testing.assert_allclose(plain.map, cam, rtol=1e-4, atol=1e-6)
    assert places_of(run.model, "r").text == plain.at
    wide = np.pad(cam, 1)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    want = sum(kernel[i, j] * wide[i : i + 8, j : j + 8] for i in range(3) for j in range(3))
    found = leap_audit.explain(run, PICTURE, 1, "reciprocam")
    np.testing.assert_allclose(found.map, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["layer_ig", "reciprocam"])
def test_a_part_of_a_segmentation_is_explained(method: str, tmp_path: Path) -> None:
    """A place of the map that goes into the scores reaches the scores of no other."""
    model = load(segmenter(tmp_path / "m.onnx"), RAW, choose_provider("cpu"))
    place = leap_audit.Place(1, (0.0, 0.0, 0.5, 0.5))
    found = leap_audit.explain(Run(model, 8, 1), square(), place, method, at="a")
    half = SIDE // 2
    away = found.map.copy()
    away[: half + 1, : half + 1] = 0  # a neighbour's mask reaches one further
    assert not away.any()
    assert found.map[SQUARE].any()


EMBEDDINGS: list[leap_audit.Embedding] = [
    leap_audit.Dimension(2),
    leap_audit.Direction(RNG.normal(size=6)),
    leap_audit.Embedding(),
    leap_audit.Embedding(normalised=True),
    leap_audit.Similarity(RNG.random((3, 8, 8)).astype(np.float32)),
]


@pytest.mark.parametrize("target", EMBEDDINGS, ids=lambda target: type(target).__name__)
def test_scores_of_vectors_are_explained_inside(target: Target, tmp_path: Path) -> None:
    path = smooth_encoder(tmp_path / "m.onnx")
    run = Run(load(path, RAW, choose_provider("cpu"), task="embedding"), 4, 1)
    picture = RNG.random((3, 8, 8)).astype(np.float32)
    found = leap_audit.explain(run, picture, target, "layer_ig", at="b", steps=60)
    assert found.completeness < 1e-3
    score = Score(run, target, 4, picture)
    values = score.values(picture[None], "b")["b"]
    empty = score.tail(picture, "b")(0 * values)[0]
    middle = values * 0
    middle[:, :, 4, 5] = values[:, :, 4, 5]
    alone = leap_audit.explain(run, picture, target, "reciprocam", at="b", spread=False)
    want = score.tail(picture, "b")(middle)[0] - empty
    assert alone.map[4, 5] == pytest.approx(want, rel=1e-4)
    assert want != 0


def test_a_file_that_rounds_is_explained(tmp_path: Path) -> None:
    """What comes after the map is rounded to tenths: the places are still told apart."""
    nodes: list[Node] = [
        ("Conv", ["x", "w"], "a"),
        ("GlobalAveragePool", ["a"], "g"),
        ("QuantizeLinear", ["g", "step", "zero"], "q"),
        ("DequantizeLinear", ["q", "step", "zero"], "d"),
        ("Flatten", ["d"], "f"),
        ("Gemm", ["f", "v"], "y", {"transB": 1}),
    ]
    weights = {
        "w": np.full((1, 1, 1, 1), 64.0),
        "step": np.array(0.1),
        "zero": np.array(0, np.uint8),
        "v": np.array([[1.0], [-1.0], [0.5]]),
    }
    run = Run(read_model(write_model(tmp_path / "m.onnx", nodes, weights)), 4, 1)
    found = leap_audit.explain(run, PICTURE, 0, "reciprocam", at="a", spread=False)
    np.testing.assert_allclose(found.map, np.round(PICTURE[0] * 10) / 10, atol=1e-5)
