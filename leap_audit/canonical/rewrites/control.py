"""Loops whose length is known are written out; of every other control flow it is said why not.

A branch whose condition is a constant is put in its place where constants are folded.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from leap_audit.canonical.rewrite import Writer, replace
from leap_audit.canonical.rewrites.counting import counted
from leap_audit.graph.emit import TensorNames
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.shapes import forget_shapes, shape_of
from leap_audit.graph.values import constant_of

__all__ = ["CONTROL", "MOST_NODES", "unroll", "why_left"]

MOST_NODES = 20_000
"""Nodes up to which a loop is written out."""
LOOPS = ("Loop", "Scan")
CONTROL = frozenset({"If", *LOOPS})

Values = Sequence[ir.Value]


def unroll(graph: ir.Graph) -> bool:
    """Write out the loops of the graph whose length is known and return whether there was one."""
    names = TensorNames(graph)
    found = False
    for node in list(graph):
        if node.op_type not in LOOPS or node.domain not in ONNX_DOMAIN:
            continue
        op = Writer(graph, node, names)
        made = None
        if _obstacle(node) is None:
            made = _loop(op) if node.op_type == "Loop" else _scan(op)
        if made is not None:
            replace(graph, op, node, made)
            forget_shapes(made)
            found = True
    return found


def why_left(node: ir.Node) -> str:
    """Return the sentence that says why a gradient does not pass through an If, Loop or Scan."""
    reason = "which branch is taken depends on the input"
    if node.op_type in LOOPS:
        reason = _obstacle(node) or "it gives a tensor of no length"
    return f"{node.op_type} (node {node.name!r}): {reason}."


def _obstacle(node: ir.Node) -> str | None:
    """Return why a loop cannot be written out, None if it can."""
    steps = _steps(node)
    if steps is None:
        return "its number of iterations depends on the input"
    size = sum(1 for _ in node.attributes["body"].as_graph().all_nodes())
    if steps * size > MOST_NODES:
        return (
            f"its {steps} iterations of {size} nodes are more than the {MOST_NODES} nodes "
            "up to which a loop is written out"
        )
    return None


def _steps(node: ir.Node) -> int | None:
    """Return how often a loop's body is run, None where that is not known."""
    body = node.attributes["body"].as_graph()
    if node.op_type == "Scan":
        count = node.attributes["num_scan_inputs"].as_int()
        shape = shape_of(node.inputs[len(node.inputs) - count])
        return None if shape is None else shape[_axes(node, "scan_input_axes", count)[0]]
    first, begin = (node.inputs[i] for i in (0, 1))
    length, start = constant_of(first), constant_of(begin)
    if begin is not None and start is None:
        return None
    if start is not None and not start.all():
        return 0
    again = body.outputs[0]
    while (producer := again.producer()) is not None and producer.op_type == "Identity":
        assert producer.inputs[0] is not None
        again = producer.inputs[0]
    known = constant_of(again)
    most = None if length is None else int(length.ravel()[0])
    if first is not None and most is None:
        return None
    if again is body.inputs[1] or (known is not None and known.all()):
        return most
    return counted(node, MOST_NODES if most is None else min(most, MOST_NODES))


def _loop(op: Writer) -> list[ir.Value | None] | None:
    steps = _steps(op.node)
    assert steps is not None
    state = [value for value in op.node.inputs[2:] if value is not None]
    true = op.constant(np.array(True))
    collected: list[list[ir.Value]] = []
    for t in range(steps):
        _, *made = _written(op, [op.constant(np.array(t)), true, *state])
        collected.append(made[len(state) :])
        state = made[: len(state)]
    return _results(op, state, collected, None)


def _scan(op: Writer) -> list[ir.Value | None] | None:
    steps = _steps(op.node)
    assert steps is not None
    count = op.attribute("num_scan_inputs")
    first = len(op.node.inputs) - count
    state = [value for value in op.node.inputs[:first] if value is not None]
    read = [value for value in op.node.inputs[first:] if value is not None]
    axes = _axes(op.node, "scan_input_axes", count)
    backward = op.attribute("scan_input_directions") or [0] * count
    collected: list[list[ir.Value]] = []
    for t in range(steps):
        parts = [
            op.Gather(x, np.array(steps - 1 - t if back else t), axis=axis)
            for x, axis, back in zip(read, axes, backward, strict=True)
        ]
        made = _written(op, [*state, *parts])
        collected.append(made[len(state) :])
        state = made[: len(state)]
    return _results(op, state, collected, _axes(op.node, "scan_output_axes", None))


def _axes(node: ir.Node, name: str, count: int | None) -> list[int]:
    given = node.attributes.get(name)
    return list(given.as_ints()) if given is not None else [0] * (count or len(node.outputs))


def _written(op: Writer, given: Values) -> list[ir.Value]:
    """Write the body once, on these values, and return its outputs."""
    body = op.node.attributes["body"].as_graph().clone(allow_outer_scope_values=True)
    for inner, value in zip(body.inputs, given, strict=True):
        ir.convenience.replace_all_uses_with(inner, value, replace_graph_outputs=True)
    for value in body.initializers.values():
        assert value.const_value is not None
        constant = op.constant(value.const_value.numpy())
        ir.convenience.replace_all_uses_with(value, constant, replace_graph_outputs=True)
    outputs = list(body.outputs)
    body.outputs.clear()
    nodes = list(body)
    body.remove(nodes)
    for node in nodes:
        op.append(node)
    return outputs


def _results(
    op: Writer, state: Values, collected: Sequence[Values], axes: Sequence[int] | None
) -> list[ir.Value | None] | None:
    """Return the last state and, for each other output, what the steps gave, side by side."""
    made: list[ir.Value | None] = list(state)
    backward = op.attribute("scan_output_directions") or [0] * len(op.node.outputs)
    for k in range(len(op.node.outputs) - len(state)):
        parts = [step[k] for step in collected]
        if not parts:
            if op.is_read(len(state) + k):
                return None
            made.append(None)
            continue
        axis = axes[k] if axes else 0
        pieces = [op.Unsqueeze(part, [axis]) for part in (parts[::-1] if backward[k] else parts)]
        made.append(op.Concat(*pieces, axis=axis))
    return made
