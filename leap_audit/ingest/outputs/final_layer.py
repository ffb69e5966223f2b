"""The final linear layer of a classifier: penultimate features and each class's weight vector."""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.graph.operators import SHAPE_ONLY
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of
from leap_audit.ingest.outputs.answer import Answer, ScoreMap
from leap_audit.run.session import Array

__all__ = ["FinalLayer", "final_layer"]


@dataclass(frozen=True, eq=False)
class FinalLayer:
    """scores = features · weightsᵀ + bias"""

    features: str
    """The tensor of the canonical graph that holds the features."""
    pooled: bool
    """Whether they are averaged over the map that this tensor is."""
    weights: Array
    """(classes, features)"""


def final_layer(scores: ir.Value, answer: Answer) -> FinalLayer | None:
    """Return the layer that gives the scores of one picture, None where the last step is no such.

    A Gemm, a MatMul, or a 1×1 convolution on a map of one pixel or averaged over the map, with a
    bias or without; a ReLU after it makes it another function, and the answer None. So does a
    region of a map, and one logit for two classes.
    """
    averaged = isinstance(answer, ScoreMap)
    if answer.numbers != answer.classes:
        return None
    if isinstance(answer, ScoreMap) and answer.window is not None:
        return None
    classes, value = answer.classes, scores
    while (node := value.producer()) is not None:
        if node.op_type in SHAPE_ONLY:
            value = _input(node, 0)
        elif node.op_type == "Add" and any(constant_of(v) is not None for v in node.inputs):
            value = _input(node, 1 if constant_of(node.inputs[0]) is not None else 0)
        elif node.op_type in ("GlobalAveragePool", "ReduceMean"):
            value, averaged = _input(node, 0), True
        else:
            break
    if node is None:
        return None
    kernel = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if kernel is None:
        return None
    features, pooled = _input(node, 0), False
    numbers = math.prod(static_shape(features))
    if node.op_type == "Conv":
        if kernel.shape[0] != classes or math.prod(kernel.shape[2:]) != 1:
            return None
        pixels = static_shape(features)[2:]
        if math.prod(pixels) != 1:
            if not averaged or static_shape(node.outputs[0])[2:] != pixels:
                return None  # strides leave out pixels that the average of the features holds
            pooled = True
            numbers //= math.prod(pixels)
        weights = kernel.reshape(classes, -1)
    elif node.op_type in ("MatMul", "Gemm"):
        turned = node.op_type == "Gemm" and _flag(node, "transB")
        if kernel.ndim != 2 or (node.op_type == "Gemm" and _flag(node, "transA")):
            return None
        weights = kernel if turned else kernel.T
    else:
        return None
    if weights.shape[0] != classes or numbers != weights.shape[1]:
        return None
    return FinalLayer(str(features.name), pooled, np.asarray(weights))


def _input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _flag(node: ir.Node, name: str) -> bool:
    attribute = node.attributes.get(name)
    return attribute is not None and bool(attribute.as_int())
