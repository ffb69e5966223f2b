"""The reverse walk: from the gradient of a graph's outputs to the gradient of its inputs.

Each node on the path is met once, in reverse order. What its consumers sent back has been summed
by then, its rule is called, and what the rule returns is brought to its inputs' shapes.
"""

from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from leap_audit.errors import Defect, GradientUnavailable, LeapAuditError
from leap_audit.gradient.path import (
    flat_nodes,
    is_floating,
    list_nodes,
    node_view,
    path,
    require_rules,
    tensors_on_path,
)
from leap_audit.gradient.poles import at_poles_zero, has_pole
from leap_audit.gradient.rulesets import RuleSet, choose_rules
from leap_audit.gradient.savings import relu_behind_max, sum_gradients
from leap_audit.gradient.table import RULES, Gradients, Node, Rule
from leap_audit.graph.emit import Emitter
from leap_audit.graph.opaque import opaque_gradient
from leap_audit.graph.shapes import static_shape
from leap_audit.run.opaque import OPAQUE

__all__ = ["backpropagate"]


def _opaque(op: Emitter, node: Node, dy: ir.Value) -> ir.Value:
    """dx, as PyTorch computes it"""
    (x,) = node.inputs
    assert x is not None
    return opaque_gradient(op.graph, x, dy)


OPAQUE_RULES = {OPAQUE: Rule(OPAQUE, _opaque, (), broadcasting=False)}
"""Beside the table, which holds ONNX's operators alone."""


def backpropagate(
    op: Emitter,
    cotangents: Mapping[ir.Value, ir.Value],
    wrt: Sequence[ir.Value],
    *,
    stop: Collection[ir.Value] = (),
    rules: RuleSet | None = None,
) -> list[ir.Value]:
    """Return the gradient of sum(cotangent * output) for each value in `wrt`, of its shape.

    cotangents: output -> the tensor of its shape that weighs it. stop: values treated as
    constants. rules: a rule set, whose rules replace those of the table at some nodes.

    Cotangent and gradient have their tensor's type; those of whole numbers are float32. A value
    that no output depends on has gradient zero.

    Raises GradientUnavailable: operators on the path without a rule, all of them at once, or no
    output depends on any value in `wrt`.
    """
    if rules is None:  # another method may not be linear in what it is sent back
        relu_behind_max(op, {*cotangents, *wrt, *stop})
    nodes = path(op.graph, cotangents, wrt, stop)
    chosen = choose_rules(rules, nodes, wrt, stop)
    table = {**RULES, **OPAQUE_RULES}
    require_rules([node for node in nodes if node not in chosen], table)
    on_path = tensors_on_path(nodes, wrt, stop)
    relevant = rules is not None and rules.relevance
    received: dict[ir.Value, list[ir.Value]] = {
        y: [op.Mul(dy, y) if relevant else dy] for y, dy in cotangents.items()
    }
    for node in reversed(nodes):
        dys = [sum_gradients(op, received.get(y, [])) for y in node.outputs]
        if all(dy is None for dy in dys):
            continue
        rule = chosen[node] if node in chosen else table[node.op_type]
        view = node_view(node, on_path)
        gradients = _per_input(_applied(rule, op, view, dys), view)
        if not relevant and has_pole(node):
            gradients = at_poles_zero(op, node, gradients)
        for value, needed, dx in zip(view.inputs, view.needs, gradients, strict=True):
            if not needed or value is None:
                continue
            if dx is None:
                raise GradientUnavailable(
                    f"{node.op_type} ({node.name}): no rule for the gradient of {value.name!r}."
                )
            if rule.broadcasting:
                dx = _unbroadcast(op, dx, static_shape(value))
            if static_shape(dx) != static_shape(value):
                raise AssertionError(
                    f"rule of {node.op_type} gave {static_shape(dx)} for {static_shape(value)}"
                )
            if not is_floating(value) and dx.dtype != ir.DataType.FLOAT:
                dx = op.Cast(dx, to=ir.DataType.FLOAT.value)
            received.setdefault(value, []).append(dx)
    sums = [sum_gradients(op, received.get(value, [])) for value in wrt]
    if all(dx is None for dx in sums):
        flat = flat_nodes(op.graph, cotangents, wrt)
        why = f", except through {list_nodes(flat)}" if flat else ""
        raise GradientUnavailable(
            f"the output does not depend on {', '.join(repr(str(v.name)) for v in wrt)}{why}: "
            "the gradient is zero everywhere."
        )
    return [_zeros(op, x) if dx is None else dx for x, dx in zip(wrt, sums, strict=True)]


def _applied(rule: Rule, op: Emitter, node: Node, dys: Sequence[ir.Value | None]) -> Gradients:
    """What a rule returns; an error that it did not mean names its node."""
    try:
        return rule.function(op, node, *dys)
    except (LeapAuditError, MemoryError):
        raise
    except Exception as error:
        raise Defect.at(f"The gradient rule of {node.op_type} ({node.name})", error) from error


def _per_input(answer: Gradients, node: Node) -> list[ir.Value | None]:
    """A rule's answer with one entry per input: optional inputs at the end may be absent."""
    gradients = [answer] if isinstance(answer, ir.Value) else list(answer)
    count = len(node.inputs)
    if any(dx is not None for dx in gradients[count:]):
        raise AssertionError(f"rule of {node.op_type} gave more gradients than there are inputs")
    return (gradients + [None] * count)[:count]


def _zeros(op: Emitter, value: ir.Value) -> ir.Value:
    """The gradient of what nothing depends on."""
    floats = value if is_floating(value) else op.Cast(value, to=ir.DataType.FLOAT.value)
    return op.Mul(floats, 0.0)


def _unbroadcast(op: Emitter, dx: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    """Sum a gradient over the axes along which its input was repeated."""
    have = static_shape(dx)
    if have == shape:
        return dx
    aligned = (1,) * (len(have) - len(shape)) + shape
    axes = [i for i, (a, b) in enumerate(zip(aligned, have, strict=True)) if a == 1 != b]
    if axes:
        dx = op.ReduceSum(dx, axes, keepdims=1)
    return dx if static_shape(dx) == shape else op.Reshape(dx, shape)
