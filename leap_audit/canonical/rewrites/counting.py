"""How often a loop runs whose condition counts, as TensorFlow writes every loop."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from leap_audit.graph.opset import OPSET
from leap_audit.graph.values import constant_of

__all__ = ["counted"]


def counted(node: ir.Node, most: int) -> int | None:
    """Return how often a Loop whose first condition holds runs, `most` at most.

    Its condition is computed, step by step, if nothing but constants, the number of the iteration
    and states that are themselves computed of these goes into it. None where something else does.
    """
    found = _counter(node)
    if found is None:
        return None
    evaluator, states = found
    numbers = {k: constant_of(node.inputs[2 + k]) for k in states}
    for t in range(most):
        given = {_name(node, 2 + k): numbers[k] for k in states}
        given[_name(node, 0)] = np.array(t, np.int64)
        again, *new = (np.asarray(y) for y in evaluator.run(None, given))
        numbers = dict(zip(states, new, strict=True))
        if not np.all(again):
            return t + 1
    return most


def _counter(node: ir.Node) -> tuple[ReferenceEvaluator, list[int]] | None:
    """Return what computes condition and states of the next step, and which states those are."""
    body = node.attributes["body"].as_graph()
    states: list[int] = []
    constants: dict[str, NDArray[np.generic]] = {}
    nodes: set[ir.Node] = set()
    waiting, seen = [body.outputs[0]], {body.outputs[0]}
    while waiting:
        value = waiting.pop()
        needed: Sequence[ir.Value | None] = ()
        producer = value.producer()
        if value in body.inputs:
            k = body.inputs.index(value) - 2
            if k >= 0:
                if constant_of(node.inputs[2 + k]) is None:
                    return None
                states.append(k)
                needed = [body.outputs[1 + k]]
        elif (known := constant_of(value)) is not None:
            constants[str(value.name)] = known
        elif producer is None or producer.graph is not body or _holds_graph(producer):
            return None
        else:
            nodes.add(producer)
            needed = producer.inputs
        new = [x for x in needed if x is not None and x not in seen]
        seen.update(new)
        waiting.extend(new)
    states.sort()
    return _evaluator(body, [n for n in body if n in nodes], states, constants), states


def _holds_graph(node: ir.Node) -> bool:
    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in graphs for attribute in node.attributes.values())


def _evaluator(
    body: ir.Graph,
    nodes: Sequence[ir.Node],
    states: Sequence[int],
    constants: dict[str, NDArray[np.generic]],
) -> ReferenceEvaluator:
    entries = [body.inputs[0], *(body.inputs[2 + k] for k in states), body.inputs[1]]
    ends = [body.outputs[0], *(body.outputs[1 + k] for k in states)]
    free = [onnx.ValueInfoProto(name=str(v.name)) for v in entries]
    graph = onnx.helper.make_graph(
        [ir.to_proto(n) for n in nodes],
        "counter",
        free,
        [onnx.ValueInfoProto(name=str(v.name)) for v in ends],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets))


def _name(node: ir.Node, index: int) -> str:
    return str(node.attributes["body"].as_graph().inputs[index].name)
