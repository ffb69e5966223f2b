"""Small networks as files hold them, for tests of whole graphs."""

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
