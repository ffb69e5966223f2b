"""Small networks twice: as ONNX, and as a function of PyTorch of the same weights and input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["TWINS", "Twin"]

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Twin:
    """A network with the input `x` and the output `scores`, of 4 classes."""

    nodes: tuple[onnx.NodeProto, ...]
    weights: Weights
    shape: tuple[int, ...]
    """Of one item."""
    function: Callable[[Any, dict[str, Any], Any], Any]
    """(torch, weights, x) -> scores"""
    statistics: tuple[str, ...] = ()
    """Weights that are no parameters."""

    @property
    def parameters(self) -> list[str]:
        return [name for name in self.weights if name not in self.statistics]

    def onnx(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(self.nodes),
            "twin",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *self.shape])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])],
            [numpy_helper.from_array(w, name) for name, w in self.weights.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

    def pictures(self, batch: int) -> np.ndarray:
        return np.random.default_rng(5).standard_normal((batch, *self.shape)).astype(np.float32)


def _random(seed: int, **shapes: tuple[int, ...]) -> Weights:
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5).astype(np.float32)
        for name, shape in shapes.items()
    }


def _make(op_type: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], output, **attributes)


def _smooth(torch: Any, w: dict[str, Any], x: Any) -> Any:
    f = torch.nn.functional
    h = torch.tanh(f.conv2d(x, w["k1"], w["b1"], stride=2, padding=1, groups=2))
    h = f.conv_transpose2d(h, w["k2"], w["b2"], stride=2, padding=1)
    h = torch.sigmoid(h) * h
    return f.linear(h.flatten(1), w["fc"], w["b3"])


def _normed(torch: Any, w: dict[str, Any], x: Any) -> Any:
    f = torch.nn.functional
    h = f.conv2d(x, w["k1"], padding=1)
    h = f.batch_norm(h, w["mean"], w["var"], w["scale"], w["shift"], eps=1e-5)
    h = f.max_pool2d(torch.relu(h), 2)
    h = torch.relu(f.conv2d(h, w["k2"], w["b2"])).mean((2, 3))
    return f.linear(h, w["fc"], w["b3"])


def _attending(torch: Any, w: dict[str, Any], x: Any) -> Any:
    f = torch.nn.functional
    h = f.layer_norm(x @ w["embed"], (6,), w["gain"], w["bias"])
    scores = torch.softmax((h @ w["q"]) @ (h @ w["k"]).transpose(1, 2), dim=-1)
    h = h + scores @ (h @ w["v"])
    return f.gelu(h).mean(1) @ w["fc"]


_NORMED = _random(
    1, k1=(6, 2, 3, 3), scale=(6,), shift=(6,), k2=(5, 6, 2, 2), b2=(5,), fc=(4, 5), b3=(4,)
)
TWINS = {
    "smooth": Twin(
        (
            _make("Conv", "x k1 b1", "c1", strides=[2, 2], pads=[1] * 4, group=2),
            _make("Tanh", "c1", "t1"),
            _make("ConvTranspose", "t1 k2 b2", "c2", strides=[2, 2], pads=[1] * 4),
            _make("Sigmoid", "c2", "s2"),
            _make("Mul", "c2 s2", "m2"),
            _make("Flatten", "m2", "flat"),
            _make("Gemm", "flat fc b3", "scores", transB=1),
        ),
        _random(0, k1=(4, 1, 3, 3), b1=(4,), k2=(4, 3, 4, 4), b2=(3,), fc=(4, 108), b3=(4,)),
        (2, 6, 6),
        _smooth,
    ),
    "normed": Twin(
        (
            _make("Conv", "x k1", "c1", pads=[1] * 4),
            _make("BatchNormalization", "c1 scale shift mean var", "n1"),
            _make("Relu", "n1", "r1"),
            _make("MaxPool", "r1", "p1", kernel_shape=[2, 2], strides=[2, 2]),
            _make("Conv", "p1 k2 b2", "c2"),
            _make("Relu", "c2", "r2"),
            _make("GlobalAveragePool", "r2", "g2"),
            _make("Flatten", "g2", "flat"),
            _make("Gemm", "flat fc b3", "scores", transB=1),
        ),
        {
            **_NORMED,
            "mean": np.linspace(-0.2, 0.3, 6, dtype=np.float32),
            "var": np.linspace(0.5, 1.5, 6, dtype=np.float32),
        },
        (2, 6, 6),
        _normed,
        ("mean", "var"),
    ),
    "attending": Twin(
        (
            _make("MatMul", "x embed", "e"),
            _make("LayerNormalization", "e gain bias", "h", axis=-1),
            _make("MatMul", "h q", "hq"),
            _make("MatMul", "h k", "hk"),
            _make("Transpose", "hk", "turned", perm=[0, 2, 1]),
            _make("MatMul", "hq turned", "raw"),
            _make("Softmax", "raw", "weights", axis=-1),
            _make("MatMul", "h v", "hv"),
            _make("MatMul", "weights hv", "mixed"),
            _make("Add", "h mixed", "sum"),
            _make("Div", "sum root", "scaled"),
            _make("Erf", "scaled", "erf"),
            _make("Add", "erf one", "above"),
            _make("Mul", "sum above", "twice"),
            _make("Mul", "twice half", "act"),
            _make("ReduceMean", "act axis", "mean", keepdims=0),
            _make("MatMul", "mean fc", "scores"),
        ),
        {
            **_random(
                2, embed=(3, 6), gain=(6,), bias=(6,), q=(6, 6), k=(6, 6), v=(6, 6), fc=(6, 4)
            ),
            "root": np.array(2**0.5, np.float32),
            "one": np.array(1, np.float32),
            "half": np.array(0.5, np.float32),
            "axis": np.array([1]),
        },
        (5, 3),
        _attending,
        ("root", "one", "half", "axis"),
    ),
}
