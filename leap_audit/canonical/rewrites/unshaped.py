"""Operators whose output's shape ONNX does not infer, written with operators whose shape it does.

Without the shape nothing after them could be folded or differentiated.
"""

from leap_audit.canonical.rewrite import Writer, Written, rewriting
from leap_audit.graph.shapes import shape_of

TINY = 1e-18
"""Added to a variance: the square of the 1e-9 that ONNX adds to the deviation."""


@rewriting("GroupNormalization")
def group_normalization(op: Writer) -> Written:
    """y = scale * n + bias, each group being one channel of an InstanceNormalization n"""
    x, scale, bias = op.node.inputs
    channels = shape_of(scale)
    if channels is None:
        return None
    groups = op.attribute("num_groups")
    normal = op.InstanceNormalization(
        op.Reshape(x, [0, groups, -1]),
        op.Expand(1.0, [groups]),
        op.Expand(0.0, [groups]),
        epsilon=op.number("epsilon", 1e-5),
    )
    y = op.Reshape(normal, [0, channels[0], -1])
    y = op.Add(op.Mul(y, op.Reshape(scale, [-1, 1])), op.Reshape(bias, [-1, 1]))
    return op.Reshape(y, op.Shape(x))


@rewriting("MeanVarianceNormalization")
def mean_variance_normalization(op: Writer) -> Written:
    """y = (x - mean) / sqrt(variance + 1e-18), which unlike ONNX's has a slope at variance 0"""
    (x,) = op.node.inputs
    axes = list(op.attribute("axes", [0, 2, 3]))
    centred = op.Sub(x, op.ReduceMean(x, axes))
    variance = op.ReduceMean(op.Mul(centred, centred), axes)
    return op.Div(centred, op.Sqrt(op.Add(variance, TINY)))
