"""Normalisation as ONNX Runtime's optimiser writes it, with the addition before it."""

import onnx_ir as ir

from leap_audit.ingest.rewrite import Writer, Written, rewriting

MICROSOFT = "com.microsoft::"


@rewriting(f"{MICROSOFT}LayerNormalization")
def layer_normalization(op: Writer) -> Written:
    """The same node in ONNX's domain, which has it since opset 17"""
    if op.used(1) or op.used(2):
        return None
    given = {"axis": op.attribute("axis", -1), "epsilon": op.number("epsilon", 1e-5)}
    return op.LayerNormalization(*op.node.inputs, **given)


@rewriting(f"{MICROSOFT}SimplifiedLayerNormalization")
def simplified_layer_normalization(op: Writer) -> Written:
    """x / sqrt(mean(x^2) + epsilon) * scale"""
    x, scale = op.node.inputs[:2]
    axis = op.attribute("axis", -1)
    if x is None or op.used(1) or (axis >= 0 and x.shape is None):
        return None
    axes = range(axis, 0) if x.shape is None or axis < 0 else range(axis, len(x.shape))
    return _by_root_mean_square(op, x, scale, list(axes), 1e-5)


@rewriting(f"{MICROSOFT}SkipLayerNormalization")
def skip_layer_normalization(op: Writer) -> Written:
    """LayerNormalization(x + skip + bias), and that sum"""
    gamma, beta, bias = (op.given(i) for i in (2, 3, 4))
    if op.used(1) or op.used(2):
        return None
    total = _total(op, bias)
    y = op.LayerNormalization(total, gamma, beta, epsilon=op.number("epsilon", 1e-12))
    return [y, None, None, total]


@rewriting(f"{MICROSOFT}SkipSimplifiedLayerNormalization")
def skip_simplified_layer_normalization(op: Writer) -> Written:
    """SimplifiedLayerNormalization(x + skip + bias), and that sum"""
    if op.used(1) or op.used(2):
        return None
    total = _total(op, op.given(3))
    y = _by_root_mean_square(op, total, op.given(2), [-1], 1e-12)
    return [y, None, None, total]


def _total(op: Writer, bias: ir.Value | None) -> ir.Value:
    total: ir.Value = op.Add(*op.node.inputs[:2])
    return total if bias is None else op.Add(total, bias)


def _by_root_mean_square(
    op: Writer, x: ir.Value, scale: ir.Value | None, axes: list[int], epsilon: float
) -> ir.Value:
    square = op.ReduceMean(op.Mul(x, x), axes)
    length = op.Sqrt(op.Add(square, op.number("epsilon", epsilon)))
    return op.Mul(op.Div(x, length), scale)
