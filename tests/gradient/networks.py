"""A small convolutional network as a file holds it, for tests of whole graphs."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def conv_net(
    batch: int | str = "n", *, opset: int = 17, weights_as_inputs: bool = False, size: int | str = 8
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
    initializers = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
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
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, size, size])]
    if weights_as_inputs:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in initializers]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 5])]
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
