"""Small networks as files hold them, for tests of whole graphs."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def conv_net(
    batch: int | str = "n",
    *,
    opset: int = 17,
    weights_as_inputs: bool = False,
    size: int | str = 8,
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Conv, Relu, MaxPool, Conv, Sigmoid, mean, linear; a batch of 1 stands in a Reshape too."""
    rng = np.random.default_rng(3)
    arrays = {
        "w1": rng.standard_normal((6, 3, 3, 3)) * 0.4,
        "b1": rng.standard_normal(6) * 0.1,
        "w2": rng.standard_normal((4, 6, 3, 3)) * 0.3,
        "fc": rng.standard_normal((4, 5)),
        "b3": rng.standard_normal(5),
    }
    initializers = _weights(arrays, dtype)
    shape = np.array([1 if batch == 1 else -1, 4], np.int64)
    initializers.append(numpy_helper.from_array(shape, "shape"))
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c2"], ["s2"]),
        helper.make_node("GlobalAveragePool", ["s2"], ["g"]),
        helper.make_node("Reshape", ["g", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc", "b3"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("image", dtype, [batch, 3, size, size])]
    if weights_as_inputs:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in initializers]
    outputs = [helper.make_tensor_value_info("scores", dtype, [batch, 5])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


_RNG = np.random.default_rng(0)
WEIGHTS = {
    "w1": _RNG.standard_normal((5, 3, 3, 3)).astype(np.float32) * 0.4,
    "w2": _RNG.standard_normal((4, 5, 3, 3)).astype(np.float32) * 0.4,
    "fc": _RNG.standard_normal((4, 6)).astype(np.float32),
}


def relu_net(activation: str = "Relu") -> onnx.ModelProto:
    """Two convolutions of WEIGHTS with their activations, the mean over pixels, a linear layer."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node(activation, ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node(activation, ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["flat"]),
        helper.make_node("MatMul", ["flat", "fc"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 7, 7])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 6])],
        [numpy_helper.from_array(w, name) for name, w in WEIGHTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def torch_relu_net(torch: Any) -> Any:
    """Return the same network as a torch.nn.Module; its activations are layers 1 and 3."""
    nn = torch.nn
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(5, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 6, bias=False),
    )
    for layer, weight in ((0, WEIGHTS["w1"]), (2, WEIGHTS["w2"]), (6, WEIGHTS["fc"].T)):
        network[layer].weight.data = torch.from_numpy(weight.copy())
    return network


def residual_net(*, opset: int = 17) -> onnx.ModelProto:
    """Convolutions of 16 channels with what runtimes fuse: BatchNormalization, Add, activations."""
    rng = np.random.default_rng(4)
    arrays = {
        "w1": rng.standard_normal((16, 3, 3, 3)) * 0.3,
        "w2": rng.standard_normal((16, 1, 3, 3)) * 0.4,
        "w3": rng.standard_normal((24, 16, 1, 1)) * 0.3,
        "w4": rng.standard_normal((24, 24, 3, 3)) * 0.1,
        "w5": rng.standard_normal((5, 24, 1, 1)) * 0.3,
        "scale": rng.uniform(0.5, 1.5, 16),
        "shift": rng.standard_normal(16) * 0.1,
        "mean": rng.standard_normal(16) * 0.1,
        "variance": rng.uniform(0.5, 1.5, 16),
    }
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], strides=[2, 2], **same),
        helper.make_node(
            "BatchNormalization", ["c1", "scale", "shift", "mean", "variance"], ["n1"]
        ),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], group=16, **same),
        helper.make_node("LeakyRelu", ["c2"], ["r2"], alpha=0.2),
        helper.make_node("Add", ["r1", "r2"], ["a2"]),
        helper.make_node("MaxPool", ["a2"], ["p2"], kernel_shape=[3, 3], **same),
        helper.make_node("Conv", ["p2", "w3"], ["c3"]),
        helper.make_node("Conv", ["c3", "w4"], ["c4"], **same),
        helper.make_node("Add", ["c3", "c4"], ["a4"]),
        helper.make_node("Relu", ["a4"], ["r4"]),
        helper.make_node("Sigmoid", ["r4"], ["s4"]),
        helper.make_node("Mul", ["r4", "s4"], ["m4"]),
        helper.make_node("AveragePool", ["m4"], ["p4"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Concat", ["p4", "p4"], ["j4"], axis=2),
        helper.make_node("Conv", ["j4", "w5"], ["c5"]),
        helper.make_node("GlobalAveragePool", ["c5"], ["g5"]),
        helper.make_node("Flatten", ["g5"], ["scores"]),
    ]
    return _model(nodes, arrays, ["n", 3, 16, 16], ["n", 5], opset)


def transformer(*, opset: int = 17, heads: int = 2) -> onnx.ModelProto:
    """One block of a vision transformer on (batch, 4, 8), as exporters write it."""
    rng = np.random.default_rng(5)
    width, size = 8, 8 // heads
    arrays = {
        **{f"w{k}": rng.standard_normal((width, width)) * 0.4 for k in "qkvo"},
        **{f"b{k}": rng.standard_normal(width) * 0.2 for k in "qkvo"},
        "up": rng.standard_normal((width, 16)) * 0.4,
        "up_bias": rng.standard_normal(16) * 0.1,
        "down": rng.standard_normal((16, width)) * 0.4,
        "down_bias": rng.standard_normal(width) * 0.1,
        "root": np.array(np.sqrt(size)),
        "root2": np.array(np.sqrt(2.0)),
        "one": np.array(1.0),
        "half": np.array(0.5),
        "epsilon": np.array(1e-5),
        "two": np.array(2.0),
        **{f"gamma{i}": rng.uniform(0.5, 1.5, width) for i in (1, 2)},
        **{f"beta{i}": rng.standard_normal(width) * 0.1 for i in (1, 2)},
    }
    whole = {"by_heads": [0, 0, heads, size], "joined": [0, 0, width]}
    nodes = _layer_norm("image", "n1", 1, opset)
    for k in "qkv":
        nodes += [
            helper.make_node("MatMul", ["n1", f"w{k}"], [f"{k}_product"]),
            helper.make_node("Add", [f"{k}_product", f"b{k}"], [f"{k}_biased"]),
            helper.make_node("Reshape", [f"{k}_biased", "by_heads"], [f"{k}_heads"]),
            helper.make_node(
                "Transpose", [f"{k}_heads"], [k], perm=[0, 2, 3, 1] if k == "k" else [0, 2, 1, 3]
            ),
        ]
    nodes += [
        helper.make_node("MatMul", ["q", "k"], ["qk"]),
        helper.make_node("Div", ["qk", "root"], ["scores_of_heads"]),
        helper.make_node("Softmax", ["scores_of_heads"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "v"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["mixed_turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["mixed_turned", "joined"], ["mixed_joined"]),
        helper.make_node("MatMul", ["mixed_joined", "wo"], ["o_product"]),
        helper.make_node("Add", ["o_product", "bo"], ["attended"]),
        helper.make_node("Add", ["image", "attended"], ["residual"]),
        *_layer_norm("residual", "n2", 2, opset),
        helper.make_node("MatMul", ["n2", "up"], ["u_product"]),
        helper.make_node("Add", ["u_product", "up_bias"], ["u"]),
        helper.make_node("Div", ["u", "root2"], ["u_scaled"]),
        helper.make_node("Erf", ["u_scaled"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["erf_one"]),
        helper.make_node("Mul", ["u", "erf_one"], ["u_erf"]),
        helper.make_node("Mul", ["u_erf", "half"], ["gelu"]),
        helper.make_node("MatMul", ["gelu", "down"], ["d_product"]),
        helper.make_node("Add", ["d_product", "down_bias"], ["d"]),
        helper.make_node("Add", ["residual", "d"], ["tokens"]),
        helper.make_node("ReduceMax", ["tokens"], ["scores"], axes=[1], keepdims=0),
    ]
    model = _model(nodes, arrays, ["n", 4, width], ["n", width], opset)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in whole.items()
    )
    return model


def _layer_norm(x: str, y: str, index: int, opset: int) -> list[onnx.NodeProto]:
    """LayerNormalization, which before opset 17 is written in its parts."""
    reads = [f"gamma{index}", f"beta{index}"]
    if opset >= 17:
        return [helper.make_node("LayerNormalization", [x, *reads], [y])]
    names = [f"{y}_{part}" for part in ("mean", "rest", "square", "var", "sum", "root", "n", "g")]
    mean, rest, square, var, total, root, normal, scaled = names
    return [
        helper.make_node("ReduceMean", [x], [mean], axes=[-1]),
        helper.make_node("Sub", [x, mean], [rest]),
        helper.make_node("Pow", [rest, "two"], [square]),
        helper.make_node("ReduceMean", [square], [var], axes=[-1]),
        helper.make_node("Add", [var, "epsilon"], [total]),
        helper.make_node("Sqrt", [total], [root]),
        helper.make_node("Div", [rest, root], [normal]),
        helper.make_node("Mul", [normal, reads[0]], [scaled]),
        helper.make_node("Add", [scaled, reads[1]], [y]),
    ]


def _model(
    nodes: list[onnx.NodeProto],
    arrays: dict[str, np.ndarray],
    shape: list[int | str],
    scores: list[int | str],
    opset: int,
) -> onnx.ModelProto:
    """A model from `image` to `scores` with these numbers in float32."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, scores)],
        [numpy_helper.from_array(np.asarray(a, np.float32), name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def attention_net(*, dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """6 tokens of width 8: norm, one head of attention, a skip, norm, Gelu, mean, linear."""
    rng = np.random.default_rng(5)
    arrays = {name: rng.standard_normal((8, 8)) * 0.4 for name in ("q", "k", "v", "up")}
    arrays |= {"fc": rng.standard_normal((8, 5)), "g": rng.uniform(0.5, 1.5, 8), "b": np.zeros(8)}
    arrays |= {"scale": np.array(8**-0.5)}
    nodes = [
        helper.make_node("LayerNormalization", ["tokens", "g", "b"], ["n1"]),
        *(helper.make_node("MatMul", ["n1", name], [f"n{name}"]) for name in "qkv"),
        helper.make_node("Transpose", ["nk"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["nq", "kt"], ["products"]),
        helper.make_node("Mul", ["products", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "nv"], ["mixed"]),
        helper.make_node("Add", ["tokens", "mixed"], ["sum"]),
        helper.make_node("LayerNormalization", ["sum", "g", "b"], ["n2"]),
        helper.make_node("MatMul", ["n2", "up"], ["wide"]),
        helper.make_node("Gelu", ["wide"], ["bent"]),
        helper.make_node("ReduceMean", ["bent", "axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "fc"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("tokens", dtype, ["n", 6, 8])],
        [helper.make_tensor_value_info("scores", dtype, ["n", 5])],
        [*_weights(arrays, dtype), numpy_helper.from_array(np.array([1]), "axis")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _weights(arrays: dict[str, np.ndarray], dtype: int) -> list[TensorProto]:
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    return [numpy_helper.from_array(np.asarray(a).astype(kind), n) for n, a in arrays.items()]
