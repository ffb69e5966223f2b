"""Replace operators by standard ones: one small function for each operator.

    @rewriting("com.microsoft::QuickGelu")
    def quick_gelu(op):
        (x,) = op.node.inputs
        return op.Mul(x, op.Sigmoid(op.Mul(x, op.number("alpha", 1.702))))

A rewriting takes a `Writer` for the node and returns what replaces the node's outputs: one tensor,
or a sequence with None for an output that nothing reads. It returns None to leave the node as it
is; a gradient then names the operator as one without a rule. Shapes may still be unknown, unless
the rewriting is entered with `shapes=True`. The check of the canonical form judges the result.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from leap_audit.errors import Defect, LeapAuditError
from leap_audit.graph.emit import Emitter, TensorNames
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.shapes import forget_shapes

__all__ = [
    "MICROSOFT",
    "REWRITINGS",
    "Rewriting",
    "Writer",
    "replace",
    "rewrite",
    "rewriting",
]

MICROSOFT = "com.microsoft::"
"""Begins the names of operators of ONNX Runtime."""
Written = ir.Value | Sequence[ir.Value | None] | None


class Writer(Emitter):
    """Collects the nodes that replace one; they belong to no graph until `replace`.

    Constants of floats have the node's floating-point type.
    """

    def __init__(self, graph: ir.Graph, node: ir.Node, names: TensorNames) -> None:
        types = [v.dtype for v in (*node.inputs, *node.outputs) if v is not None and v.dtype]
        floating = (dtype for dtype in types if dtype.is_floating_point())
        self.node = node
        self.nodes: list[ir.Node] = []
        super().__init__(
            graph,
            node.name or node.op_type,
            names=names,
            append=self.nodes.append,
            infer=False,
            dtype=next(floating, ir.DataType.FLOAT),
        )

    def append(self, node: ir.Node) -> None:
        """Append a node that was made elsewhere, with new names for its outputs."""
        for value in node.outputs:
            value.name = self._name(value.name or node.op_type)
        self.nodes.append(node)

    def input(self, index: int) -> ir.Value | None:
        """Return an input, None where the node leaves it out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return the node's attribute, or `default`."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.value

    def number(self, name: str, default: float) -> float:
        """Return a floating-point attribute of the node, or `default`."""
        return float(self.attribute(name, default))

    def is_read(self, index: int) -> bool:
        """Return whether anything reads this output of the node."""
        if index >= len(self.node.outputs):
            return False
        value = self.node.outputs[index]
        return bool(value.uses()) or value.is_graph_output()


Function = Callable[[Writer], Written]


@dataclass(frozen=True)
class Rewriting:
    """How one operator is written in others."""

    function: Function
    shapes: bool
    """It needs static shapes, so it comes last."""


REWRITINGS: dict[str, Rewriting] = {}
"""Operator, as `domain::name` or `name` for ONNX's own -> its rewriting."""


def rewriting(*operators: str, shapes: bool = False) -> Callable[[Function], Function]:
    """Enter a function into REWRITINGS under these operators."""

    def enter(function: Function) -> Function:
        for operator in operators:
            if operator in REWRITINGS:
                raise ValueError(f"{operator} has a rewriting already")
            REWRITINGS[operator] = Rewriting(function, shapes)
        return function

    return enter


def rewrite(graph: ir.Graph, *, shapes: bool, within: Collection[ir.Node] | None = None) -> bool:
    """Put the rewritings in place of their nodes; return whether there was one.

    shapes: run those that need static shapes, or those that do not. within: only these nodes.
    """
    names = TensorNames(graph)
    changed = False
    for node in list(graph):
        own = node.domain in ONNX_DOMAIN
        entry = REWRITINGS.get(node.op_type if own else f"{node.domain}::{node.op_type}")
        if entry is None or entry.shapes != shapes or (within is not None and node not in within):
            continue
        op = Writer(graph, node, names)
        written = _written(entry, op)
        if written is None:
            continue
        made: list[ir.Value | None] = [written] if isinstance(written, ir.Value) else list(written)
        replace(graph, op, node, made)
        if shapes:  # inferred anew: ONNX's own inference is wrong for some of these, such as STFT
            forget_shapes(made)
        changed = True
    return changed


def _written(entry: Rewriting, op: Writer) -> Written:
    """Call a rewriting; an error that it did not mean names its node."""
    try:
        return entry.function(op)
    except (LeapAuditError, MemoryError):
        raise
    except Exception as error:
        node = op.node
        raise Defect.at(f"Writing {node.op_type} ({node.name}) in others", error) from error


def replace(graph: ir.Graph, op: Writer, node: ir.Node, made: Sequence[ir.Value | None]) -> None:
    """Put what `op` has written in the place of its node; `made` takes over from its outputs."""
    own = {value for new in op.nodes for value in new.outputs}
    for i, old in enumerate(node.outputs):
        if not op.is_read(i):
            continue
        new = made[i] if i < len(made) else None
        if new is None:
            raise AssertionError(f"rewriting of {node.op_type}: output {i} is used")
        if old.is_graph_output() and (new not in own or list(made).count(new) > 1):
            new = op.Identity(new)
            own.add(new)
        if new in own:  # it takes the old one's name, shape and type
            new.name, old.name = old.name, f"{old.name}_before"
            new.shape, new.type = old.shape, old.type
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.insert_before(node, op.nodes)
    graph.remove(node, safe=True)
