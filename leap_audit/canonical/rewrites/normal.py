"""Normalisation as ONNX Runtime's optimiser writes it, with the addition before it."""

import onnx_ir as ir

from leap_audit.canonical.rewrite import MICROSOFT, Writer, Written, rewriting
from leap_audit.canonical.rewrites.quantised import channels_first
from leap_audit.graph.shapes import shape_of


@rewriting(f"{MICROSOFT}LayerNormalization")
def layer_normalization(op: Writer) -> Written:
    """The same node in ONNX's domain, which has it since opset 17"""
    if op.is_read(1) or op.is_read(2):
        return None
    given = {"axis": op.attribute("axis", -1), "epsilon": op.number("epsilon", 1e-5)}
    return op.LayerNormalization(*op.node.inputs, **given)


@rewriting(f"{MICROSOFT}SimplifiedLayerNormalization")
def simplified_layer_normalization(op: Writer) -> Written:
    """x / sqrt(mean(x^2) + epsilon) * scale"""
    x, scale = op.node.inputs[:2]
    axis = op.attribute("axis", -1)
    if x is None or op.is_read(1) or (axis >= 0 and x.shape is None):
        return None
    axes = range(axis, 0) if x.shape is None or axis < 0 else range(axis, len(x.shape))
    return _by_root_mean_square(op, x, scale, list(axes), 1e-5)


@rewriting(f"{MICROSOFT}SkipLayerNormalization")
def skip_layer_normalization(op: Writer) -> Written:
    """LayerNormalization(x + skip + bias), and that sum"""
    gamma, beta, bias = (op.input(i) for i in (2, 3, 4))
    if op.is_read(1) or op.is_read(2):
        return None
    total = _total(op, bias)
    y = op.LayerNormalization(total, gamma, beta, epsilon=op.number("epsilon", 1e-12))
    return [y, None, None, total]


@rewriting(f"{MICROSOFT}SkipSimplifiedLayerNormalization")
def skip_simplified_layer_normalization(op: Writer) -> Written:
    """SimplifiedLayerNormalization(x + skip + bias), and that sum"""
    if op.is_read(1) or op.is_read(2):
        return None
    total = _total(op, op.input(3))
    y = _by_root_mean_square(op, total, op.input(2), [-1], 1e-12)
    return [y, None, None, total]


@rewriting(f"{MICROSOFT}EmbedLayerNormalization")
def embed_layer_normalization(op: Writer) -> Written:
    """LayerNormalization(word[ids] + position[places] + segment[segment ids]), and that sum"""
    ids, segments, word, position, segment, gamma, beta = (op.input(i) for i in range(7))
    places = op.input(8)
    if op.is_read(1):
        return None
    if places is None:
        rows = op.Slice(position, [0], op.Shape(ids, start=1, end=2), [0])
    else:
        rows = op.Gather(position, places)
    total = op.Add(op.Gather(word, ids), rows)
    if segments is not None:
        total = op.Add(total, op.Gather(segment, segments))
    y = op.LayerNormalization(total, gamma, beta, epsilon=op.number("epsilon", 1e-12))
    return [y, None, total]


@rewriting(f"{MICROSOFT}GroupNorm")
def group_norm(op: Writer) -> Written:
    """Each group of channels to mean 0 and deviation 1, scaled and shifted, then SiLU if asked"""
    x, gamma, beta = op.node.inputs
    last, groups = op.attribute("channels_last", 1), op.attribute("groups")
    if x is None or gamma is None or shape_of(gamma) is None:
        return None
    if last:
        x = op.Transpose(x, perm=[0, 3, 1, 2])
    rows = op.Reshape(x, [0, groups, -1])
    centred = op.Sub(rows, op.ReduceMean(rows, [2]))
    variance = op.ReduceMean(op.Mul(centred, centred), [2])
    normal = op.Div(centred, op.Sqrt(op.Add(variance, op.number("epsilon", 1e-5))))
    column = [-1, 1, 1]
    scaled = op.Mul(op.Reshape(normal, op.Shape(x)), op.Reshape(gamma, column))
    y = op.Add(scaled, op.Reshape(beta, column))
    if op.attribute("activation", 0):
        y = op.Mul(y, op.Sigmoid(y))
    return op.Transpose(y, perm=[0, 2, 3, 1]) if last else y


@rewriting(f"{MICROSOFT}NhwcConv", f"{MICROSOFT}NhwcMaxPool")
def nhwc(op: Writer) -> Written:
    """The operator of ONNX's between two Transposes"""
    given = {a.name: a.value for a in op.node.attributes.values()}
    x, *more = op.node.inputs
    assert x is not None
    kept = [value for value in more if value is not None]
    return channels_first(op, x, 1, 4, op.node.op_type.removeprefix("Nhwc"), given, kept)


def _total(op: Writer, bias: ir.Value | None) -> ir.Value:
    total: ir.Value = op.Add(*op.node.inputs[:2])
    return total if bias is None else op.Add(total, bias)


def _by_root_mean_square(
    op: Writer, x: ir.Value, scale: ir.Value | None, axes: list[int], epsilon: float
) -> ir.Value:
    square = op.ReduceMean(op.Mul(x, x), axes)
    length = op.Sqrt(op.Add(square, op.number("epsilon", epsilon)))
    return op.Mul(op.Div(x, length), scale)
