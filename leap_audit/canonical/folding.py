"""Replace what depends on constants alone by its numbers.

ONNX Runtime computes them, so whatever operator it runs is folded, branches and loops included.
Random numbers are not folded, nor what is no tensor of numbers.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx import inliner

from leap_audit.errors import ModelRefused, reason_of
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.protos import separate_runtime_operators, subgraphs
from leap_audit.graph.weights import LARGE, add_weights, split_weights
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array, Session, foreign

__all__ = ["fold", "inlined", "may_fold", "reads_of", "with_weights_folded"]

RANDOM = frozenset(
    {
        *("Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike"),
        *("RandomUniform", "RandomUniformLike"),
    }
)
NO_TENSORS = frozenset(
    {
        *("Optional", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"),
        *("SequenceMap", "SplitToSequence", "ZipMap"),
    }
)
"""Operators that return sequences, maps or optional values."""
STORED = frozenset({"Constant", "Identity"})
"""Operators that compute nothing."""


def fold(
    model: onnx.ModelProto, weights: dict[str, ir.TensorProtocol], *, only_weights: bool = False
) -> bool:
    """Fold the constants of a model in place, and return whether there was something to fold.

    model: a model whose large weights are inputs; `weights` holds them by name. A weight that
    nothing reads any more leaves both, a large result joins both. Parts of the graph that share no
    computed tensor are folded one after the other, so that the result of one part at most is held
    beside the weights it is made of. only_weights: fold only the parts that read a weight.

    What ONNX Runtime cannot compute stays as it is: the graph means the same with it. So do the
    quantised weights of a graph that quantises its activations too: beside a QuantizeLinear, ONNX
    Runtime's optimiser quantises a weight of floating-point numbers again, and more coarsely.
    """
    graph = model.graph
    reads = [reads_of(node) for node in graph.node]
    shown = {value.name for value in graph.output}
    readers: dict[str, set[int]] = defaultdict(set)
    for i, names in enumerate(reads):
        for name in names:
            readers[name].add(i)
    gone: set[int] = set()
    outputs: list[str] = []

    def is_unread(name: str) -> bool:
        return readers[name] <= gone and name not in shown

    for part in _constant_parts(graph, reads, weights):
        if only_weights and not any(reads[i] & weights.keys() for i in part):
            continue
        computing = {i for i in part if not _only_stores(graph.node[i])}
        made = [name for i in computing for name in graph.node[i].output if name]
        wanted = [name for name in made if name in shown or readers[name] - computing]
        numbers = _computed(model, part, wanted, weights)
        if numbers is None:
            continue
        gone |= computing
        gone |= {i for i in reversed(part) if all(map(is_unread, graph.node[i].output))}
        for name in {name for i in part for name in reads[i] & weights.keys()}:
            if is_unread(name):
                del weights[name]
        outputs += [name for name in numbers if name in shown]
        for name, array in numbers.items():
            _store(graph, f"{name}_folded" if name in shown else name, array, weights)
    if gone:
        _remove(graph, gone, weights)
        for name in outputs:
            node = onnx.helper.make_node("Identity", [f"{name}_folded"], [name])
            graph.node.insert(0, node)
    return bool(gone)


def may_fold(graph: ir.Graph, weights: Collection[str]) -> bool:
    """Return whether a node of the graph reads constants alone: `fold` may find work then."""
    constant = {value for value in graph.inputs if value.name in weights}
    return any(
        node.inputs
        and not _only_stores(node)
        and all(v is None or v.const_value is not None or v in constant for v in node.inputs)
        for node in graph
    )


def with_weights_folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose weights are not computed from others, or itself if they are not.

    Every graph made of the result then shares the folded weights; see `fold`.
    """
    if not model.functions and not _computes_on_weights(model.graph):
        return model
    light, weights = split_weights(model)
    light = separate_runtime_operators(inlined(light))
    if not fold(light, weights, only_weights=True):
        return model
    add_weights(light, weights)
    return light


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its own functions written out where they are called.

    Raises ModelRefused: a call does not fit its function.
    """
    if not model.functions:
        return model
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        raise ModelRefused(
            f"its functions cannot be written out ({reason_of(error)}); the file is damaged."
        ) from None


def _computes_on_weights(graph: onnx.GraphProto) -> bool:
    reads = [reads_of(node) for node in graph.node]
    large = {t.name for t in graph.initializer if np.prod(t.dims, dtype=float) > LARGE}
    return any(reads[i] & large for part in _constant_parts(graph, reads, {}) for i in part)


def _constant_parts(
    graph: onnx.GraphProto, reads: Sequence[set[str]], weights: Mapping[str, ir.TensorProtocol]
) -> list[list[int]]:
    """Return the indices of the nodes that depend on constants alone, in parts.

    Nodes that share a computed tensor are in one part. Nodes that only store numbers are in the
    parts that read them; alone they are no part.
    """
    stored = {tensor.name for tensor in graph.initializer} | weights.keys()
    quantising = any(node.op_type == "QuantizeLinear" for node in graph.node)
    storing: dict[str, int] = {}
    computing: dict[str, int] = {}
    """Constant tensor -> the node that stores, or computes it."""
    joined: dict[int, int] = {}
    """Node -> an earlier node of its part, or itself where it is the first."""

    def first(i: int) -> int:
        while joined[i] != i:
            joined[i] = joined[joined[i]]
            i = joined[i]
        return i

    for i, node in enumerate(graph.node):
        if not reads[i] <= stored or not _gives_the_same(node):
            continue
        if quantising and node.op_type == "DequantizeLinear":
            continue
        stored.update(node.output)
        sources = [computing[name] for name in reads[i] if name in computing]
        if _only_stores(node) and not sources:
            storing.update(dict.fromkeys(node.output, i))
            continue
        computing.update(dict.fromkeys(node.output, i))
        joined[i] = i
        for source in sources:
            a, b = sorted((first(i), first(source)))
            joined[b] = a
    parts: dict[int, set[int]] = defaultdict(set)
    for i in joined:
        waiting = [i]
        while waiting:
            found = waiting.pop()
            parts[first(i)].add(found)
            waiting += [storing[name] for name in reads[found] if name in storing]
    return [sorted(part) for part in parts.values()]


def _only_stores(node: onnx.NodeProto | ir.Node) -> bool:
    return node.op_type in STORED and node.domain in ONNX_DOMAIN


def _gives_the_same(node: onnx.NodeProto) -> bool:
    """Return whether a node, with its subgraphs, gives the same tensors each time."""
    if node.op_type in RANDOM | NO_TENSORS:
        return False
    return all(_gives_the_same(inner) for graph in subgraphs([node]) for inner in graph.node)


def reads_of(node: onnx.NodeProto) -> set[str]:
    """Return the names of the tensors that a node and its subgraphs read from around it."""
    read = {name for name in node.input if name}
    for graph in subgraphs([node]):
        own = {value.name for value in graph.input} | {t.name for t in graph.initializer}
        inner: set[str] = {value.name for value in graph.output}
        for each in graph.node:
            inner |= reads_of(each)
            own.update(each.output)
        read |= inner - own
    return read


def _computed(
    model: onnx.ModelProto,
    part: Sequence[int],
    wanted: Sequence[str],
    weights: Mapping[str, ir.TensorProtocol],
) -> dict[str, Array] | None:
    """Return the numbers of these tensors of a part, or None where ONNX Runtime has none."""
    graph = model.graph
    small = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import)
    small.graph.name = "constants"
    read: set[str] = set()
    for i in part:
        small.graph.node.add().CopyFrom(graph.node[i])
        read |= reads_of(graph.node[i])
    small.graph.initializer.extend(t for t in graph.initializer if t.name in read)
    small.graph.input.extend(v for v in graph.input if v.name in read)
    small.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    needed = {name: weights[name] for name in read & weights.keys()}
    try:
        session = Session(small, choose_provider("cpu"), often=False, weights=needed)
        numbers = session.run({}, wanted)
    except Exception:  # ONNX Runtime has no one class of error, and the nodes stay in the graph
        return None
    usable = all(
        isinstance(array, np.ndarray) and array.dtype.kind in "biuf" and not foreign(array)
        for array in numbers
    )
    return dict(zip(wanted, numbers, strict=True)) if usable else None


def _store(
    graph: onnx.GraphProto, name: str, array: Array, weights: dict[str, ir.TensorProtocol]
) -> None:
    """Add a constant to the graph, and to the weights if it is large."""
    if array.size <= LARGE:
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return
    weights[name] = ir.tensor(array, name=name)
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    graph.input.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))


def _remove(
    graph: onnx.GraphProto, gone: set[int], weights: Mapping[str, ir.TensorProtocol]
) -> None:
    """Remove nodes from a graph, and the constants that nothing reads then."""
    before = {name for i in gone for name in reads_of(graph.node[i])}
    made = {name for i in gone for name in graph.node[i].output}
    for i in sorted(gone, reverse=True):
        del graph.node[i]
    after = {value.name for value in graph.output}.union(*map(reads_of, graph.node))
    unread = before - after
    for values in (graph.initializer, graph.input):
        for i in reversed(range(len(values))):
            if values[i].name in unread and values[i].name not in weights:
                del values[i]
    for i in reversed(range(len(graph.value_info))):
        if graph.value_info[i].name in made:
            del graph.value_info[i]
