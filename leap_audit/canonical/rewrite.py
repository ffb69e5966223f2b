"""Operators written in others: small functions that put standard nodes in a node's place.

    @rewriting("com.microsoft::QuickGelu")
    def quick_gelu(op):
        (x,) = op.node.inputs
        return op.Mul(x, op.Sigmoid(op.Mul(x, op.number("alpha", 1.702))))

A rewriting takes a writer at the node and returns what replaces the node's outputs: one tensor, or
a sequence with None for an output that nothing reads. It returns None to leave the node as it is; a
gradient then names the operator as one without a rule. Shapes may still be unknown, unless the
rewriting is entered with `shapes=True`. The check of the canonical form judges the result.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.errors import Defect, LeapAuditError
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.shapes import forget_shapes
from leap_audit.graph.values import new_constant, new_node

__all__ = [
    "REWRITINGS",
    "Rewriting",
    "Writer",
    "names_in",
    "replace",
    "rewrite",
    "rewriting",
]

SMALL = 16
"""Numbers in a constant up to which the same numbers are stored once."""

Written = ir.Value | Sequence[ir.Value | None] | None
Given = ir.Value | NDArray[Any] | float | Sequence[int] | None
"""A float takes the node's floating-point type, whole numbers are int64, an array keeps its own."""


class Writer:
    """Collects the nodes that replace one. The attribute `op.NAME` is the ONNX operator NAME."""

    def __init__(self, graph: ir.Graph, node: ir.Node, taken: set[str]) -> None:
        self.node = node
        self.nodes: list[ir.Node] = []
        self._graph = graph
        self._taken = taken
        self._constants: dict[Any, ir.Value] = {}
        floats = [v.dtype for v in (*node.inputs, *node.outputs) if v is not None and v.dtype]
        known = [dtype for dtype in floats if dtype.is_floating_point()]
        self.dtype = known[0] if known else ir.DataType.FLOAT

    def __getattr__(self, op_type: str) -> Callable[..., ir.Value]:
        if not op_type[0].isupper():
            raise AttributeError(op_type)

        def emit(*inputs: Given, **attributes: Any) -> ir.Value:
            return self.emit(op_type, inputs, attributes, 1)[0]

        return emit

    def emit(
        self, op_type: str, inputs: Sequence[Given], attributes: dict[str, Any], outputs: int
    ) -> tuple[ir.Value, ...]:
        """Append a node with several outputs and return them."""
        name = self._name(op_type)
        values = [x if x is None or isinstance(x, ir.Value) else self.constant(x) for x in inputs]
        more = [self._name(op_type) for _ in range(1, outputs)]
        node = new_node(op_type, values, attributes, [name, *more])
        self.nodes.append(node)
        return tuple(node.outputs)

    def take(self, node: ir.Node) -> None:
        """Append a node that was made elsewhere, under names that nothing in the graph has."""
        for value in node.outputs:
            value.name = self._name(value.name or node.op_type)
        self.nodes.append(node)

    def constant(self, given: NDArray[Any] | float | Sequence[int]) -> ir.Value:
        """Return an initializer with these numbers."""
        if isinstance(given, np.ndarray):
            data = given
        elif isinstance(given, float):
            data = np.asarray(given, self.dtype.numpy())
        else:
            data = np.asarray(given, np.int64)
        key = (data.dtype.str, data.shape, data.tobytes()) if data.size <= SMALL else None
        if key in self._constants:
            return self._constants[key]
        value = new_constant(self._graph, self._name("constant"), data)
        if key is not None:
            self._constants[key] = value
        return value

    def given(self, index: int) -> ir.Value | None:
        """Return an input, None where the node leaves it out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return the node's attribute, or `default`."""
        found = self.node.attributes.get(name)
        return default if found is None else found.value

    def number(self, name: str, default: float) -> float:
        """Return a floating-point attribute of the node, or `default`."""
        return float(self.attribute(name, default))

    def used(self, index: int) -> bool:
        """Return whether anything reads this output of the node."""
        if index >= len(self.node.outputs):
            return False
        value = self.node.outputs[index]
        return bool(value.uses()) or value.is_graph_output()

    def _name(self, what: str) -> str:
        stem = f"{self.node.name or self.node.op_type}_{what}"
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name


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
    taken = names_in(graph)
    changed = False
    for node in list(graph):
        own = node.domain in ONNX_DOMAIN
        found = REWRITINGS.get(node.op_type if own else f"{node.domain}::{node.op_type}")
        if found is None or found.shapes != shapes or (within is not None and node not in within):
            continue
        op = Writer(graph, node, taken)
        written = _written(found, op)
        if written is None:
            continue
        made: list[ir.Value | None] = [written] if isinstance(written, ir.Value) else list(written)
        replace(graph, op, node, made)
        if shapes:  # inferred anew: ONNX's own inference is wrong for some of these, such as STFT
            forget_shapes(made)
        changed = True
    return changed


def _written(found: Rewriting, op: Writer) -> Written:
    """What a rewriting returns; an error that it did not mean names its node."""
    try:
        return found.function(op)
    except (LeapAuditError, MemoryError):
        raise
    except Exception as error:
        node = op.node
        raise Defect.at(f"Writing {node.op_type} ({node.name}) in others", error) from error


def names_in(graph: ir.Graph) -> set[str]:
    """Return the names that tensors of the graph bear."""
    found = {str(v.name) for v in (*graph.inputs, *graph.initializers.values())}
    found.update(str(value.name) for node in graph.all_nodes() for value in node.outputs)
    return found


def replace(graph: ir.Graph, op: Writer, node: ir.Node, made: Sequence[ir.Value | None]) -> None:
    """Put what `op` has written in the place of its node; `made` takes over from its outputs."""
    own = {value for new in op.nodes for value in new.outputs}
    for i, old in enumerate(node.outputs):
        if not op.used(i):
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
