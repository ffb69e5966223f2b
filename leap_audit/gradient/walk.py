"""The reverse walk: from the gradient of a graph's outputs to the gradient of its inputs.

Each node on the path is met once, in reverse order. What its consumers sent back has been summed
by then, its rule is called, and what the rule returns is brought to its inputs' shapes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.emit import Emitter
from leap_audit.gradient.table import RULES, Gradients, Node, Rule
from leap_audit.ingest.canonical import static_shape
from leap_audit.ingest.onnx import ONNX_DOMAIN
from leap_audit.ingest.rewrites import CONTROL, why_left

__all__ = ["backpropagate", "flat_nodes", "named", "path_to", "without_rule"]

FLAT = frozenset({"Bernoulli", "Ceil", "Floor", "Hardmax", "MelWeightMatrix", "Round", "Sign"})
"""Operators that are constant nearly everywhere: their gradient is zero."""
CHOICES = frozenset({"ArgMax", "ArgMin", "Cast", "CastLike"})
"""Operators that give whole numbers: what is computed from those carries no gradient."""
INDEPENDENT = frozenset({"EyeLike", "RandomNormalLike", "RandomUniformLike"})
"""Operators that read the shape of their input alone: what they give carries no gradient."""


def backpropagate(
    op: Emitter,
    cotangents: Mapping[ir.Value, ir.Value],
    wrt: Sequence[ir.Value],
    *,
    stop: Collection[ir.Value] = (),
    rules: Mapping[str, Rule] | None = None,
) -> list[ir.Value]:
    """Return the gradient of sum(cotangent * output) for each value in `wrt`, of its shape.

    cotangents: output -> the tensor of its shape that weighs it. stop: values treated as
    constants. rules: rules that replace those of the table (another method, not another engine).

    A value that no output depends on has gradient zero.

    Raises GradientUnavailable: operators on the path without a rule, all of them at once, or no
    output depends on any value in `wrt`.
    """
    table = {**RULES, **(rules or {})}
    path = path_to(op.graph, cotangents, wrt, stop)
    if missing := without_rule(path, table):
        reasons = [why_left(node) for node in missing if node.op_type in CONTROL]
        raise GradientUnavailable(" ".join([f"no gradient rule for: {named(missing)}.", *reasons]))
    on_path = set(wrt) | {y for node in path for y in node.outputs if _carries(y)}
    on_path -= set(stop)
    received: dict[ir.Value, list[ir.Value]] = {y: [dy] for y, dy in cotangents.items()}
    for node in reversed(path):
        dys = [_total(op, received.get(y, [])) for y in node.outputs]
        if all(dy is None for dy in dys):
            continue
        rule = table[node.op_type]
        view = _view(node, on_path)
        gradients = _per_input(rule.function(op, view, *dys), view)
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
            received.setdefault(value, []).append(dx)
    found = [_total(op, received.get(value, [])) for value in wrt]
    if all(dx is None for dx in found):
        flat = flat_nodes(op.graph, cotangents, wrt)
        why = f", except through {named(flat)}" if flat else ""
        raise GradientUnavailable(
            f"the output does not depend on {', '.join(repr(str(v.name)) for v in wrt)}{why}: "
            "the gradient is zero everywhere."
        )
    return [
        dx if dx is not None else op.Mul(value, 0.0) for value, dx in zip(wrt, found, strict=True)
    ]


def path_to(
    graph: ir.Graph,
    outputs: Collection[ir.Value],
    wrt: Sequence[ir.Value],
    stop: Collection[ir.Value] = (),
) -> list[ir.Node]:
    """Return the nodes between `wrt` and the outputs that need a rule, in the graph's order."""
    return _between(graph, outputs, set(wrt) - set(stop), lambda y: y not in stop and _carries(y))


def flat_nodes(
    graph: ir.Graph, cotangents: Collection[ir.Value], wrt: Sequence[ir.Value]
) -> list[ir.Node]:
    """Return the nodes between `wrt` and the outputs that the gradient stops at.

    They are constant nearly everywhere, so what passes through them alone has gradient zero:
    right by the definition, and rarely what is wanted. Comparisons are not among them: they
    choose between things that do carry a gradient.
    """
    return [
        node
        for node in _between(graph, cotangents, set(wrt), lambda _: True)
        if node.op_type in FLAT or (node.op_type in CHOICES and not _floating(node.outputs[0]))
    ]


def _between(
    graph: ir.Graph,
    ends: Collection[ir.Value],
    starts: set[ir.Value],
    carries: Callable[[ir.Value], bool],
) -> list[ir.Node]:
    """The nodes on a way from `starts` to `ends` over values that carry something."""
    forward = set(starts)
    nodes: list[ir.Node] = []
    for node in graph:
        if any(value in forward for value in _reads(node)):
            forward.update(y for y in node.outputs if carries(y))
            nodes.append(node)
    backward = set(ends)
    kept: list[ir.Node] = []
    for node in reversed(nodes):
        if any(y in backward and y in forward for y in node.outputs):
            backward.update(_reads(node))
            kept.append(node)
    return kept[::-1]


def _reads(node: ir.Node) -> list[ir.Value]:
    """What a node reads: its inputs, and what a subgraph of it takes from outside."""
    found = [value for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        if isinstance(attribute, ir.Attr) and attribute.type == ir.AttributeType.GRAPH:
            for inner in attribute.as_graph().all_nodes():
                found.extend(value for value in inner.inputs if value is not None)
            found.extend(attribute.as_graph().outputs)
    return found


def _carries(value: ir.Value) -> bool:
    """Indices, masks and shapes carry no gradient, nor what is flat or independent of its input."""
    node = value.producer()
    cut = node is not None and (node.op_type in FLAT or node.op_type in INDEPENDENT)
    return _floating(value) and not cut


def _floating(value: ir.Value) -> bool:
    return value.dtype is None or value.dtype.is_floating_point()


def without_rule(path: Sequence[ir.Node], table: Mapping[str, Rule]) -> list[ir.Node]:
    """Return the nodes of a path that the table has no rule for."""
    return [node for node in path if node.domain not in ONNX_DOMAIN or node.op_type not in table]


def named(nodes: Sequence[ir.Node]) -> str:
    """Return the operators of some nodes, how many there are of each, and the name of one."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        found.setdefault(name, []).append(str(node.name))
    return "; ".join(
        f"{name} ({len(names)} node{'s' if len(names) > 1 else ''}, e.g. {names[0]!r})"
        for name, names in sorted(found.items())
    )


def _view(node: ir.Node, on_path: Collection[ir.Value]) -> Node:
    return Node(
        op_type=node.op_type,
        name=str(node.name),
        inputs=tuple(node.inputs),
        outputs=tuple(node.outputs),
        needs=tuple(value is not None and value in on_path for value in node.inputs),
        attributes={a.name: a.value for a in node.attributes.values() if isinstance(a, ir.Attr)},
    )


def _per_input(answer: Gradients, node: Node) -> list[ir.Value | None]:
    """A rule's answer with one entry per input: optional inputs at the end may be absent."""
    given = [answer] if isinstance(answer, ir.Value) else list(answer)
    count = len(node.inputs)
    if any(dx is not None for dx in given[count:]):
        raise AssertionError(f"rule of {node.op_type} gave more gradients than there are inputs")
    return (given + [None] * count)[:count]


def _total(op: Emitter, parts: Sequence[ir.Value]) -> ir.Value | None:
    total: ir.Value | None = None
    for part in parts:
        total = part if total is None else op.Add(total, part)
    return total


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
