"""Refuse a model that was exported in training mode."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from leap_audit.errors import ModelRefused
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.protos import opset_of
from leap_audit.graph.weights import numbers_of

__all__ = ["require_prediction"]

DROPOUT_RATIO = 0.5
"""ONNX's default."""
DRAWING = frozenset(
    {
        *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
        *("RandomUniform", "RandomUniformLike"),
    }
)
Constants = Mapping[str, NDArray[Any]]
"""Tensor -> its numbers."""
INSTEAD = "export it after model.eval() (in Keras, with training=False)"


def require_prediction(model: onnx.ModelProto) -> None:
    """Raise ModelRefused for a model that trains: it drops at random, or normalises by the batch.

    A Dropout that drops nothing passes, and so does one whose mode is an input that is not set.
    """
    for node, constants, version in _nodes(model, opset_of(model)):
        if node.domain not in ONNX_DOMAIN:
            continue
        if what := _training(node, constants, version):
            raise ModelRefused(
                f"the model was exported in training mode: {node.op_type} "
                f"({node.name or node.output[0]}) {what}; {INSTEAD}."
            )


def _training(node: onnx.NodeProto, constants: Constants, version: int) -> str:
    """What a node does only in training; nothing where it predicts."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "BatchNormalization":
        normalises = "normalises each batch by itself"
        if attributes.get("training_mode", 0) == 1 or attributes.get("is_test", 1) == 0:
            return normalises
        # Up to opset 13, the statistics among the outputs say that it trains.
        return normalises if version < 14 and any(list(node.output)[1:]) else ""
    if node.op_type == "Dropout":
        drops = "drops features at random"
        if version < 12:
            trains = (
                attributes.get("is_test", 1) == 0 and attributes.get("ratio", DROPOUT_RATIO) != 0
            )
            return drops if trains else ""
        mode, ratio = (
            constants.get(node.input[i]) if len(node.input) > i and node.input[i] else None
            for i in (2, 1)
        )
        share = DROPOUT_RATIO if ratio is None else float(ratio.reshape(-1)[0])
        return drops if mode is not None and bool(mode.any()) and share != 0 else ""
    if node.op_type in DRAWING and "seed" not in attributes:
        return "draws numbers at random, as Dropout and added noise do"
    return ""


def _nodes(model: onnx.ModelProto, version: int) -> Iterator[tuple[onnx.NodeProto, Constants, int]]:
    """Every node of a model, of its branches and functions, with the constants that it sees."""
    yield from _in_graph(model.graph.node, model.graph.initializer, {}, version)
    for function in model.functions:
        own = next((o.version for o in function.opset_import if o.domain in ONNX_DOMAIN), version)
        yield from _in_graph(function.node, [], {}, own)


def _in_graph(
    nodes: Iterable[onnx.NodeProto],
    initializers: Iterable[onnx.TensorProto],
    outer: Constants,
    version: int,
) -> Iterator[tuple[onnx.NodeProto, Constants, int]]:
    constants = dict(outer)
    for tensor in initializers:
        if int(np.prod(tensor.dims, dtype=np.int64)) <= 1:
            constants[tensor.name] = numbers_of(tensor)
    for node in nodes:
        _learn(node, constants)
        yield node, constants, version
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _in_graph(graph.node, graph.initializer, constants, version)


def _learn(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> None:
    """Remember the numbers that a node gives, where it gives the same ones always."""
    if node.op_type == "Constant" and node.output and node.attribute:
        attribute = node.attribute[0]
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            constants[node.output[0]] = numbers_of(value)
        elif attribute.name in ("value_float", "value_int", "value_ints", "value_floats"):
            constants[node.output[0]] = np.asarray(value)
    elif (
        node.op_type in ("Identity", "Cast", "Expand", "Reshape", "Squeeze", "Unsqueeze", "Not")
        and node.input
        and (known := constants.get(node.input[0])) is not None
    ):
        constants[node.output[0]] = ~known.astype(bool) if node.op_type == "Not" else known
