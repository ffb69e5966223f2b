"""The tensors that a caller names: inputs, outputs, weights, and what lies between them."""

import difflib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import onnx
import onnx_ir as ir

from leap_audit.canonical.nchwc import BLOCKED
from leap_audit.errors import GradientUnavailable
from leap_audit.graph.operators import FLOATS, QUANTISED
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.protos import real_inputs
from leap_audit.graph.values import new_constant
from leap_audit.graph.weights import numbers_of

__all__ = ["as_variables", "find_weights", "free_names", "require_weights", "show_tensors"]


def show_tensors(proto: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return the model with the tensors of these names among its outputs, where they are inside.

    So they survive whatever is folded, under their own names. Weights stay weights.

    Raises GradientUnavailable: a name that is not in the graph.
    """
    stored = find_weights(proto, names)
    ends = {value.name for value in (*real_inputs(proto), *proto.graph.output)}
    inside = [name for node in proto.graph.node for name in node.output if name]
    known = {*ends, *inside, *stored}
    if unknown := [name for name in names if name not in known]:
        weights = [tensor.name for tensor in proto.graph.initializer]
        near = difflib.get_close_matches(unknown[0], [*ends, *inside, *weights], 3, 0.4)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
        raise GradientUnavailable(f"the graph has no tensor called {unknown[0]!r}{hint}")
    constants = [node for node in proto.graph.node if _stores(node) and node.output[0] in stored]
    extra = [name for name in dict.fromkeys(names) if name not in ends and name not in stored]
    if not extra and not constants:
        return proto
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
    for node in constants:
        shown.graph.node.remove(node)
        tensor = shown.graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
    return shown


def find_weights(proto: onnx.ModelProto, names: Sequence[str]) -> list[str]:
    """Return those of the names that are initializers of the model, or tensors of its Constants.

    Raises GradientUnavailable: one of them holds numbers of a type that has no gradient.
    """
    kinds = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    kinds |= {n.output[0]: n.attribute[0].t.data_type for n in proto.graph.node if _stores(n)}
    outputs = {value.name for value in proto.graph.output}
    found = [name for name in dict.fromkeys(names) if name in kinds and name not in outputs]
    for name in found:
        if ir.DataType(kinds[name]) not in (*FLOATS, *QUANTISED):
            raise GradientUnavailable(f"{name!r} holds whole numbers, which have no gradient.")
    return found


def require_weights(proto: onnx.ModelProto, graph: ir.Graph, names: Sequence[str]) -> None:
    """Add weights that nothing reads to a graph made of the model, which has left them out.

    Raises GradientUnavailable: a weight that the model reads in another order than it stores it in.
    """
    blocked = any(node.domain == BLOCKED for node in proto.graph.node)
    for tensor in proto.graph.initializer:
        if tensor.name not in names:
            continue
        name = tensor.name
        if name not in graph.initializers:
            new_constant(graph, name, numbers_of(tensor))
        if blocked and not graph.initializers[name].uses():
            raise GradientUnavailable(
                f"{name!r} is stored in another order than it is read in: ONNX Runtime has "
                "optimised this file for one processor. Give the model as it was exported."
            )


@contextmanager
def as_variables(values: Collection[ir.Value]) -> Iterator[None]:
    """Hide the numbers of weights, so that nothing is computed from them beforehand.

    A graph made inside stays right whatever the weights become.
    """
    numbers = {v: v.const_value for v in values if v.const_value is not None}
    for value in numbers:
        value.const_value = None
    try:
        yield
    finally:
        for value, tensor in numbers.items():
            value.const_value = tensor


def free_names(graph: ir.Graph, wanted: Collection[str]) -> dict[str, str]:
    """Rename the tensors of a graph that bear a name of the signature that it is going to have.

    Returns the new name -> the old one, of inputs, outputs and weights: `cotangent` becomes
    `cotangent_1`, and so on; what lies between is renamed without a word.
    """
    outside = {*graph.inputs, *graph.outputs, *graph.initializers.values()}
    inner = [y for node in graph.all_nodes() for y in node.outputs]
    everything = list(dict.fromkeys((*outside, *inner)))
    taken = {str(value.name) for value in everything} | set(wanted)
    renamed: dict[str, str] = {}
    for value in everything:
        if value.name not in wanted:
            continue
        old = str(value.name)
        stem = old if value in outside else f"{old}_of_the_model"
        new = next(n for i in count(1) if (n := f"{stem}_{i}") not in taken)
        taken.add(new)
        value.name = new
        if value in outside:
            renamed[new] = old
    return renamed


def _stores(node: onnx.NodeProto) -> bool:
    """Whether a node is a Constant that holds a tensor."""
    return (
        node.op_type == "Constant"
        and node.domain in ONNX_DOMAIN
        and len(node.attribute) == 1
        and node.attribute[0].name == "value"
    )
