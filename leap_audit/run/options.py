"""How ONNX Runtime loads a graph: its options, and what is done where its optimiser fails."""

import math
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import onnx
import onnx_ir as ir

from leap_audit.errors import LessOptimised, reason_of
from leap_audit.run.providers import runtime

__all__ = [
    "LEVELS",
    "first_level",
    "may_be_the_optimiser",
    "may_be_transposed",
    "second_copies",
    "session_options",
    "warn_of",
]

LEVELS = ("ALL", "EXTENDED", "BASIC", "DISABLE_ALL")
"""How far ONNX Runtime optimises a graph: the highest level first, as its own names end."""


FAILURES = frozenset({"EPFail", "Fail", "InvalidGraph", "NotImplemented", "RuntimeException"})
"""Errors of ONNX Runtime's that its optimiser may be to blame for; the module does not export them.
"""
BROKEN = "is not a graph input, initializer, or output of a previous node"
"""What ONNX Runtime says of a graph that its optimiser has broken, as of one that is wrong."""


def session_options(
    threads: int = 0,
    *,
    often: bool = True,
    packed: bool = True,
    layout: bool = True,
    level: str | None = None,
) -> Any:
    """Return ONNX Runtime's options for a graph (see `Session`).

    level: one of LEVELS, instead of the one that follows from the rest.

    Two of its optimisations keep a second copy of weights. packed: of matrices, as products read
    them fastest: a twentieth faster. layout: of the weights of convolutions, as they suit the
    processor: a sixth faster, and twice as fast where they are depthwise.
    """
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    # A plan of the memory is one block beside what the first run took, so it takes twice as much.
    options.enable_mem_pattern = False
    # A buffer that is planned for a later tensor is held until then: half as much again. And the
    # planning takes seconds where shapes are still computed.
    options.enable_mem_reuse = False
    level = level or first_level(often=often, layout=layout)
    name = level if level == "DISABLE_ALL" else f"ENABLE_{level}"
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{name}")
    if often:
        _share_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
    else:
        options.enable_cpu_mem_arena = False  # what a node no longer needs goes back at once
    if not packed or not often:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


@cache
def _share_memory() -> None:
    """Make one arena for the graphs of this process: what one gives back, the next one takes.

    An arena keeps what its largest run took. With one for each graph the searches of an audit of
    MobileNetV2 hold 1.7 GB in the end, with one for all 0.8 GB.
    """
    ort = runtime()
    of_process = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(of_process, None)


def first_level(*, often: bool = True, layout: bool = True) -> str:
    """Return the level of LEVELS that a graph is optimised at (see `session_options`)."""
    if not often:
        return "DISABLE_ALL"
    return "ALL" if layout else "EXTENDED"


def second_copies(model: ir.Model) -> dict[str, bool]:
    """Return which second copies of weights are worth their memory, for `session_options`.

    Of convolutions, where they take less memory than the results; of matrices, which gain less, in
    a third as much. What has no static shape does not count.
    """
    matrices, products = _weights_and_results(model, ("MatMul", "Gemm"))
    kernels, maps = _weights_and_results(model, ("Conv", "ConvTranspose"))
    return {"packed": 3 * matrices <= products, "layout": kernels <= maps}


def _weights_and_results(model: ir.Model, operators: Sequence[str]) -> tuple[int, int]:
    """Return how many numbers the constant second inputs of these nodes have, and their results."""
    weights = results = 0
    for node in model.graph:
        if node.op_type not in operators:
            continue
        weight, result = node.inputs[1], node.outputs[0]
        if weight is not None and weight.const_value is not None:
            weights += weight.const_value.size
        if result.shape is not None and result.shape.is_static():
            results += math.prod(result.shape.numpy())
    return weights, results


def may_be_the_optimiser(error: Exception) -> bool:
    """Whether a lower level may help: not where memory is missing or an input is wrong."""
    said = str(error).lower()
    missing = ("bad_alloc", "bad allocation", "allocate memory", "out of memory")
    broken = type(error).__name__ == "InvalidArgument" and BROKEN in said
    return (type(error).__name__ in FAILURES or broken) and not any(w in said for w in missing)


def may_be_transposed(graph: bytes) -> frozenset[str]:
    """Return the initializers of a serialised graph that ONNX Runtime may exchange the axes of.

    Where it moves a Transpose past a node, it turns the node's constants, under their old names. An
    initializer that is used in place, where it is in memory, stays as it was (1.32): it does not
    fit any more, or, if it is square, gives wrong numbers.
    """
    model = onnx.ModelProto.FromString(graph)
    if not any(node.op_type == "Transpose" for node in _nodes(model.graph)):
        return frozenset()
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    return frozenset(
        name
        for node in _nodes(model.graph)
        for i, name in enumerate(node.input)
        if name in ranks
        and not (i == 1 and node.op_type in ("Conv", "ConvTranspose", "Gemm"))
        and not (i == 1 and node.op_type == "MatMul" and ranks[name] == 2)
    )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of those inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def warn_of(level: str, failure: Exception) -> None:
    warnings.warn(
        "ONNX Runtime's optimiser makes a graph that does not run of one that does "
        f"({reason_of(failure)}); optimised at the level {level} it runs, with the same numbers "
        "and perhaps slower.",
        LessOptimised,
        stacklevel=4,
    )
