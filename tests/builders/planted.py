"""Wrong rules, each wrong in one way that the oracle must notice, on a sample that shows it."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from leap_audit.gradient import Emitter
from leap_audit.gradient.table import RULES, Node, RuleFunction, sample


def _several(op_type: str, op: Emitter, node: Node, dy: ir.Value) -> list[Any]:
    """Return what the rule of an operator with several inputs gives each of them."""
    found = RULES[op_type].function(op, node, dy)
    assert not isinstance(found, ir.Value)
    return list(found)


def _blind_to(*attributes: str) -> RuleFunction:
    """The operator's own rule, which does not see some of its attributes."""

    def rule(op: Emitter, node: Node, *dys: Any) -> Any:
        kept = {k: v for k, v in node.attributes.items() if k not in attributes}
        return RULES[node.op_type].function(op, replace(node, attributes=kept), *dys)

    return rule


def _with(**attributes: object) -> RuleFunction:
    """The operator's own rule, which takes some attributes for others."""

    def rule(op: Emitter, node: Node, *dys: Any) -> Any:
        other = replace(node, attributes={**node.attributes, **attributes})
        return RULES[node.op_type].function(op, other, *dys)

    return rule


def _without_leftover(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """Puts the pixels that no window reached first instead of last."""
    dx = op.ConvTranspose(dy, node.inputs[1], strides=node.attribute("strides"))
    height, width = (n - m for n, m in zip(node.shape(0)[2:], dx.shape[2:], strict=True))
    return op.Pad(dx, [0, 0, height, width, 0, 0, 0, 0])


def _untransposed(op: Emitter, node: Node, dy: ir.Value) -> Any:
    return op.MatMul(dy, node.inputs[1]), op.MatMul(node.inputs[0], dy)


def _kernel_not_flipped(op: Emitter, node: Node, dy: ir.Value) -> Any:
    swapped = op.Transpose(node.inputs[1], perm=[1, 0, 2, 3])
    return op.Conv(dy, swapped, pads=[1, 1, 1, 1]), None


def _groups_mixed_up(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """The halves of dy change places: the right shape, the wrong group."""
    half = node.shape(1)[0] // 2
    moved = op.Concat(op.Slice(dy, [half], [2 * half], [1]), op.Slice(dy, [0], [half], [1]), axis=1)
    return RULES["Conv"].function(op, node, moved)


def _batch_not_summed(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """Takes the first item's share of a matrix that every item uses."""
    first = op.MatMul(op.Transpose(node.inputs[0], perm=[0, 2, 1]), dy)
    return op.MatMul(dy, op.Transpose(node.inputs[1], perm=[1, 0])), op.Reshape(
        op.Slice(first, [0], [1], [0]), node.shape(1)
    )


def _row_reversed(op: Emitter, node: Node, dy: ir.Value) -> Any:
    da, db = _several("MatMul", op, node, dy)
    return op.Slice(da, [-1], [-99], [0], [-1]), db


def _shared_maximum(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """Spreads a maximum's gradient over its window, as an average would."""
    area = float(np.prod(node.attribute("kernel_shape")))
    return op.Div(op.Resize(dy, None, np.array([1.0, 1.0, 2.0, 2.0])), area)


def _product_over_itself(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """The product of the others as y / x, which knows nothing of a zero's own gradient."""
    x = node.inputs[0]
    zero = op.Equal(x, 0.0)
    return op.Mul(dy, op.Where(zero, 0.0, op.Div(node.outputs[0], op.Where(zero, 1.0, x))))


def _fixed_statistics(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """Takes the mean and the deviation for constants, as in BatchNormalization."""
    x = node.inputs[0]
    centred = op.Sub(x, op.ReduceMean(x, [2]))
    deviation = op.Sqrt(op.Add(op.ReduceMean(op.Mul(centred, centred), [2]), 1e-5))
    return op.Div(op.Mul(dy, op.Reshape(node.inputs[1], [-1, 1])), deviation), None, None


def _first_of_the_copies(op: Emitter, node: Node, dy: ir.Value) -> Any:
    return op.Slice(dy, [0, 0], list(node.shape(0)), [0, 1])


def _off_the_diagonal(op: Emitter, node: Node, dy: ir.Value) -> Any:
    return op.Expand(dy, node.shape(0))


def _transposed_cofactors(op: Emitter, node: Node, dy: ir.Value) -> Any:
    return op.Transpose(RULES["Det"].function(op, node, dy), perm=[1, 0])


def _channels_apart(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """Each channel normalised by itself: what the neighbours share is forgotten."""
    return op.Div(op.Mul(dy, node.outputs[0]), node.inputs[0])


def _without_the_multiple(op: Emitter, node: Node, dy: ir.Value) -> Any:
    return dy, op.Neg(dy)


def _column_reversed(op: Emitter, node: Node, dy: ir.Value) -> Any:
    da, db = _several("MatMul", op, node, dy)
    return da, op.Slice(db, [-1], [-99], [0], [-1])


def _batches_swapped(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """The first matrix gets the second's gradient: the right shape, the wrong item."""
    da, db = _several("MatMul", op, node, dy)
    return op.Slice(da, [-1], [-99], [0], [-1]), db


def _every_window_whole(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """Divides by the kernel's area in the last windows too, which ceil_mode lets stick out."""
    counts = np.ones((1, 1, 3, 3))
    counts[:, :, -1:, :] = 2 / 3  # the last row of windows holds two rows of three
    dx = RULES["AveragePool"].function(op, node, op.Mul(dy, counts))
    return dx if not isinstance(dx, tuple) else dx[0]


def _without_the_last_windows(op: Emitter, node: Node, dy: ir.Value) -> Any:
    kept = np.ones((1, 1, 3, 3))
    kept[:, :, -1:, :] = 0.0
    return RULES["MaxPool"].function(op, node, op.Mul(dy, kept))


def _unweighted_half(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """Counts each frequency once, though all but the ends stand for their mirror image too."""
    dx, *rest = _several("DFT", op, node, dy)
    return op.Mul(dx, np.array([1, 0.5, 0.5, 1]).reshape(1, -1, 1)), *rest


def _regions_still(op: Emitter, node: Node, dy: ir.Value) -> Any:
    """Takes the regions for constants that move nothing."""
    dx, dregions, _ = _several("RoiAlign", op, node, dy)
    return dx, op.Mul(dregions, 0.0), None


_REGIONS = (np.array([[0.3, 1.1, 4.2, 5.3], [1, 0.2, 3.9, 2.3]]), np.array([1, 0]))
_ALIGNED = ((2, 1, 6, 6), *_REGIONS)
_RESIZED = ((1, 1, 4, 5), None, np.array([1, 1, 0.6, 1.5]))
_SCATTERED = ((3,), np.array([0, 2, 0]), (3,))
_COLUMNS = ((1, 4, 5), np.array([6, 6]), np.array([2, 2]))
PLANTED = [
    ("Conv", _blind_to("dilations"), sample((1, 2, 8, 9), (3, 2, 3, 3), dilations=[2, 2])),
    ("Conv", _without_leftover, sample((1, 2, 9, 8), (3, 2, 3, 3), strides=[3, 3])),
    ("Conv", _kernel_not_flipped, sample((1, 2, 5, 5), (3, 2, 3, 3), pads=[1, 1, 1, 1])),
    ("Conv", _groups_mixed_up, sample((1, 4, 5, 5), (4, 2, 3, 3), group=2)),
    ("Conv", _blind_to("auto_pad"), sample((1, 1, 7, 7), (1, 1, 3, 3), auto_pad="SAME_UPPER")),
    ("MatMul", _untransposed, sample((3, 3), (3, 3), wrt=(0, 1))),
    ("MatMul", _batch_not_summed, sample((2, 3, 4), (4, 2), wrt=(0, 1))),
    ("MatMul", _row_reversed, sample((3,), (3, 4), wrt=(0, 1))),
    (
        "AveragePool",
        _blind_to("count_include_pad"),
        sample((1, 1, 5, 5), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    ),
    (
        "AveragePool",
        _blind_to("dilations"),
        sample((1, 1, 7, 7), kernel_shape=[2, 2], dilations=[2, 2]),
    ),
    ("MaxPool", _shared_maximum, sample((1, 1, 4, 4), kernel_shape=[2, 2], strides=[2, 2])),
    ("Resize", _blind_to("exclude_outside"), sample(*_RESIZED, exclude_outside=1, mode="cubic")),
    ("Resize", _blind_to("antialias"), sample(*_RESIZED, antialias=1, mode="linear")),
    ("Resize", _blind_to("nearest_mode"), sample(*_RESIZED, nearest_mode="ceil")),
    ("Softmax", _blind_to("axis"), sample((2, 3, 4), axis=1)),
    ("Gemm", _blind_to("alpha"), sample((2, 3), (3, 4), alpha=0.5)),
    ("Pad", _blind_to("mode"), sample((3, 4), np.array([1, 2, 2, 1]), mode="reflect")),
    ("DepthToSpace", _blind_to("mode"), sample((1, 8, 2, 3), blocksize=2, mode="CRD")),
    ("GatherND", _blind_to("batch_dims"), sample((2, 2, 2), np.array([[1], [0]]), batch_dims=1)),
    ("ScatterElements", _blind_to("reduction"), sample(*_SCATTERED, wrt=(0, 2), reduction="mul")),
    ("Col2Im", _with(dilations=[5, 1]), sample(*_COLUMNS, dilations=[1, 5])),
    ("Transpose", _blind_to("perm"), sample((3, 3, 3), perm=[1, 2, 0])),
    (
        "ConvTranspose",
        _with(auto_pad="SAME_UPPER"),
        sample((1, 1, 4, 4), (1, 1, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER"),
    ),
    (
        "ConvTranspose",
        _with(pads=[1, 1, 0, 0]),
        sample((1, 1, 4, 4), (1, 1, 3, 3), pads=[0, 0, 1, 1]),
    ),
    (
        "ConvTranspose",
        _blind_to("dilations"),
        sample((1, 1, 5, 5), (1, 1, 3, 3), dilations=[2, 2], pads=[2] * 4),
    ),
    ("InstanceNormalization", _fixed_statistics, sample((2, 3, 4), (3,), (3,))),
    ("LRN", _channels_apart, sample((3, 3, 2, 2), size=3, alpha=2.0)),
    ("LpNormalization", _blind_to("axis"), sample((3, 3), axis=0)),
    ("LpPool", _with(p=2), sample((1, 1, 5, 5), kernel_shape=[2, 2], p=3)),
    ("Tile", _first_of_the_copies, sample((2, 3), np.array([2, 2]))),
    ("Trilu", _blind_to("upper"), sample((3, 4), upper=0)),
    ("CumSum", _blind_to("reverse"), sample((2, 4), np.array(1), reverse=1)),
    ("CumSum", _blind_to("exclusive"), sample((2, 4), np.array(1), exclusive=1)),
    ("ReduceProd", _product_over_itself, sample(np.array([[2.0, 0.0, 3.0]]))),
    ("Mod", _without_the_multiple, sample((2, 3), np.array([[0.4], [-0.3]]), wrt=(0, 1), fmod=1)),
    ("Einsum", _with(equation="ij,kj->ik"), sample((3, 3), (3, 3), equation="ij,jk->ik")),
    ("Einsum", _off_the_diagonal, sample((3, 3), equation="ii->i")),
    ("Det", _transposed_cofactors, sample((3, 3))),
    (
        "MaxUnpool",
        _with(strides=[2, 2]),
        sample((1, 1, 2, 2), np.array([[[[0, 4], [4, 8]]]]), kernel_shape=[2, 2]),
    ),
    ("Gelu", _blind_to("approximate"), sample((2, 3), approximate="tanh")),
    (
        "Conv",
        _groups_mixed_up,
        sample((1, 4, 8, 9), (4, 2, 3, 3), group=2, dilations=[2, 1]),
    ),
    ("Conv", _without_leftover, sample((1, 2, 10, 9), (3, 2, 2, 2), strides=[3, 4])),
    ("Conv", _with(pads=[1, 0, 0, 1]), sample((1, 1, 5, 5), (1, 1, 2, 2), pads=[0, 1, 1, 0])),
    ("MatMul", _column_reversed, sample((3, 4), (4,), wrt=(0, 1))),
    ("MatMul", _batches_swapped, sample((2, 3, 4), (2, 4, 2), wrt=(0, 1))),
    (
        "AveragePool",
        _every_window_whole,
        sample((1, 1, 6, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    ),
    (
        "AveragePool",
        _blind_to("count_include_pad"),
        sample((1, 1, 5, 6), kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1],
               count_include_pad=1),
    ),
    (
        "MaxPool",
        _without_the_last_windows,
        sample((1, 1, 6, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    ),
    ("RoiAlign", _blind_to("sampling_ratio"), sample(*_ALIGNED, sampling_ratio=4)),
    ("RoiAlign", _blind_to("spatial_scale"), sample(*_ALIGNED, spatial_scale=0.7)),
    (
        "RoiAlign",
        _blind_to("coordinate_transformation_mode"),
        sample(*_ALIGNED, coordinate_transformation_mode="output_half_pixel"),
    ),
    ("RoiAlign", _blind_to("mode"), sample(*_ALIGNED, mode="max", sampling_ratio=2)),
    ("RoiAlign", _regions_still, sample(*_ALIGNED, wrt=(0, 1), output_height=2)),
    ("DFT", _blind_to("inverse"), sample((2, 5, 2), inverse=1)),
    ("DFT", _unweighted_half, sample((2, 4, 2), inverse=1, onesided=1)),
]  # fmt: skip
