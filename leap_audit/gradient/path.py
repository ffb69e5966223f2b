"""Find the nodes and tensors that carry a gradient between the output and `wrt`."""

from collections.abc import Callable, Collection, Mapping, Sequence

import onnx_ir as ir

from leap_audit.canonical.rewrites import CONTROL, why_left
from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Node, Rule
from leap_audit.graph.operators import CASTING, MOVING, ROUNDING
from leap_audit.graph.opset import ONNX_DOMAIN

__all__ = [
    "carries",
    "carrying",
    "flat_nodes",
    "is_floating",
    "list_nodes",
    "node_view",
    "path",
    "reads_as_number",
    "require_rules",
    "rounding_nodes",
    "tensors_on_path",
    "without_rule",
]

FLAT = frozenset({"Bernoulli", "Ceil", "Floor", "Hardmax", "MelWeightMatrix", "Round", "Sign"})
"""Operators that are constant nearly everywhere: their gradient is zero."""
CHOICES = frozenset({"ArgMax", "ArgMin", *CASTING})
"""Operators that give integers: what is computed from those carries no gradient."""
INDEPENDENT = frozenset({"EyeLike", "RandomNormalLike", "RandomUniformLike"})
"""Operators that read the shape of their input alone: what they give carries no gradient."""
CARRYING = frozenset({*MOVING, *CASTING, "MaxPool", "Pad", "Resize"})
"""Operators through which integers stay numbers: no index, no mask comes out of them."""
LONGEST_NAME = 60
"""Characters of a node's name that a sentence bears."""


def path(
    graph: ir.Graph,
    outputs: Collection[ir.Value],
    wrt: Collection[ir.Value],
    stop: Collection[ir.Value] = (),
) -> list[ir.Node]:
    """Return the nodes that carry a gradient from the outputs to `wrt`, in the graph's order."""
    nodes, reached = _forward(
        graph, set(wrt) - set(stop), _numbers, lambda y: y not in stop and carries(y)
    )
    return _backward(nodes, reached, outputs, _numbers)


def tensors_on_path(
    nodes: Sequence[ir.Node], wrt: Collection[ir.Value], stop: Collection[ir.Value] = ()
) -> set[ir.Value]:
    """Return the tensors that carry a gradient over these nodes to `wrt`."""
    return {*wrt, *(y for node in nodes for y in node.outputs if carries(y))} - set(stop)


def node_view(node: ir.Node, on_path: Collection[ir.Value]) -> Node:
    """Return a node as a rule reads it. on_path: the tensors that carry a gradient."""
    return Node(
        op_type=node.op_type,
        name=str(node.name),
        inputs=tuple(node.inputs),
        outputs=tuple(node.outputs),
        needs=tuple(x in on_path and reads_as_number(node, i) for i, x in enumerate(node.inputs)),
        attributes={a.name: a.value for a in node.attributes.values() if isinstance(a, ir.Attr)},
    )


def carrying(
    graph: ir.Graph, outputs: Collection[ir.Value], values: Sequence[ir.Value]
) -> list[ir.Value]:
    """Return those of the values whose numbers the outputs are computed from.

    Whole numbers that are read as indices, shapes or conditions alone are not among them.
    """
    return [x for x in values if x in outputs or path(graph, outputs, [x])]


def rounding_nodes(
    graph: ir.Graph, outputs: Collection[ir.Value], wrt: Collection[ir.Value]
) -> list[ir.Node]:
    """Return the nodes between `wrt` and the outputs that the gradient passes straight through."""
    return [node for node in path(graph, outputs, wrt) if node.op_type in ROUNDING]


def flat_nodes(
    graph: ir.Graph, outputs: Collection[ir.Value], wrt: Collection[ir.Value]
) -> list[ir.Node]:
    """Return the nodes between `wrt` and the outputs that the gradient stops at.

    They are constant nearly everywhere, or compute with whole numbers what has no slope in
    between, so what passes through them alone has gradient zero: right by the definition, and
    rarely what is wanted. Comparisons are not among them: they choose between things that do
    carry a gradient.
    """
    _, numbers = _forward(graph, set(wrt), _numbers, carries)
    nodes, reached = _forward(graph, set(wrt), _reads, lambda _: True)
    return [
        node
        for node in _backward(nodes, reached, outputs, _reads)
        if node.op_type in FLAT
        or (node.op_type in CHOICES and not carries(node.outputs[0]))
        or _loses(node, numbers)
    ]


def without_rule(nodes: Sequence[ir.Node], table: Mapping[str, Rule]) -> list[ir.Node]:
    """Return the nodes that the table has no rule for."""
    return [node for node in nodes if node.domain not in ONNX_DOMAIN or node.op_type not in table]


def require_rules(nodes: Sequence[ir.Node], table: Mapping[str, Rule]) -> None:
    """Raise GradientUnavailable naming the operators without a rule, all of them at once."""
    if missing := without_rule(nodes, table):
        reasons = [why_left(node) for node in missing if node.op_type in CONTROL]
        raise GradientUnavailable(
            " ".join([f"no gradient rule for: {list_nodes(missing)}.", *reasons])
        )


def list_nodes(nodes: Sequence[ir.Node]) -> str:
    """Return the operators of some nodes, how many there are of each, and the name of one."""

    def short(name: str) -> str:
        return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."

    by_operator: dict[str, list[str]] = {}
    for node in nodes:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        by_operator.setdefault(name, []).append(str(node.name))
    return "; ".join(
        f"{name} ({len(names)} node{'s' if len(names) > 1 else ''}, e.g. {short(names[0])!r})"
        for name, names in sorted(by_operator.items())
    )


def carries(value: ir.Value) -> bool:
    """Return whether a tensor carries a gradient if what its node reads as numbers does.

    Indices, masks and shapes carry none, nor does what is constant nearly everywhere. Integers
    carry one where they stand for other numbers (QuantizeLinear), and where these, or those of an
    input in `wrt`, are moved. The range that DynamicQuantizeLinear measures carries none: a larger
    scale makes smaller numbers.
    """
    node = value.producer()
    if node is None:
        return is_floating(value)
    if node.op_type == "DynamicQuantizeLinear":
        return value is node.outputs[0]
    if is_floating(value):
        return node.op_type not in FLAT | INDEPENDENT
    if not _is_whole(value):
        return False
    if node.op_type in CARRYING:
        first = node.inputs[0]
        own = value is node.outputs[0] or node.op_type == "Split"  # MaxPool's second are indices
        return own and first is not None and _is_whole(first)
    return node.op_type in ROUNDING or node.domain not in ONNX_DOMAIN


def reads_as_number(node: ir.Node, index: int) -> bool:
    """Return whether a gradient may pass from a node to this input.

    To floating-point numbers always. To whole ones where they are moved or made floating point,
    not where they are indices, shapes or conditions. An operator that is not ONNX's is taken to
    read all as numbers, so that it is named as one without a rule.
    """
    value = node.inputs[index]
    if value is None or is_floating(value):
        return value is not None
    if not _is_whole(value):
        return False
    if node.domain not in ONNX_DOMAIN or node.op_type == "Concat":
        return True
    return index == 0 and node.op_type in (*CARRYING, "DequantizeLinear")


def is_floating(value: ir.Value) -> bool:
    """Return whether a tensor holds floating-point numbers, or what inference does not know."""
    return value.dtype is None or value.dtype.is_floating_point()


def _is_whole(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_integer()


def _loses(node: ir.Node, numbers: Collection[ir.Value]) -> bool:
    """Whether a node makes of whole numbers that carry a gradient something that does not."""
    lost = any(
        x in numbers and _is_whole(x) and not reads_as_number(node, i)
        for i, x in enumerate(node.inputs)
        if x is not None
    )
    return lost and any(is_floating(y) or _is_whole(y) for y in node.outputs)


def _forward(
    graph: ir.Graph,
    starts: set[ir.Value],
    reads: Callable[[ir.Node], list[ir.Value]],
    passing: Callable[[ir.Value], bool],
) -> tuple[list[ir.Node], set[ir.Value]]:
    """The nodes that `starts` reach over values that pass something on, and those values."""
    reached = set(starts)
    nodes: list[ir.Node] = []
    for node in graph:
        if any(value in reached for value in reads(node)):
            reached.update(y for y in node.outputs if passing(y))
            nodes.append(node)
    return nodes, reached


def _backward(
    nodes: Sequence[ir.Node],
    reached: Collection[ir.Value],
    ends: Collection[ir.Value],
    reads: Callable[[ir.Node], list[ir.Value]],
) -> list[ir.Node]:
    """Those of the nodes, reached from the one end, from which there is a way to the other."""
    backward = set(ends)
    kept: list[ir.Node] = []
    for node in reversed(nodes):
        if any(y in backward and y in reached for y in node.outputs):
            backward.update(reads(node))
            kept.append(node)
    return kept[::-1]


def _reads(node: ir.Node) -> list[ir.Value]:
    """What a node reads: its inputs, and what a subgraph of it takes from outside."""
    return [value for value in node.inputs if value is not None] + _captured(node)


def _numbers(node: ir.Node) -> list[ir.Value]:
    """What a node reads as numbers."""
    own = [x for i, x in enumerate(node.inputs) if x is not None and reads_as_number(node, i)]
    return own + [value for value in _captured(node) if is_floating(value)]


def _captured(node: ir.Node) -> list[ir.Value]:
    """What the subgraphs of a node read."""
    captured: list[ir.Value] = []
    for attribute in node.attributes.values():
        if isinstance(attribute, ir.Attr) and attribute.type == ir.AttributeType.GRAPH:
            for inner in attribute.as_graph().all_nodes():
                captured.extend(value for value in inner.inputs if value is not None)
            captured.extend(attribute.as_graph().outputs)
    return captured
