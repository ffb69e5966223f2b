"""Attention as ONNX Runtime's optimiser fuses it, without a past."""

import math

import numpy as np
import onnx_ir as ir

from leap_audit.canonical.rewrite import MICROSOFT, Writer, Written, rewriting
from leap_audit.graph.shapes import shape_of


@rewriting(f"{MICROSOFT}Attention")
def attention(op: Writer) -> Written:
    """softmax(q k' * scale + mask) v, where q, k and v are parts of x W + b"""
    x, weights, bias, mask, past, scores_bias = (op.input(i) for i in range(6))
    shape = shape_of(weights)
    extra = past is not None or op.is_read(1) or op.attribute("do_rotary", 0)
    if shape is None or extra or x is None:
        return None
    sizes = op.attribute("qkv_hidden_sizes") or [shape[1] // 3] * 3
    projected = op.MatMul(x, weights)
    if bias is not None:
        projected = op.Add(projected, bias)
    parts = op.emit("Split", [projected, list(sizes)], {"axis": -1}, 3)
    heads = [_heads(op, part) for part in parts]
    return _attended(op, x, heads, sizes[0] // op.attribute("num_heads"), mask, scores_bias)


@rewriting(f"{MICROSOFT}MultiHeadAttention")
def multi_head_attention(op: Writer) -> Written:
    """softmax(q k' * scale + mask) v of (batch, length, width), k and v perhaps by heads"""
    parts = [op.input(i) for i in range(3)]
    bias, mask, scores_bias = (op.input(i) for i in range(3, 6))
    shapes = [shape_of(part) for part in parts]
    past = any(op.input(i) is not None for i in range(6, len(op.node.inputs)))
    query = shapes[0]
    if past or query is None or len(query) != 3 or op.is_read(1) or op.is_read(2) or op.is_read(3):
        return None
    width = query[2]
    pieces: list[ir.Value | None] = [None] * 3
    if bias is not None:
        whole = shape_of(bias)
        if whole is None:
            return None
        sizes = [width, width, whole[0] - 2 * width]
        pieces = list(op.emit("Split", [bias, sizes], {"axis": 0}, 3))
    heads = []
    for part, shape, piece in zip(parts, shapes, pieces, strict=True):
        if part is None or shape is None or len(shape) not in (3, 4):
            return None
        if len(shape) == 4:  # by heads already, and then without a bias
            heads.append(part)
        else:
            heads.append(_heads(op, part if piece is None else op.Add(part, piece)))
    size = width // op.attribute("num_heads")
    return _attended(op, parts[0], heads, size, mask, scores_bias)


def _heads(op: Writer, x: ir.Value) -> ir.Value:
    """(batch, length, heads * size) to (batch, heads, length, size)"""
    return op.Transpose(op.Reshape(x, [0, 0, op.attribute("num_heads"), -1]), perm=[0, 2, 1, 3])


def _attended(
    op: Writer,
    x: ir.Value | None,
    heads: list[ir.Value],
    size: int,
    mask: ir.Value | None,
    scores_bias: ir.Value | None,
) -> ir.Value | None:
    q, k, v = heads
    far = op.number("mask_filter_value", -10000.0)
    scale = op.number("scale", 0.0) or 1 / math.sqrt(size)
    scores = op.Mul(op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2])), scale)
    if scores_bias is not None:
        scores = op.Add(scores, scores_bias)
    if mask is not None:
        if mask.shape is None or len(mask.shape) not in (2, 3):
            return None
        axes = [1, 2] if len(mask.shape) == 2 else [1]
        absent = op.Sub(1.0, op.Cast(mask, to=op.dtype.value))
        scores = op.Add(scores, op.Unsqueeze(op.Mul(absent, far), axes))
    if op.attribute("unidirectional", 0):
        length = op.Shape(x, start=1, end=2)
        later = op.Trilu(op.Expand(far, op.Concat(length, length, axis=0)), np.array(1), upper=1)
        scores = op.Add(scores, later)
    mixed = op.Transpose(op.MatMul(op.Softmax(scores, axis=-1), v), perm=[0, 2, 1, 3])
    return op.Reshape(mixed, [0, 0, -1])
