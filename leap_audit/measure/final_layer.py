"""The last linear layer of a classifier: penultimate features and each class's weight vector."""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.gradient import Emitter
from leap_audit.graph.operators import SHAPE_ONLY
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of
from leap_audit.run.session import Array

__all__ = ["FinalLayer", "final_layer"]


@dataclass(frozen=True)
class FinalLayer:
    """logits = features · weightsᵀ + bias"""

    features: ir.Value
    """(batch, features)"""
    weights: Array
    """(classes, features)"""


def final_layer(op: Emitter, logits: ir.Value, classes: int) -> FinalLayer | None:
    """Return the layer that gives `logits`, or None where the last step is not linear.

    A Gemm, a MatMul, or a 1×1 convolution on a map of one pixel or averaged over the map, with a
    bias or without; a ReLU after it makes it another function, and the answer None.
    """
    batch = static_shape(logits)[0]
    value, averaged = logits, False
    while (node := value.producer()) is not None:
        if node.op_type in SHAPE_ONLY:
            value = _given(node, 0)
        elif node.op_type == "Add" and any(constant_of(v) is not None for v in node.inputs):
            value = _given(node, 1 if constant_of(node.inputs[0]) is not None else 0)
        elif node.op_type in ("GlobalAveragePool", "ReduceMean"):
            value, averaged = _given(node, 0), True
        else:
            break
    if node is None:
        return None
    kernel = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if kernel is None:
        return None
    features = _given(node, 0)
    if node.op_type == "Conv":
        if kernel.shape[0] != classes or math.prod(kernel.shape[2:]) != 1:
            return None
        pixels = static_shape(features)[2:]
        if math.prod(pixels) != 1:
            if not averaged or static_shape(node.outputs[0])[2:] != pixels:
                return None  # strides leave out pixels that the average of the features holds
            features = op.GlobalAveragePool(features)
        weights = kernel.reshape(classes, -1)
    elif node.op_type in ("MatMul", "Gemm"):
        turned = node.op_type == "Gemm" and _flag(node, "transB")
        if kernel.ndim != 2 or (node.op_type == "Gemm" and _flag(node, "transA")):
            return None
        weights = kernel if turned else kernel.T
    else:
        return None
    if weights.shape[0] != classes or math.prod(static_shape(features)) != batch * weights.shape[1]:
        return None
    return FinalLayer(op.Reshape(features, (batch, weights.shape[1])), np.asarray(weights))


def _given(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _flag(node: ir.Node, name: str) -> bool:
    attribute = node.attributes.get(name)
    return attribute is not None and bool(attribute.as_int())
