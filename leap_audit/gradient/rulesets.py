"""Rule sets: other rules at some nodes, on the same walk.

The result is not the gradient, but another method's answer to what moves the output. Graphs made
with a rule set name it in their metadata, under METADATA.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from leap_audit.errors import GradientUnavailable, UsageError
from leap_audit.gradient.path import list_nodes, node_view, path, tensors_on_path
from leap_audit.gradient.rules.activation import between
from leap_audit.gradient.table import Gradients, Node, Rule
from leap_audit.graph.emit import Emitter
from leap_audit.text.names import did_you_mean

__all__ = [
    "METADATA",
    "OPTIONS_METADATA",
    "RULE_SETS",
    "Place",
    "RuleOptions",
    "RuleSet",
    "choose_rules",
    "require_effect",
    "rule_set",
]

METADATA = "leap_audit.rules"
"""The key under which a graph's metadata names the rule set that made it."""
OPTIONS_METADATA = "leap_audit.rules.options"
"""The key of the rule set's options, as JSON, where it has any."""
LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators that are linear layers where one operand is a constant."""


@dataclass(frozen=True)
class Place:
    """Where a node stands among the nodes between `wrt` and the output, in topological order."""

    index: int
    """Its position among all of them; 0 is nearest to the input."""
    nodes: int
    """How many there are."""
    same: int
    """Its position among those of its operator."""
    same_nodes: int
    layer: int | None
    """Its position among the linear layers; None for a node that is no linear layer."""
    layers: int

    @property
    def first_layer(self) -> bool:
        """Whether no linear layer lies nearer to the input."""
        return self.layer == 0

    @property
    def last_layer(self) -> bool:
        """Whether no linear layer lies nearer to the output."""
        return self.layer is not None and self.layer == self.layers - 1


class RuleOptions(BaseModel):
    """Options of a rule set; a rule set with options derives its class from this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Pass = Callable[[ir.Model], object]
"""Changes a canonical graph in place: outputs keep their values, shapes stay static."""


@dataclass(frozen=True)
class RuleSet:
    """Rules that replace those of the table at the nodes that `choose` decides on.

    choose: the rule for a node at its place, None to keep the table's. passes: run in order on the
    canonical graph before the walk. options: what `choose` and `passes` were made with.
    fitted: (nodes on the path, wrt, stop) -> the rule set to use there, of one that decides by all
    nodes; it raises GradientUnavailable where it has no answer. gradient_is_answer: whether the
    plain gradient is its answer where it changes no node, as on a linear model.
    """

    name: str
    choose: Callable[[Node, Place], Rule | None]
    passes: tuple[Pass, ...] = ()
    options: RuleOptions = field(default_factory=RuleOptions)
    fitted: "Fit | None" = None
    gradient_is_answer: bool = False
    relevance: bool = False
    """Whether relevance is sent back, not slopes: the walk begins at cotangent · output, and a
    node that `choose` has no rule for is refused, since the table's would send slopes."""


Fit = Callable[[Sequence[ir.Node], Collection[ir.Value], Collection[ir.Value]], RuleSet]


def _guided(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where y > 0 and dy > 0"""
    return op.Mul(op.Relu(dy), between(op, node.outputs[0], low=0.0))


def _deconvnet(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where dy > 0, whatever y was"""
    return op.Relu(dy)


def _at_relu(name: str, function: Callable[..., Gradients]) -> RuleSet:
    """Return a rule set for Relu alone; other activations keep their gradient, Clip included."""
    rule = Rule("Relu", function, samples=(), broadcasting=False)
    return RuleSet(name, lambda node, _: rule if node.op_type == "Relu" else None)


RULE_SETS: dict[str, RuleSet] = {
    rules.name: rules
    for rules in (
        _at_relu("guided", _guided),  # Springenberg et al. 2015
        _at_relu("deconvnet", _deconvnet),  # Zeiler and Fergus 2014
    )
}


def rule_set(rules: str | RuleSet | None) -> RuleSet | None:
    """Return a rule set by its name, or the rule set itself.

    Raises UsageError: there is no rule set of that name.
    """
    if not isinstance(rules, str):
        return rules
    if rules not in RULE_SETS:
        hint = did_you_mean(rules, RULE_SETS, 0.4)
        raise UsageError(f"no rule set is called {rules!r}, there are {', '.join(RULE_SETS)}{hint}")
    return RULE_SETS[rules]


def choose_rules(
    rules: RuleSet | None,
    nodes: Sequence[ir.Node],
    wrt: Collection[ir.Value],
    stop: Collection[ir.Value] = (),
) -> dict[ir.Node, Rule]:
    """Return the rules that a rule set puts in place of the table's.

    nodes: those that carry a gradient from the output to `wrt`, in topological order.
    Raises GradientUnavailable: the rule set sends relevance, and has no rule for some operators.
    """
    if rules is None:
        return {}
    if rules.fitted is not None:
        rules = rules.fitted(nodes, wrt, stop)
    on_path = tensors_on_path(nodes, wrt, stop)
    chosen = {node: rules.choose(node_view(node, on_path), place) for node, place in _places(nodes)}
    if rules.relevance and (missing := [node for node, rule in chosen.items() if rule is None]):
        raise GradientUnavailable(
            f"the rule set {rules.name!r} has no rule for: {list_nodes(missing)}."
        )
    return {node: rule for node, rule in chosen.items() if rule is not None}


def require_effect(
    rules: RuleSet, graph: ir.Graph, output: ir.Value, values: Sequence[ir.Value]
) -> None:
    """Refuse a rule set that would give the plain gradient, which would pass for its own answer.

    Raises GradientUnavailable: it has no rule for any node on the path.
    """
    chosen = choose_rules(rules, path(graph, [output], values), values)
    if not chosen and not rules.gradient_is_answer:
        raise GradientUnavailable(
            f"the rule set {rules.name!r} changes no operator on the way to {output.name!r}: its "
            "answer would be the plain gradient. Leave the rule set out, or choose another."
        )


def _places(nodes: Sequence[ir.Node]) -> list[tuple[ir.Node, Place]]:
    layers = [node for node in nodes if _is_layer(node)]
    same: dict[str, list[ir.Node]] = {}
    for node in nodes:
        same.setdefault(node.op_type, []).append(node)
    positions = {node: i for group in same.values() for i, node in enumerate(group)}
    order = {node: i for i, node in enumerate(layers)}
    return [
        (
            node,
            Place(
                index=i,
                nodes=len(nodes),
                same=positions[node],
                same_nodes=len(same[node.op_type]),
                layer=order.get(node),
                layers=len(layers),
            ),
        )
        for i, node in enumerate(nodes)
    ]


def _is_layer(node: ir.Node) -> bool:
    return node.op_type in LINEAR and any(
        x is not None and x.const_value is not None for x in node.inputs[:2]
    )
