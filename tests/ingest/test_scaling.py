"""What a graph does to its input before its first layer says which pixels it expects."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from leap_audit.artifacts import Preprocessing
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import PreprocessingRefused
from leap_audit.ingest import load
from leap_audit.run import choose_provider
from tests.builders.inputs import behind, network

CPU = choose_provider("cpu")
F = np.float32
NCHW = {"perm": [0, 3, 1, 2]}
FIRST, LAST = ("n", 3, 16, 16), ("n", 16, 16, 3)


def each(*numbers: float) -> np.ndarray:
    return np.array(numbers, F).reshape(1, -1, 1, 1)


CONSTANTS = {
    "c255": F(255),
    "c1_255": F(1 / 255),
    "c127": F(127.5),
    "one": F(1),
    "two": F(2),
    "half": F(0.5),
    "scale": np.array([1, 1, 2, 2], F),
    "imagenet": each(0.485, 0.456, 0.406),
    "std": each(0.229, 0.224, 0.225),
    "caffe": each(103.939, 116.779, 123.68),
    "caffe_rgb": each(123.68, 116.779, 103.939),
    "mean255": each(123.675, 116.28, 103.53),
    "std255": each(58.395, 57.12, 57.375),
    "cifar": each(0.4914, 0.4822, 0.4465),
    "bgr": np.array([2, 1, 0], np.int64),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
    "shape": np.array([-1, 3, 16, 16], np.int64),
    "flat": np.array([-1, 3, 256], np.int64),
    "gamma": np.full(3, 0.9, F),
    "beta": np.full(3, 0.1, F),
    "m255": np.array([120, 115, 100], F),
    "v255": np.array([3600, 3500, 3700], F),
    "m1": np.array([0.48, 0.45, 0.4], F),
    "v1": np.array([0.06, 0.05, 0.06], F),
    "m0": np.zeros(3, F),
    "v0": np.ones(3, F),
    "diagonal": np.eye(3, dtype=F).reshape(3, 3, 1, 1) / 255,
    "depth": np.full((3, 1, 1, 1), 1 / 255, F),
    "tenth": F(0.1),
    "low": F(0),
    "high": F(255),
    "start": np.array([-1], np.int64),
    "end": np.array([-(1 << 31)], np.int64),
    "axis": np.array([1], np.int64),
    "step": np.array([-1], np.int64),
}
RESIZE = {"mode": "linear"}
BYTES: dict[str, Sequence[Any]] = {
    "divided": [("Div", ["x", "c255"], ["z"])],
    "resized, divided": [
        ("Resize", ["x", "", "scale"], ["a"], RESIZE),
        ("Div", ["a", "c255"], ["z"]),
    ],
    "divided, resized": [
        ("Div", ["x", "c255"], ["a"]),
        ("Resize", ["a", "", "scale"], ["z"], RESIZE),
    ],
    "to -1..1": [
        ("Mul", ["x", "c1_255"], ["a"]),
        ("Sub", ["a", "half"], ["b"]),
        ("Mul", ["b", "two"], ["z"]),
    ],
    "to -1..1 by 127.5": [("Div", ["x", "c127"], ["a"]), ("Sub", ["a", "one"], ["z"])],
    "mean and deviation": [("Sub", ["x", "mean255"], ["a"]), ("Div", ["a", "std255"], ["z"])],
    "divided, mean and deviation": [
        ("Div", ["x", "c255"], ["a"]),
        ("Sub", ["a", "imagenet"], ["b"]),
        ("Div", ["b", "std"], ["z"]),
    ],
    "padded": [("Mul", ["x", "c1_255"], ["a"]), ("Pad", ["a", "pads"], ["z"])],
    "reshaped": [
        ("Reshape", ["x", "flat"], ["a"]),
        ("Div", ["a", "c255"], ["b"]),
        ("Reshape", ["b", "shape"], ["z"]),
    ],
    "swapped by Gather": [
        ("Gather", ["x", "bgr"], ["a"], {"axis": 1}),
        ("Div", ["a", "c255"], ["z"]),
    ],
    "swapped by Split": [
        ("Split", ["x"], ["r", "gr", "b"], {"axis": 1}),
        ("Concat", ["b", "gr", "r"], ["s"], {"axis": 1}),
        ("Div", ["s", "c255"], ["z"]),
    ],
    "swapped by Slice": [
        ("Slice", ["x", "start", "end", "axis", "step"], ["a"]),
        ("Div", ["a", "c255"], ["z"]),
    ],
    "each channel apart": [
        ("Split", ["x"], ["r", "gr", "b"], {"axis": 1}),
        *(("Div", [name, "c255"], [f"{name}_"]) for name in ("r", "gr", "b")),
        ("Concat", ["b_", "gr_", "r_"], ["z"], {"axis": 1}),
    ],
    "BatchNormalization": [("BatchNormalization", ["x", "gamma", "beta", "m255", "v255"], ["z"])],
    "a diagonal Conv": [("Conv", ["x", "diagonal"], ["z"])],
    "a depthwise Conv": [("Conv", ["x", "depth"], ["z"], {"group": 3})],
    "bounded": [("Clip", ["x", "low", "high"], ["a"]), ("Div", ["a", "c255"], ["z"])],
    "half precision": [
        ("Cast", ["x"], ["a"], {"to": 10}),
        ("Cast", ["a"], ["b"], {"to": 1}),
        ("Div", ["b", "c255"], ["z"]),
    ],
}
UNIT: dict[str, Sequence[Any]] = {
    "mean and deviation": [("Sub", ["x", "imagenet"], ["a"]), ("Div", ["a", "std"], ["z"])],
    "mean alone": [("Sub", ["x", "imagenet"], ["z"])],
    "the mean of CIFAR": [("Sub", ["x", "cifar"], ["z"])],
    "to -1..1": [("Mul", ["x", "two"], ["a"]), ("Sub", ["a", "one"], ["z"])],
    "to 0..255": [("Mul", ["x", "c255"], ["z"])],
    "to 0..255, mean": [("Mul", ["x", "c255"], ["a"]), ("Sub", ["a", "mean255"], ["z"])],
    "BatchNormalization": [("BatchNormalization", ["x", "gamma", "beta", "m1", "v1"], ["z"])],
}


def read(nodes: Sequence[Any], shape: Sequence[Any] = FIRST, **declared: Any) -> Preprocessing:
    model = behind(nodes, CONSTANTS, shape=shape)
    return load(model, DeclaredPreprocessing(**declared), CPU).preprocessing


@pytest.mark.parametrize("name", BYTES)
def test_pixels_of_0_to_255_are_expected(name: str) -> None:
    found = read(BYTES[name])
    assert (found.range, found.mean, found.std) == ((0, 255), (0, 0, 0), (1, 1, 1))
    assert "scales its input itself: before its first layer 0 becomes" in found.assumed["range"]


@pytest.mark.parametrize("name", UNIT)
def test_pixels_of_0_to_1_are_expected_and_not_normalised_twice(name: str) -> None:
    found = read(UNIT[name])
    assert (found.range, found.mean, found.std) == ((0, 1), (0, 0, 0), (1, 1, 1))
    assert "scales its input itself" in found.assumed["range"]


@pytest.mark.parametrize("before", [True, False])
def test_channels_last(before: bool) -> None:
    there = [("Transpose", ["x"], ["t"], NCHW), ("Div", ["t", "c255"], ["z"])]
    here = [("Div", ["x", "c255"], ["t"]), ("Transpose", ["t"], ["z"], NCHW)]
    found = read(there if before else here, LAST)
    assert (found.layout, found.range) == ("NHWC", (0, 255))


def test_pixels_of_minus_1_to_1() -> None:
    nodes = [("Add", ["x", "one"], ["a"]), ("Mul", ["a", "half"], ["z"])]
    assert read(nodes).range == (-1, 1)


@pytest.mark.parametrize(
    ("mean", "order"), [("caffe", "BGR"), ("caffe_rgb", "RGB"), ("mean255", "RGB")]
)
def test_the_means_say_the_order_of_the_channels(mean: str, order: str) -> None:
    found = read([("Sub", ["x", mean], ["z"])])
    assert (found.range, found.channel_order) == ((0, 255), order)
    assert "subtracts the means" in found.assumed["channel_order"]


def test_an_exchange_inside_is_no_exchange_of_the_input() -> None:
    swapped = [("Gather", ["x", "bgr"], ["a"], {"axis": 1}), ("Sub", ["a", "caffe"], ["z"])]
    assert read(swapped).channel_order == "RGB"


@pytest.mark.parametrize(
    "nodes",
    [
        [("Identity", ["x"], ["z"])],
        [("BatchNormalization", ["x", "gamma", "beta", "m0", "v0"], ["z"])],
        [("Relu", ["x"], ["z"])],
        [("Mul", ["x", "tenth"], ["z"])],
    ],
)
def test_what_the_graph_leaves_open_is_an_assumption(nodes: Sequence[Any]) -> None:
    found = read(nodes)
    assert found.range == (0, 1)
    assert "common convention of PyTorch" in found.assumed["range"]
    scaled = nodes[0][0] in ("Mul", "BatchNormalization")
    assert ("does not say whether it expects 0..1 or 0..255" in found.assumed["range"]) == scaled


def test_what_was_declared_wins() -> None:
    found = read(BYTES["divided"], range=(0, 1), channel_order="BGR")
    assert (found.range, found.channel_order, found.mean) == ((0, 1), "BGR", (0, 0, 0))


OPTIMUM = ("batch_size", "num_channels", "height", "width")


@pytest.mark.parametrize(
    ("nodes", "shape", "layout"),
    [
        ([("Identity", ["x"], ["z"])], OPTIMUM, "NCHW"),
        ([("Identity", ["x"], ["z"])], ("N", "C", "H", "W"), "NCHW"),
        ([("Transpose", ["x"], ["z"], NCHW)], ("a", "b", "c", "d"), "NHWC"),
        (
            [("Div", ["x", "c255"], ["t"]), ("Transpose", ["t"], ["z"], NCHW)],
            ("batch", "height", "width", "channels"),
            "NHWC",
        ),
        ([("Transpose", ["x"], ["z"], NCHW)], ("n", "h", "w", 3), "NHWC"),
    ],
)
def test_free_sizes_are_asked_for_once(nodes: Sequence[Any], shape: Any, layout: str) -> None:
    says = r"^The input 'x' leaves its height and width free; pass --input-size .* 224,224\.$"
    with pytest.raises(PreprocessingRefused, match=says):
        read(nodes, shape)
    found = read(nodes, shape, input_size=(16, 16))
    assert (found.layout, found.input_size, len(found.mean)) == (layout, (16, 16), 3)


def flattened(shape: Sequence[Any]) -> Any:
    """A model that no convolution opens."""
    nodes = [("Flatten", ["x"], ["f"]), ("Gemm", ["f", "w", "bias"], ["y"])]
    return network(nodes, [("x", 1, shape)], {"w": np.ones((192, 3), F)})


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (OPTIMUM, "leaves its height and width free; pass --input-size"),
        (("n", "h", "w", "c"), "leaves its height and width free; pass --input-size"),
        (("n", 3, 8, "w"), "leaves its width free; pass --input-size"),
        (("n", "h", 8, 3), "leaves its height free; pass --input-size"),
        (
            ("n", "p", "q", "r"),
            "leaves its height and width free, and is free × free × free × "
            "free, which does not say where .*; pass --layout NCHW or --layout NHWC, and --input-s",
        ),
        (("n", 64, 48, 80), "is free × 64 × 48 × 80, which does .*; pass --layout .* BANDS"),
    ],
)
def test_all_that_is_missing_is_in_one_sentence(shape: Any, says: str) -> None:
    with pytest.raises(PreprocessingRefused, match=says) as caught:
        load(flattened(shape), DeclaredPreprocessing(), CPU)
    assert str(caught.value).startswith("The input 'x'")


def test_the_names_of_free_sides_say_the_layout() -> None:
    declared: Mapping[str, Any] = {"input_size": (8, 8)}
    for shape, layout in ((OPTIMUM, "NCHW"), (("n", "h", "w", "c"), "NHWC")):
        found = load(flattened(shape), DeclaredPreprocessing(**declared), CPU).preprocessing
        assert found.layout == layout
