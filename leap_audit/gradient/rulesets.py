"""Rule sets: other rules at some operators, on the same walk.

What comes out is not the gradient, but another method's answer to what moves the output. A rule
set replaces the rule of Relu alone; what other activations do, those of Clip (ReLU6) or Gelu
included, is their gradient. Graphs made with one say so in their metadata, under METADATA.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from leap_audit.errors import GradientUnavailable, UsageError
from leap_audit.gradient.path import path
from leap_audit.gradient.rules.activation import between
from leap_audit.gradient.table import Gradients, Node, Rule
from leap_audit.graph.emit import Emitter

__all__ = ["METADATA", "OVERLAYS", "overlay", "require_effect"]

METADATA = "leap_audit.rules"
"""The key under which a graph's metadata names the rule set that made it."""


def _guided(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where y > 0 and dy > 0"""
    return op.Mul(op.Relu(dy), between(op, node.outputs[0], low=0.0))


def _deconvnet(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where dy > 0, whatever y was"""
    return op.Relu(dy)


def _at_relu(function: Any) -> dict[str, Rule]:
    return {"Relu": Rule("Relu", function, samples=(), broadcasting=False)}


OVERLAYS: dict[str, dict[str, Rule]] = {
    "guided": _at_relu(_guided),  # Springenberg et al. 2015
    "deconvnet": _at_relu(_deconvnet),  # Zeiler and Fergus 2014
}
"""Rule set -> the rules that replace those of the table."""


def overlay(name: str | None) -> Mapping[str, Rule]:
    """Return the rules of a rule set, none for None.

    Raises UsageError: there is no such rule set.
    """
    if name is None:
        return {}
    if name not in OVERLAYS:
        near = difflib.get_close_matches(name, OVERLAYS, 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"no rule set is called {name!r}, there are {', '.join(OVERLAYS)}{hint}")
    return OVERLAYS[name]


def require_effect(
    name: str, graph: ir.Graph, output: ir.Value, values: Sequence[ir.Value]
) -> None:
    """Refuse a rule set that would give the plain gradient, which would pass for its own answer.

    Raises GradientUnavailable: no operator that it has a rule for lies on the way.
    """
    changed = OVERLAYS[name]
    if not any(node.op_type in changed for node in path(graph, [output], values)):
        raise GradientUnavailable(
            f"the rule set {name!r} changes {' and '.join(changed)} alone, and there is none on "
            f"the way to {output.name!r}: it would be the plain gradient, without rules."
        )
