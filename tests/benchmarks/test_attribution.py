"""Grad-CAM, SmoothGrad and RISE on networks where the answer is known."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.attribution import Network, grad_cam, rise, smooth_grad
from leap_audit.measure.smooth import blur_matrix, enlargement
from leap_audit.run.session import Array
from tests.builders.classifiers import Node, linear, read_model, write_model

SIDE = 16
CLASSES = np.array([[1.0, 0], [-1, 0], [0, 2], [0.5, -3]])
"""The weights of each class on the two channels of the last map."""


def network(folder: Path) -> Network:
    """An average of 2 × 2 pixels; light and its opposite, each above a half; averaged; linear."""
    nodes: list[Node] = [
        ("AveragePool", ["x"], "small", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", ["small", "kernel", "bias"], "signed"),
        ("Relu", ["signed"], "map"),
        ("GlobalAveragePool", ["map"], "mean"),
        ("Flatten", ["mean"], "flat"),
        ("Gemm", ["flat", "w"], "y", {"transB": 1}),
    ]
    weights = {
        "kernel": np.array([1.0, -1.0]).reshape(2, 1, 1, 1),
        "bias": np.array([-0.5, 0.5]),
        "w": CLASSES,
    }
    shape, outputs = ("n", 1, SIDE, SIDE), [("y", ("n", len(CLASSES)))]
    path = write_model(folder / "m.onnx", nodes, weights, shape=shape, outputs=outputs)
    return Network.of(read_model(path), batch=2, threads=1)


@pytest.fixture
def picture() -> Array:
    return np.random.default_rng(0).random((1, SIDE, SIDE)).astype(np.float32)


def test_grad_cam_is_the_weighted_map(tmp_path: Path, picture: Array) -> None:
    explained = network(tmp_path)
    small = picture[0].reshape(SIDE // 2, 2, SIDE // 2, 2).mean((1, 3))
    maps = np.maximum([small - 0.5, 0.5 - small], 0)
    larger = enlargement(SIDE // 2, SIDE)
    for class_, weights in enumerate(CLASSES):
        cam = np.maximum(np.tensordot(weights, maps, 1), 0) / maps[0].size
        found = grad_cam(explained, picture, class_)
        assert found == pytest.approx(larger @ cam @ larger.T, abs=1e-6)
    assert grad_cam(explained, picture, 1).max() == 0  # nothing speaks for this class
    assert grad_cam(explained, picture, 2).max() > 0


def test_the_slopes_of_several_pictures_are_those_of_each(tmp_path: Path) -> None:
    explained = network(tmp_path)
    pictures = np.random.default_rng(1).random((3, 1, SIDE, SIDE)).astype(np.float32)
    together = explained.slopes(pictures, 3)
    for i, one in enumerate(pictures):
        for array, own in zip(together, explained.slopes(one[None], 3), strict=True):
            assert array[i] == pytest.approx(own[0], abs=1e-6)
    light = pictures.reshape(3, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    slope = np.where(light > 0.5, 0.5, 3.0) / light[0].size / 4
    exact = np.repeat(np.repeat(slope, 2, 1), 2, 2)
    assert together.picture_grad[:, 0] == pytest.approx(exact, abs=1e-6)


def test_a_model_without_a_map_is_refused(tmp_path: Path) -> None:
    model = read_model(linear(tmp_path / "m.onnx", np.ones((3, 64))))
    with pytest.raises(ValueError, match="averages no feature map"):
        Network.of(model)


def test_smooth_grad_of_a_map_without_kinks(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(1, 1, 8, 8))
    nodes: list[Node] = [
        ("Conv", ["x", "kernel"], "map", {"strides": [8, 8]}),
        ("GlobalAveragePool", ["map"], "mean"),
        ("Flatten", ["mean"], "flat"),
        ("Gemm", ["flat", "w"], "y", {"transB": 1}),
    ]
    path = write_model(
        tmp_path / "m.onnx",
        nodes,
        {"kernel": kernel, "w": np.array([[4.0], [8.0]])},
        shape=("n", 1, SIDE, SIDE),
        outputs=[("y", ("n", 2))],
    )
    explained = Network.of(read_model(path), batch=8, threads=1)
    picture = np.random.default_rng(1).random((1, SIDE, SIDE)).astype(np.float32)
    blur = blur_matrix(SIDE, 8 / 224 * SIDE)
    slope = np.tile(kernel[0, 0], (2, 2))  # four cells, each a quarter of the mean, times 4
    found = smooth_grad(explained, picture, 0, seed=0)
    assert found == pytest.approx(blur @ slope**2 @ blur.T, rel=1e-4)


def test_rise_finds_what_the_probability_is_made_of() -> None:
    picture = np.zeros((3, 28, 28), np.float32)
    picture[:, 4:12, 16:24] = 1

    def probability(pictures: Array) -> Array:
        return np.asarray(pictures[:, :, 4:12, 16:24].mean((1, 2, 3)))

    scores = rise(probability, picture, 0, seed=0)
    assert scores.shape == (28, 28)
    top, left = np.unravel_index(scores.argmax(), scores.shape)
    assert 4 <= top < 12
    assert 16 <= left < 24
    assert scores[4:12, 16:24].mean() > scores[:, :12].max()  # no pixel on the far side has more
