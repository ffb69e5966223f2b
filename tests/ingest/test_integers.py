"""Pictures of whole numbers: the model is differentiated behind their conversion to float."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import leap_audit
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.gradient import build_gradient, check_gradient
from leap_audit.ingest import load
from leap_audit.measure.run import Run
from leap_audit.run import Session, choose_provider
from tests.builders.inputs import CONV, F32, behind
from tests.builders.running import TINY

CPU = choose_provider("cpu")
U8, I8, U16, I32, I64 = (
    getattr(TensorProto, name) for name in ("UINT8", "INT8", "UINT16", "INT32", "INT64")
)
F = np.float32
FLOAT: Sequence[Any] = ("Cast", ["i"], ["f"], {"to": F32})
BY255: Sequence[Any] = ("Div", ["f", "c255"], ["z"])
NCHW = {"perm": [0, 3, 1, 2]}
HALF = {"half": np.array([1, 1, 0.5, 0.5], F), "c255": F(255)}
FIRST = ("n", 3, 16, 16)
LAST = ("n", 16, 16, 3)

EXACT: dict[str, tuple[int, Sequence[Any], Sequence[Any], Mapping[str, Any]]] = {
    "cast": (U8, FIRST, [("Identity", ["x"], ["i"]), FLOAT, BY255], {}),
    "channels last": (U8, LAST, [("Transpose", ["x"], ["i"], NCHW), FLOAT, BY255], {}),
    "transposed later": (
        U8,
        LAST,
        [
            ("Cast", ["x"], ["f"], {"to": F32}),
            ("Transpose", ["f"], ["t"], NCHW),
            ("Div", ["t", "c255"], ["z"]),
        ],
        {},
    ),
    "to half": (
        U8,
        FIRST,
        [
            ("Cast", ["x"], ["h"], {"to": TensorProto.FLOAT16}),
            ("Cast", ["h"], ["f"], {"to": F32}),
            BY255,
        ],
        {},
    ),
    "nearest": (
        U8,
        FIRST,
        [("Resize", ["x", "", "half"], ["i"], {"mode": "nearest"}), FLOAT, BY255],
        {},
    ),
    "slice and pad": (
        U8,
        FIRST,
        [
            ("Slice", ["x", "two", "ten", "two"], ["s"]),
            ("Pad", ["s", "pads", "grey"], ["i"]),
            FLOAT,
            BY255,
        ],
        {
            "two": np.array([2], np.int64),
            "ten": np.array([10], np.int64),
            "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
            "grey": np.uint8(114),
        },
    ),
    "red and blue": (
        U8,
        FIRST,
        [("Gather", ["x", "bgr"], ["i"], {"axis": 1}), FLOAT, BY255],
        {"bgr": np.array([2, 1, 0], np.int64)},
    ),
    "split and joined": (
        U8,
        FIRST,
        [
            ("Split", ["x"], ["r", "g_", "b"], {"axis": 1, "num_outputs": 3}),
            ("Concat", ["b", "g_", "r"], ["i"], {"axis": 1}),
            FLOAT,
            BY255,
        ],
        {},
    ),
    "negative": (
        U8,
        FIRST,
        [("Sub", ["white", "x"], ["i"]), FLOAT, BY255],
        {"white": np.uint8(255)},
    ),
    "centred in int32": (
        U8,
        FIRST,
        [("Cast", ["x"], ["w"], {"to": I32}), ("Sub", ["w", "mean"], ["i"]), FLOAT, BY255],
        {"mean": np.array([90, 120, 130], np.int32).reshape(1, 3, 1, 1)},
    ),
    "doubled in int32": (
        U8,
        FIRST,
        [
            ("Cast", ["x"], ["w"], {"to": I32}),
            ("Mul", ["w", "two"], ["d"]),
            ("Add", ["d", "two"], ["i"]),
            FLOAT,
            BY255,
        ],
        {"two": np.int32(2)},
    ),
    "bounded": (
        U8,
        FIRST,
        [("Clip", ["x", "low", "high"], ["i"]), FLOAT, BY255],
        {"low": np.uint8(16), "high": np.uint8(235)},
    ),
    "dequantised": (
        I8,
        FIRST,
        [("DequantizeLinear", ["x", "scale", "zero"], ["z"])],
        {"scale": F(1 / 127.5), "zero": np.int8(-1)},
    ),
    "int32": (I32, FIRST, [("Identity", ["x"], ["i"]), FLOAT, BY255], {}),
    "int64": (I64, FIRST, [("Identity", ["x"], ["i"]), FLOAT, BY255], {}),
    "uint16 of 0..65535": (
        U16,
        FIRST,
        [("Cast", ["x"], ["f"], {"to": F32}), ("Div", ["f", "most"], ["z"])],
        {"most": F(65535)},
    ),
    "uint16 of 0..4095": (
        U16,
        FIRST,
        [("Cast", ["x"], ["f"], {"to": F32}), ("Div", ["f", "most"], ["z"])],
        {"most": F(4095)},
    ),
}
RANGES = {
    "dequantised": (-128, 127),
    "uint16 of 0..65535": (0, 65535),
    "uint16 of 0..4095": (0, 4095),
}


def model_of(name: str) -> onnx.ModelProto:
    kind, shape, nodes, arrays = EXACT[name]
    return behind(nodes, {**HALF, **arrays}, kind=kind, shape=shape, opset=18)


@pytest.mark.parametrize("name", EXACT)
def test_the_numbers_are_the_models_own(name: str) -> None:
    proto = model_of(name)
    model = load(proto, DeclaredPreprocessing(), CPU)
    preprocessing = model.preprocessing
    low, high = RANGES.get(name, (0, 255))
    assert preprocessing.range == (low, high)
    assert not any(preprocessing.mean)
    kind = helper.tensor_dtype_to_np_dtype(EXACT[name][0])
    levels = np.random.default_rng(0).integers(low, high + 1, (3, 3, 16, 16))
    pixels = levels.transpose(0, 2, 3, 1) if preprocessing.layout == "NHWC" else levels
    (want,) = Session(proto, CPU, 1).run({"x": pixels.astype(kind)})
    have = Run(model, 3, 1).logits((levels - low) / (high - low))
    np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-3 * np.abs(want).max())


def test_the_rounding_of_a_resized_picture_is_left_out() -> None:
    nodes = [("Resize", ["x", "", "half"], ["i"], {"mode": "linear"}), FLOAT, BY255]
    model = load(behind(nodes, HALF, kind=U8), DeclaredPreprocessing(), CPU)
    assert model.preprocessing.range == (0, 255)
    assert "the rounding of Resize (i) is left out" in model.preprocessing.assumed["range"]
    assert Run(model, 1, 1).logits(np.ones((1, 3, 16, 16))).shape == (1, 3)


@pytest.mark.parametrize(
    ("kind", "nodes", "arrays", "says"),
    [
        (
            U8,
            [("Sub", ["x", "k"], ["i"]), FLOAT, BY255],
            {"k": np.uint8(127)},
            r"Sub \(i\) may give numbers that uint8 cannot hold",
        ),
        (U8, [("Add", ["x", "k"], ["i"]), FLOAT, BY255], {"k": np.uint8(1)}, r"Add \(i\) may give"),
        (U8, [("Mul", ["x", "x"], ["i"]), FLOAT, BY255], {}, r"Mul \(i\) may give"),
        (
            I32,
            [("Div", ["x", "k"], ["i"]), FLOAT, BY255],
            {"k": np.int32(2)},
            r"Div \(i\) computes with them as whole numbers",
        ),
        (
            U8,
            [("BitShift", ["x", "k"], ["i"], {"direction": "RIGHT"}), FLOAT, BY255],
            {"k": np.uint8(1)},
            r"BitShift \(i\) computes",
        ),
        (I32, [("Mod", ["x", "k"], ["i"]), FLOAT, BY255], {"k": np.int32(7)}, r"Mod \(i\)"),
        (
            I32,
            [("Cast", ["x"], ["b"], {"to": U8}), ("Sub", ["b", "k"], ["i"]), FLOAT, BY255],
            {"k": np.uint8(9)},
            r"Sub \(i\) may give",
        ),
        (
            U8,
            [("Cast", ["x"], ["i"], {"to": I8}), FLOAT, BY255],
            {},
            r"Cast \(i\) turns them into int8, which cannot hold them all",
        ),
        (
            TensorProto.BOOL,
            [("Cast", ["x"], ["z"], {"to": F32})],
            {},
            "takes bool instead of a picture's numbers",
        ),
    ],
)
def test_arithmetic_that_floating_point_does_not_repeat_is_refused_by_name(
    kind: int, nodes: Sequence[Any], arrays: Mapping[str, Any], says: str
) -> None:
    proto = behind(nodes, {**HALF, **arrays}, kind=kind, opset=18)
    with pytest.raises(ModelRefused, match=says) as caught:
        load(proto, DeclaredPreprocessing(), CPU)
    assert "\n" not in str(caught.value)


def test_operators_on_quantised_numbers_read_the_rounded_picture() -> None:
    weight = np.clip(np.rint(CONV * 20), -127, 127).astype(np.int8)
    arrays = {
        "one": F(1 / 255),
        "zero": np.uint8(0),
        "w": weight,
        "ws": F(1 / 20),
        "wz": np.int8(0),
        "ys": F(0.1),
        "yz": np.uint8(128),
    }
    nodes = [
        ("QLinearConv", ["x", "one", "zero", "w", "ws", "wz", "ys", "yz"], ["q"]),
        ("DequantizeLinear", ["q", "ys", "yz"], ["d"]),
        ("Slice", ["d", "from", "to", "axis"], ["z"]),
    ]
    arrays |= {name: np.array([n], np.int64) for name, n in (("from", 0), ("to", 3), ("axis", 1))}
    proto = behind(nodes, arrays, kind=U8)
    model = load(proto, DeclaredPreprocessing(), CPU)
    levels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16))
    (want,) = Session(proto, CPU, 1).run({"x": levels.astype(np.uint8)})
    have = Run(model, 2, 1).logits(levels / 255)
    np.testing.assert_allclose(have, want, atol=0.05 * np.abs(want).max())


def test_the_gradient_is_one_of_the_pixels() -> None:
    graph = build_gradient(model_of("channels last"))
    dy = np.array([[0, 1, 0]], F)
    x = np.full((1, 16, 16, 3), 100, np.uint8)
    (dx,) = Session(graph, CPU, 1).run({"x": x, "cotangent": dy}, ["x_grad"])
    assert dx.shape == x.shape
    assert np.abs(dx).max() > 0


@pytest.mark.parametrize("name", ["channels last", "dequantised"])
def test_a_whole_audit(name: str, tmp_path: Path, without_pdf: None) -> None:
    onnx.save(model_of(name), tmp_path / "m.onnx")
    record = leap_audit.audit(
        tmp_path / "m.onnx", out=tmp_path / "audit", targets="0", seeds=1, **TINY
    ).audit
    assert len(record.prototypes) == 1
    assert record.prototypes[0].isolations
    assert record.model.inputs[0].dtype in ("uint8", "int8")


@pytest.mark.parametrize("name", ["channels last", "int32", "nearest", "uint16 of 0..4095"])
def test_the_check_of_such_a_gradient_moves_floating_point_pixels(name: str) -> None:
    assert check_gradient(build_gradient(model_of(name), wrt="x")).agrees
