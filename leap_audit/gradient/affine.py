"""Fold what scales and shifts the channels of a linear layer into its weights and bias."""

from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.graph.emit import TensorNames
from leap_audit.graph.shapes import shape_of
from leap_audit.graph.values import constant_of, new_constant

__all__ = ["fold_affine"]

Array: TypeAlias = NDArray[Any]
FOLDED = frozenset({"Add", "BatchNormalization", "Div", "Mul", "Sub"})
LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def fold_affine(model: ir.Model) -> None:
    """Fold BatchNormalization, and constants that layers are multiplied with or shifted by.

    Of a Conv, ConvTranspose, Gemm or MatMul with constant weights that nothing else reads and that
    is no output. The values behind stay the same up to rounding. A MatMul takes factors alone,
    since it has no bias.
    """
    graph = model.graph
    names = TensorNames(graph)
    for node in list(graph):
        if node.op_type in FOLDED and (layer := _layer_before(graph, node)) is not None:
            _fold(graph, names, layer, node)


def _layer_before(graph: ir.Graph, node: ir.Node) -> ir.Node | None:
    """The layer whose output this node alone reads, and nothing else that is computed."""
    data = [x for x in node.inputs if x is not None and constant_of(x) is None]
    if len(data) != 1 or len(node.outputs) != 1:
        return None
    (value,) = data
    layer = value.producer()
    inside = value not in graph.outputs and len(list(value.uses())) == 1
    if layer is None or layer.op_type not in LAYERS or not inside:
        return None
    weights = layer.inputs[1]
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    known = constant_of(weights) is not None and (bias is None or constant_of(bias) is not None)
    return layer if known else None


def _fold(graph: ir.Graph, names: TensorNames, layer: ir.Node, node: ir.Node) -> None:
    weights, bias = constant_of(layer.inputs[1]), _bias(layer)
    assert weights is not None
    rank = len(shape_of(layer.outputs[0]) or ())
    axis = 1 if layer.op_type in ("Conv", "ConvTranspose") else rank - 1
    count = _channels(layer, weights)
    if count is None or (affine := _affine(node, rank, axis, count)) is None:
        return
    factor, shift = affine
    if layer.op_type == "MatMul" and shift.any():
        return
    kind = weights.dtype
    scaled = (_columns(layer, weights.astype(np.float64), factor)).astype(kind)
    layer.replace_input_with(1, new_constant(graph, names.new(f"{layer.name}_folded"), scaled))
    if layer.op_type != "MatMul" and (bias is not None or shift.any()):
        beta = _number(layer, "beta") if layer.op_type == "Gemm" else 1.0
        before = 0.0 if bias is None else bias.astype(np.float64)
        total = ((before * factor) + shift / beta).astype(kind)
        value = new_constant(graph, names.new(f"{layer.name}_folded_bias"), total)
        if len(layer.inputs) < 3:
            layer.resize_inputs(3)
        layer.replace_input_with(2, value)
    old, new = node.outputs[0], layer.outputs[0]
    _take_place(graph, old, new)
    graph.remove(node, safe=True)


def _take_place(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Put the layer's output in the place of the folded node's, under its name."""
    name = old.name
    old.replace_all_uses_with(new)
    for i, value in enumerate(graph.outputs):
        if value is old:
            graph.outputs[i] = new
    old.name, new.name = f"{name}_unfolded", name


def _bias(layer: ir.Node) -> Array | None:
    return constant_of(layer.inputs[2]) if len(layer.inputs) > 2 else None


def _channels(layer: ir.Node, weights: Array) -> int | None:
    """How many channels a layer gives; None for a layer whose weights do not show it."""
    if layer.op_type == "Conv":
        return int(weights.shape[0])
    if layer.op_type == "ConvTranspose":
        return int(weights.shape[1]) if _number(layer, "group") == 1 else None
    if weights.ndim != 2:
        return None
    return int(weights.shape[0 if layer.op_type == "Gemm" and _number(layer, "transB") else 1])


def _columns(layer: ir.Node, weights: Array, factor: Array) -> Array:
    """Weights with the factor of each channel that the layer gives."""
    if layer.op_type == "Conv":
        return np.asarray(weights * factor.reshape(-1, *(1 for _ in weights.shape[1:])))
    if layer.op_type == "ConvTranspose":
        return np.asarray(weights * factor.reshape(-1, *(1 for _ in weights.shape[2:])))
    turned = layer.op_type == "Gemm" and _number(layer, "transB")
    return np.asarray(weights * (factor[:, None] if turned else factor))


def _affine(node: ir.Node, rank: int, axis: int, count: int) -> tuple[Array, Array] | None:
    """The factor and the shift of each channel; None where they differ by place or by item."""
    if node.op_type == "BatchNormalization":
        given = [constant_of(x) for x in node.inputs[1:]]
        if axis != 1 or any(x is None for x in given) or _number(node, "training_mode"):
            return None
        scale, bias, mean, var = (np.asarray(x, np.float64) for x in given)
        factor = scale / np.sqrt(var + _number(node, "epsilon", 1e-5))
        return factor, bias - mean * factor
    first = node.inputs[0]
    numbers = constant_of(first)
    leading = numbers is not None
    if numbers is None:
        numbers = constant_of(node.inputs[1])
    column = None if numbers is None else _column(numbers, rank, axis, count)
    if column is None or (node.op_type == "Div" and leading):
        return None
    ones, zeros = np.ones(count), np.zeros(count)
    if node.op_type == "Add":
        return ones, column
    if node.op_type == "Sub":
        return (-ones, column) if leading else (ones, -column)
    return (column if node.op_type == "Mul" else 1 / column), zeros


def _column(numbers: Array, rank: int, axis: int, count: int) -> Array | None:
    """A constant as one number for each channel; None where it is not, or would add an axis."""
    if numbers.ndim > rank:
        return None
    shape = (1,) * (rank - numbers.ndim) + numbers.shape
    if any(size != 1 for i, size in enumerate(shape) if i != axis):
        return None
    return np.broadcast_to(numbers.astype(np.float64).ravel(), (count,))


def _number(node: ir.Node, name: str, default: float = 0.0) -> float:
    found = node.attributes.get(name)
    defaults = {"group": 1.0, "alpha": 1.0, "beta": 1.0}
    return float(found.value) if isinstance(found, ir.Attr) else defaults.get(name, default)
