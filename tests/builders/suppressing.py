"""A small detector that picks its own rows, as exporters other than torchvision write it."""

import numpy as np
import onnx
from onnx import TensorProto

from tests.builders.detectors import NetWriter

__all__ = ["with_suppression"]


def with_suppression(unit: float) -> onnx.ModelProto:
    """A detector of one class that picks its rows; unit: the side of the picture in its boxes."""
    net = NetWriter()
    (shared,) = net.features((8,))
    whole = net("Reshape", net.conv(shared, 6, 5, scale=2.0), np.array([5, 64]))
    rows = net("Transpose", whole, perm=[1, 0])
    numbers, score = net("Split", rows, np.array([4, 1]), axis=1, outputs=2)
    low, far = net("Split", net("Sigmoid", numbers), np.array([2, 2]), axis=1, outputs=2)
    low = net("Mul", low, np.array(0.7, np.float32))
    high = net("Add", low, net("Mul", far, np.array(0.3, np.float32)))
    boxes = net("Mul", net("Concat", low, high, axis=1), np.array(unit, np.float32))
    probs = net("Reshape", net("Sigmoid", score), np.array([64]))
    index = net(
        "NonMaxSuppression",
        net("Unsqueeze", boxes, np.array([0])),
        net("Reshape", probs, np.array([1, 1, 64])),
        *(np.array([20]), np.array([0.5], np.float32), np.array([0.3], np.float32)),
    )
    kept = net("Squeeze", net("Gather", index, np.array([2]), axis=1), np.array([1]))
    net("Gather", boxes, kept, axis=0, name="boxes")
    net("Gather", probs, kept, axis=0, name="scores")
    net("Mul", kept, np.array(0), name="labels")
    proto = net.model({"boxes": ("k", 4), "scores": ("k",), "labels": ("k",)}, 1)
    proto.graph.output[2].type.tensor_type.elem_type = TensorProto.INT64
    return proto
