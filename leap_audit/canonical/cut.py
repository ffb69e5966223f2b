"""The part of a canonical graph between tensors, as a graph of its own."""

from collections.abc import Collection, Iterator, Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.canonical.batch import copied
from leap_audit.errors import UsageError
from leap_audit.text.names import did_you_mean

__all__ = ["bypass", "cut"]


def cut(canonical: ir.Model, starts: Sequence[str], ends: Sequence[str]) -> ir.Model:
    """Return the part of a graph that computes `ends` from `starts`, whose inputs are these.

    starts, ends: names of tensors, inputs and outputs of the graph among them; the part's inputs
    and outputs have these names, shapes and types, in this order; an end that is also a start is
    called NAME/given, for no tensor is both. The graph is left as it is, and the numbers of the
    weights are shared with it.

    Raises UsageError: there is no such tensor; an end depends on an input of the graph beside the
    starts; nothing depends on a start.
    """
    tensors = _tensors(canonical.graph)
    for name in (*starts, *ends):
        if name not in tensors:
            raise UsageError(f"cut: the graph has no tensor {name!r}{did_you_mean(name, tensors)}")
    if (past := bypass(canonical, starts, ends)) is not None:
        raise UsageError(
            f"cut: {_listed(starts)} cannot be where the graph begins: {past!r}, beside it, still "
            f"comes from the input and goes into {_listed(ends)}; name it as a start as well, or "
            "a tensor behind both."
        )
    part = copied(canonical)
    graph = part.graph
    tensors = _tensors(graph)
    entries = [_entry(tensors[name], name) for name in starts]
    given = dict(zip(starts, entries, strict=True))
    graph.outputs.clear()
    for name in ends:
        graph.outputs.append(_exit(graph, given[name]) if name in given else tensors[name])
    graph.inputs.clear()
    graph.inputs.extend(entries)
    common.RemoveUnusedNodesPass()(part)
    for entry in entries:
        if not entry.uses():
            raise UsageError(f"cut: nothing of {_listed(ends)} depends on {entry.name!r}.")
    return part


def bypass(canonical: ir.Model, starts: Collection[str], ends: Collection[str]) -> str | None:
    """Return a tensor that comes from the graph's input by no start and goes into the ends.

    The first that meets what the starts lead to, such as the skip connection around a block; an end
    itself where no start leads to it; None: the ends are functions of the starts.
    """
    graph, wanted = canonical.graph, set(ends) - set(starts)
    from_input = {str(v.name) for v in graph.inputs if v.name not in starts}
    from_starts = set(starts)
    nodes = [(_read(node), [str(value.name) for value in node.outputs]) for node in graph]
    for read, made in nodes:
        if not from_input.isdisjoint(read):
            from_input.update(name for name in made if name not in starts)
        if not from_starts.isdisjoint(read):
            from_starts.update(made)
    met = {name for name in ends if name in from_input - from_starts}
    for read, made in reversed(nodes):
        if wanted.isdisjoint(made):
            continue
        wanted.update(name for name in read if name not in starts)
        if not from_starts.isdisjoint(read):
            met.update(name for name in read if name in from_input - from_starts)
    return next((name for name in _tensors(graph) if name in met), None)


def _entry(value: ir.Value, name: str) -> ir.Value:
    """A value of this name in place of another, to be an input."""
    if value.producer() is None:
        return value
    entry = ir.Value(name=name, shape=value.shape, type=value.type)
    value.replace_all_uses_with(entry, replace_graph_outputs=True)
    value.name = f"{name}/computed"  # goes, unless another output of its node is read
    return entry


def _exit(graph: ir.Graph, entry: ir.Value) -> ir.Value:
    """An input as an output, of another name."""
    node = ir.node("Identity", [entry])
    node.outputs[0].name = f"{entry.name}/given"
    node.outputs[0].shape, node.outputs[0].type = entry.shape, entry.type
    graph.append(node)
    return node.outputs[0]


def _tensors(graph: ir.Graph) -> dict[str, ir.Value]:
    """The inputs and what nodes compute, by name."""
    computed = (value for node in graph for value in node.outputs)
    return {str(value.name): value for value in (*graph.inputs, *computed)}


def _read(node: ir.Node) -> list[str]:
    """The names of the tensors that a node reads, those inside its own graphs among them."""
    return [
        str(value.name) for each in _with_inner(node) for value in each.inputs if value is not None
    ]


def _with_inner(node: ir.Node) -> Iterator[ir.Node]:
    yield node
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield from attribute.as_graph().all_nodes()
        elif attribute.type == ir.AttributeType.GRAPHS:
            for graph in attribute.as_graphs():
                yield from graph.all_nodes()


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))
