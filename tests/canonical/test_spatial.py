"""DeformConv, AffineGrid, STFT and Inverse in standard operators: numbers and gradients."""

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.canonical import rewrite
from leap_audit.canonical.form import canonicalise
from leap_audit.errors import CanonicalMismatch
from leap_audit.gradient import build_gradient, check_gradient
from leap_audit.run import choose_provider

RNG = np.random.default_rng(0)
CPU = choose_provider("cpu")


def _f(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def _off_the_pixels(*shape: int) -> np.ndarray:
    """Offsets that leave no sample on a pixel, where its gradient jumps."""
    return (RNG.integers(-2, 2, shape) + RNG.uniform(0.2, 0.8, shape)).astype(np.float32)


def _model(
    op_type: str, inputs: dict[str, Any], opset: int, domain: str = "", **attributes: Any
) -> onnx.ModelProto:
    """A tuple stands for an input of that shape, an array for a constant, None for neither."""
    graph = helper.make_graph(
        [
            helper.make_node(
                op_type,
                [name if given is not None else "" for name, given in inputs.items()],
                ["y"],
                domain=domain,
                **attributes,
            )
        ],
        "one",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, given)
            for name, given in inputs.items()
            if isinstance(given, tuple)
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(given, name)
            for name, given in inputs.items()
            if isinstance(given, np.ndarray)
        ],
    )
    graph.output[0].type.tensor_type.shape.dim.extend(
        onnx.TensorShapeProto.Dimension(dim_param=letter) for letter in _rank(op_type)
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _rank(op_type: str) -> str:
    return {"Inverse": "abc"}.get(op_type, "abcd")


PICTURE = (1, 4, 5, 6)
DEFORM = {"x": PICTURE, "w": _f(2, 4, 3, 3), "offset": _off_the_pixels(1, 18, 3, 4)}
SIGNAL = {"x": (1, 20, 1), "step": np.array(4)}
CASES = [
    ("DeformConv", DEFORM, 19, {}),
    (
        "DeformConv",
        {**DEFORM, "w": _f(2, 2, 3, 3), "offset": _off_the_pixels(1, 36, 3, 3), "b": _f(2),
         "mask": _f(1, 18, 3, 3)},
        19,
        {"group": 2, "offset_group": 2, "strides": [2, 2], "pads": [1, 1, 2, 1]},
    ),
    (
        "DeformConv",
        {**DEFORM, "offset": _off_the_pixels(1, 18, 3, 4), "b": None, "mask": _f(1, 9, 3, 4)},
        19,
        {"dilations": [2, 1], "pads": [1, 0, 1, 0]},
    ),
    ("AffineGrid", {"theta": (1, 2, 3), "size": np.array([1, 2, 4, 5])}, 20, {}),
    ("AffineGrid", {"theta": (1, 2, 3), "size": np.array([1, 2, 4, 5])}, 20, {"align_corners": 1}),
    ("STFT", {**SIGNAL, "window": _f(8)}, 17, {}),
    ("STFT", {"x": (1, 20, 2), "step": np.array(5), "window": _f(8)}, 17, {"onesided": 0}),
    ("STFT", {**SIGNAL, "window": None, "length": np.array(7)}, 17, {"onesided": 1}),
    ("Inverse", {"x": (2, 3, 3)}, 17, {"domain": "com.microsoft"}),
    ("Inverse", {"x": (2, 4, 4)}, 17, {"domain": "com.microsoft"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op_type", "inputs", "opset", "options"),
    [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(CASES)],
)
def test_it_has_the_kernels_numbers_and_a_gradient(
    op_type: str, inputs: dict[str, Any], opset: int, options: dict[str, Any]
) -> None:
    model = _model(op_type, inputs, opset, **options)
    gradient = build_gradient(model, batch=next(s for s in inputs.values() if type(s) is tuple)[0])
    assert op_type not in {node.op_type for node in gradient.graph.node}
    assert check_gradient(gradient).agrees


def test_the_gradient_reaches_the_offsets_and_the_mask() -> None:
    # Offsets far from whole numbers at the point that check_gradient draws in 0..1, scaled.
    inputs = {**DEFORM, "offset": (1, 18, 3, 4), "b": None, "mask": (1, 9, 3, 4)}
    gradient = build_gradient(_model("DeformConv", inputs, 19))
    assert {"x_grad", "offset_grad", "mask_grad"} <= {value.name for value in gradient.graph.output}
    assert check_gradient(gradient).agrees


@pytest.mark.parametrize(
    ("op_type", "index", "attribute"),
    [
        ("DeformConv", 1, "offset_group"),
        ("DeformConv", 1, "strides"),
        ("DeformConv", 2, "dilations"),
        ("AffineGrid", 1, "align_corners"),
        ("STFT", 1, "onesided"),
    ],
)
def test_the_check_notices_a_rewriting_that_is_blind_to_an_attribute(
    op_type: str, index: int, attribute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = rewrite.Writer.attribute
    _, inputs, opset, options = [case for case in CASES if case[0] == op_type][index]

    def blind(op: rewrite.Writer, name: str, default: Any = None) -> Any:
        return default if name == attribute else honest(op, name, default)

    monkeypatch.setattr(rewrite.Writer, "attribute", blind)
    with pytest.raises((CanonicalMismatch, ValueError)):
        canonicalise(_model(op_type, inputs, opset, **options), provider=CPU)


def test_the_check_notices_an_inverse_that_is_not_transposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        itertools, "product", lambda a, b: ((i, j) for j in b for i in a), raising=True
    )
    inputs = {"x": (2, 3, 3)}
    with pytest.raises(CanonicalMismatch, match="other numbers"):
        canonicalise(_model("Inverse", inputs, 17, domain="com.microsoft"), batch=2, provider=CPU)


def test_a_large_matrix_is_left_and_named() -> None:
    model = _model("Inverse", {"x": (1, 20, 20)}, 17, domain="com.microsoft")
    with pytest.raises(Exception, match=r"com\.microsoft\.Inverse|depends on the data"):
        build_gradient(model)
