"""Write the factors of products of 8-bit numbers as unsigned ones, for a run that is exact.

ONNX Runtime adds up products of unsigned and signed bytes in 16 bits on x86 processors without
VNNI, where the sums stop at the largest number: a quantised model then answers otherwise than its
file says, by far at times. Of two unsigned factors the sums are exact on every processor. Its
own remedy (`session.x64quantprecision`) makes graphs that do not load of some that do (1.32).
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from leap_audit.canonical.unsigned import SHIFT

__all__ = ["with_unsigned_factors"]

PREFIX = "leap_audit/unsigned/"


@dataclass(frozen=True)
class _Product:
    """Where an operator has its factors among its inputs, and what belongs to them."""

    second: tuple[int, int]
    """A factor and its zero point."""
    first: tuple[int, int] | None = None
    """None: the operator quantises its first factor itself, as unsigned."""
    zero: int | None = None
    """The zero point of the result; None: the result is not of 8 bits."""


PRODUCTS = {
    "QLinearConv": _Product((3, 5), (0, 2), 7),
    "QLinearMatMul": _Product((3, 5), (0, 2), 7),
    "MatMulInteger": _Product((1, 3), (0, 2)),
    "ConvInteger": _Product((1, 3), (0, 2)),
    "QGemm": _Product((3, 5), (0, 2), 8),
    "MatMulIntegerToFloat": _Product((1, 5), (0, 4)),
    "DynamicQuantizeMatMul": _Product((1, 3)),
    "QAttention": _Product((1, 7), (0, 6)),
}
"""Operators of ONNX and of ONNX Runtime -> their factors."""
INPUTS = 9
"""Of these operators, at most."""


def with_unsigned_factors(
    model: onnx.ModelProto, weights: Mapping[str, ir.TensorProtocol]
) -> onnx.ModelProto:
    """Return a model whose products of 8-bit numbers have unsigned factors.

    The same model where it has no such product. weights: those that are inputs of the model. A
    factor whose type is not known stays as it is.
    """
    if not any(node.op_type in PRODUCTS for node in model.graph.node):
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    signed = _signed(changed, weights)
    nodes = [each for node in graph.node for each in _written(node, signed)]
    del graph.node[:]
    graph.node.extend(nodes)
    shift, zero = np.array(SHIFT, np.int32), np.array(SHIFT, np.uint8)
    graph.initializer.append(numpy_helper.from_array(shift, f"{PREFIX}shift"))
    graph.initializer.append(numpy_helper.from_array(zero, f"{PREFIX}zero"))
    return changed


def _signed(model: onnx.ModelProto, weights: Mapping[str, ir.TensorProtocol]) -> set[str]:
    """The tensors that are known to hold signed bytes."""
    graph = model.graph
    found = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.INT8}
    found |= {name for name, tensor in weights.items() if tensor.dtype == ir.DataType.INT8}
    known = (*graph.input, *graph.value_info, *graph.output)
    return found | {v.name for v in known if v.type.tensor_type.elem_type == TensorProto.INT8}


def _written(node: onnx.NodeProto, signed: set[str]) -> Iterator[onnx.NodeProto]:
    """The nodes that compute what a node does, of unsigned factors."""
    product = PRODUCTS.get(node.op_type)
    if product is None:
        yield node
        return
    names = [*node.input, *[""] * (INPUTS - len(node.input))]
    pairs = [
        (factor, zero)
        for factor, zero in (product.second, product.first or product.second)
        if names[factor] in signed or names[zero] in signed
    ]
    if product.second not in pairs:
        yield node
        return
    made = list(node.output)
    back = product.first in pairs and product.zero is not None and names[product.zero] in signed
    for factor, zero in dict.fromkeys(pairs):
        names[factor] = yield from _unsigned(names[factor], node, factor)
        if names[zero]:
            names[zero] = yield from _unsigned(names[zero], node, zero)
        else:
            names[zero] = f"{PREFIX}zero"
    if back and product.zero is not None:
        names[product.zero] = yield from _unsigned(names[product.zero], node, product.zero)
        made[0] = f"{PREFIX}{node.output[0]}"
    while names and not names[-1]:
        names.pop()
    written = onnx.NodeProto()
    written.CopyFrom(node)
    written.ClearField("input")
    written.ClearField("output")
    written.input.extend(names)
    written.output.extend(made)
    yield written
    if back:
        yield from _cast_moved(made[0], node.output[0], "Sub", TensorProto.INT8)


def _unsigned(name: str, node: onnx.NodeProto, place: int) -> Generator[onnx.NodeProto, None, str]:
    """The nodes that write an input of a node as unsigned; returns its new name."""
    fresh = f"{PREFIX}{node.output[0]}/{place}"
    yield from _cast_moved(name, fresh, "Add", TensorProto.UINT8)
    return fresh


def _cast_moved(name: str, made: str, operator: str, kind: int) -> Iterator[onnx.NodeProto]:
    """The nodes that move bytes by 128 and write them as the other kind."""
    wide, moved = f"{made}/wide", f"{made}/moved"
    yield helper.make_node("Cast", [name], [wide], to=TensorProto.INT32)
    yield helper.make_node(operator, [wide, f"{PREFIX}shift"], [moved])
    yield helper.make_node("Cast", [moved], [made], to=kind)
