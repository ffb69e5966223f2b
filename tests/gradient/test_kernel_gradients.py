"""The gradients of convolutions' kernels and biases, against PyTorch's autograd in float64."""

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from leap_audit.canonical.form import to_proto
from leap_audit.gradient import Emitter, backpropagate
from leap_audit.graph.opset import OPSET
from leap_audit.graph.shapes import static_shape

torch = pytest.importorskip("torch")
BATCH, IN, OUT = 2, 4, 6


def _cases() -> list[tuple[int, int, int, int, int, int]]:
    """(spatial axes, group, kernel, stride, dilation, pad)"""
    found = itertools.product((1, 2, 3), (1, 2), (1, 3), (1, 2, 3), (1, 2), (0, 1))
    return [case for case in found if case[0] == 2 or case[1:3] == (2, 3)]


def _gradients(op_type: str, x: np.ndarray, w: np.ndarray, **attributes: Any) -> Any:
    """dy, and the gradient of sum(dy * y) by the kernel and the bias, by onnx.reference."""
    bias = np.zeros(w.shape[1] * attributes["group"] if op_type == "ConvTranspose" else len(w))
    given = {"x": x, "w": w, "b": bias}
    double = ir.TensorType(ir.DataType.DOUBLE)
    values = [ir.Value(name=n, shape=ir.Shape(a.shape), type=double) for n, a in given.items()]
    graph = ir.Graph(values, [], nodes=[], opset_imports={"": OPSET})
    op = Emitter(graph, "test")
    (y,) = op.emit(op_type, values, attributes, 1)
    dy = np.random.default_rng(1).standard_normal(static_shape(y))
    graph.outputs.extend(backpropagate(op, {y: op.constant(dy, ir.DataType.DOUBLE)}, values[1:]))
    proto = to_proto(ir.Model(graph, ir_version=10))
    return dy, *ReferenceEvaluator(proto).run(None, given)


def _expected(function: Any, x: np.ndarray, w: np.ndarray, dy: np.ndarray, **options: Any) -> Any:
    kernel = torch.tensor(w, requires_grad=True)
    y = function(torch.tensor(x), kernel, **options)
    assert tuple(y.shape) == dy.shape
    (dw,) = torch.autograd.grad((y * torch.tensor(dy)).sum(), kernel)
    return dw.numpy()


@pytest.mark.parametrize(("axes", "group", "side", "stride", "dilation", "pad"), _cases())
def test_conv(axes: int, group: int, side: int, stride: int, dilation: int, pad: int) -> None:
    rng = np.random.default_rng(0)
    sizes = (9, 8, 7)[:axes] if axes < 3 else (6, 5, 7)
    x = rng.standard_normal((BATCH, IN, *sizes))
    w = rng.standard_normal((OUT, IN // group, *[side] * axes))
    options = {"stride": stride, "dilation": dilation, "padding": pad, "groups": group}
    dy, dw, db = _gradients(
        "Conv",
        x,
        w,
        strides=[stride] * axes,
        dilations=[dilation] * axes,
        pads=[pad] * 2 * axes,
        group=group,
    )
    function = getattr(torch.nn.functional, f"conv{axes}d")
    np.testing.assert_allclose(dw, _expected(function, x, w, dy, **options), atol=1e-10)
    np.testing.assert_allclose(db, dy.sum((0, *range(2, 2 + axes))), atol=1e-10)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    ("stride", "dilation", "pad", "extra"), [(1, 1, 0, 0), (3, 1, 1, 2), (2, 2, 2, 1)]
)
def test_conv_transpose(axes: int, stride: int, dilation: int, pad: int, extra: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, IN, *(4, 3, 5)[:axes]))
    w = rng.standard_normal((IN, OUT, *[3] * axes))
    options = {
        "stride": stride,
        "dilation": dilation,
        "padding": pad,
        "output_padding": extra,
    }
    dy, dw, db = _gradients(
        "ConvTranspose",
        x,
        w,
        strides=[stride] * axes,
        dilations=[dilation] * axes,
        pads=[pad] * 2 * axes,
        output_padding=[extra] * axes,
        group=1,
    )
    function = getattr(torch.nn.functional, f"conv_transpose{axes}d")
    np.testing.assert_allclose(dw, _expected(function, x, w, dy, **options), atol=1e-10)
    np.testing.assert_allclose(db, dy.sum((0, *range(2, 2 + axes))), atol=1e-10)
