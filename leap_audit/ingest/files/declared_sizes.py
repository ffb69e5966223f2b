"""Refuse a model that declares more than its file holds, before anything is allocated.

A small file can declare much: a tensor of a billion billion elements, or functions that call one
another until there are as many nodes. Here, such a file costs nothing.
"""

import math
from collections import Counter
from collections.abc import Iterable

import onnx

from leap_audit.errors import ModelRefused
from leap_audit.graph.protos import every_graph, every_tensor
from leap_audit.ingest.files.external_data import quoted_tensor, size_of

__all__ = ["require_plausible_sizes"]

MOST_NODES = 200_000
"""The largest networks in use have some 20,000, with every function written out."""
DEEPEST_CALL = 100
MOST_NOTES = 16_000_000
"""Bytes of metadata; the names of 20,000 classes have one."""
MOST_DIMENSIONS = 64
MOST_DENSE = 1 << 28
"""Numbers of a sparse tensor written out: 1 GiB of single precision."""

Key = tuple[str, str]


def require_plausible_sizes(model: onnx.ModelProto, name: str) -> None:
    """Raise ModelRefused where a model declares more than its file holds, or than a network has.

    Checked are dense tensors, sparse tensors, the number of nodes with functions inlined, and
    recursive functions.
    """
    try:
        _require_short_notes(model)
        for tensor in every_tensor(model):
            _require_numbers(tensor)
        _require_few_dimensions(model)
        _require_small_sparse(model)
        _require_few_nodes(model)
    except ModelRefused as error:
        raise ModelRefused(f"{name}: {error}") from None


def _require_short_notes(model: onnx.ModelProto) -> None:
    """Raise ModelRefused for more metadata than any model has."""
    notes = [*model.metadata_props, *model.graph.metadata_props]
    size = sum(len(each.key) + len(each.value) for each in notes) + len(model.doc_string)
    if size > MOST_NOTES:
        raise ModelRefused(
            f"it has {size / 1e6:.0f} MB of metadata, more than any model; take it out, or export "
            "the model again."
        )


def _require_few_dimensions(model: onnx.ModelProto) -> None:
    """Raise ModelRefused for a tensor of more dimensions than any runtime supports."""
    shapes = [(tensor.name, len(tensor.dims)) for tensor in every_tensor(model)]
    for graph in every_graph(model):
        for value in (*graph.input, *graph.output, *graph.value_info):
            shapes.append((value.name, len(value.type.tensor_type.shape.dim)))
    for name, count in shapes:
        if count > MOST_DIMENSIONS:
            raise ModelRefused(
                f"the tensor {name[:60]!r} has {count:,} dimensions, and at most {MOST_DIMENSIONS} "
                "can be computed with; export it again."
            )


def _require_numbers(tensor: onnx.TensorProto) -> None:
    """Raise ModelRefused where a tensor's shape declares more elements than it holds."""
    size = size_of(tensor)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    there = len(tensor.raw_data) or 8 * sum(
        len(numbers)
        for numbers in (
            *(tensor.float_data, tensor.int32_data, tensor.int64_data),
            *(tensor.double_data, tensor.uint64_data, tensor.string_data),
        )
    )
    if size > there:
        raise ModelRefused(
            f"the tensor {quoted_tensor(tensor)} declares {size} bytes, "
            f"and {there} are there; the file is damaged or hostile."
        )


def _require_small_sparse(model: onnx.ModelProto) -> None:
    for graph in every_graph(model):
        for sparse in graph.sparse_initializer:
            if math.prod(sparse.dims) > MOST_DENSE or any(size < 0 for size in sparse.dims):
                raise ModelRefused(
                    f"the sparse tensor {quoted_tensor(sparse.values)} stands for more than "
                    f"{MOST_DENSE} numbers, which have to be written out; export it dense."
                )


def _require_few_nodes(model: onnx.ModelProto) -> None:
    """Raise ModelRefused for more nodes than any network has, with functions inlined."""
    bodies = {(f.domain, f.name): _calls(f.node) for f in model.functions}
    written: dict[Key, int] = {}
    count = _written(_calls(model.graph.node), bodies, written, ())
    if count > MOST_NODES:
        raise ModelRefused(
            f"it has more than {MOST_NODES} nodes, more than any network; the file is hostile."
        )


def _calls(nodes: Iterable[onnx.NodeProto]) -> Counter[Key]:
    """Count the uses of each operator, subgraphs included."""
    found: Counter[Key] = Counter()
    waiting = [nodes]
    while waiting:
        for node in waiting.pop():
            found[node.domain, node.op_type] += 1
            for attribute in node.attribute:
                waiting += [graph.node for graph in (attribute.g, *attribute.graphs) if graph.node]
    return found


def _written(
    calls: Counter[Key],
    bodies: dict[Key, Counter[Key]],
    written: dict[Key, int],
    via: tuple[Key, ...],
) -> int:
    """Return the number of nodes with functions inlined; `written` caches the counts."""
    total = 0
    for key, times in calls.items():
        if key in bodies and key not in written:
            if key in via or len(via) >= DEEPEST_CALL:
                raise ModelRefused(
                    f"the function {key[1][:60]!r} calls itself, or others too deeply; export the "
                    "model without functions."
                )
            written[key] = _written(bodies[key], bodies, written, (*via, key))
        total += times * written.get(key, 1)
    return total
