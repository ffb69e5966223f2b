"""Operators whose output's shape ONNX does not infer, written with operators whose shape it does.

Without the shape nothing after them could be folded or differentiated.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from leap_audit.errors import ModelRefused

__all__ = ["expand"]

TINY = 1e-18
"""Added to a variance: the square of the 1e-9 that ONNX adds to the deviation."""


def expand(model: ir.Model) -> None:
    """Write out, in place, GroupNormalization and MeanVarianceNormalization at opset 21.

    Raises ModelRefused: a GroupNormalization whose number of channels is computed.
    """
    for node in list(model.graph):
        write = _EXPANSIONS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if write is None:
            continue
        tape = Tape(model.graph)
        new = write(tape, node)
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], list(tape.nodes), list(node.outputs), [new]
        )


def _group_normalization(tape: Tape, node: ir.Node) -> ir.Value:
    """y = scale * n + bias, each group being one channel of an InstanceNormalization n"""
    x, scale, bias = node.inputs
    assert scale is not None
    channels = scale.shape[0] if scale.shape is not None else None
    if not isinstance(channels, int):
        raise ModelRefused(f"{node.op_type} ({node.name}): its number of channels is not fixed.")
    groups = node.attributes["num_groups"].as_int()
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
    dtype = (scale.dtype or ir.DataType.FLOAT).numpy()
    normal = tape.op(
        "InstanceNormalization",
        [
            tape.op("Reshape", [x, _constant(tape, node, "groups", np.array([0, groups, -1]))]),
            _constant(tape, node, "one", np.ones(groups, dtype)),
            _constant(tape, node, "zero", np.zeros(groups, dtype)),
        ],
        {"epsilon": epsilon},
    )
    column = _constant(tape, node, "column", np.array([-1, 1]))
    by_channel = _constant(tape, node, "channels", np.array([0, channels, -1]))
    y = tape.op("Reshape", [normal, by_channel])
    y = tape.op("Mul", [y, tape.op("Reshape", [scale, column])])
    y = tape.op("Add", [y, tape.op("Reshape", [bias, column])])
    return tape.op("Reshape", [y, tape.op("Shape", [x])])


def _mean_variance_normalization(tape: Tape, node: ir.Node) -> ir.Value:
    """y = (x - mean) / sqrt(variance + 1e-18), which unlike ONNX's has a slope at variance 0"""
    (x,) = node.inputs
    given = node.attributes.get("axes")
    axes = np.array([0, 2, 3] if given is None else list(given.as_ints()))
    over = _constant(tape, node, "axes", axes)
    centred = tape.op("Sub", [x, tape.op("ReduceMean", [x, over])])
    variance = tape.op("ReduceMean", [tape.op("Mul", [centred, centred]), over])
    tiny = tape.op("CastLike", [_constant(tape, node, "tiny", np.array(TINY, np.float32)), x])
    return tape.op("Div", [centred, tape.op("Sqrt", [tape.op("Add", [variance, tiny])])])


def _constant(tape: Tape, node: ir.Node, what: str, numbers: np.ndarray) -> ir.Value:
    return tape.initializer(ir.tensor(numbers), f"{node.outputs[0].name}_{what}")


_EXPANSIONS: dict[str, Callable[[Tape, ir.Node], ir.Value]] = {
    "GroupNormalization": _group_normalization,
    "MeanVarianceNormalization": _mean_variance_normalization,
}
