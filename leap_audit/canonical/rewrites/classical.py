"""Operators of classical learning, which scikit-learn's models are exported with, in ONNX's own."""

import numpy as np

from leap_audit.canonical.rewrite import Writer, Written, rewriting

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC")
"""What may be done with the scores of a linear classifier."""


def _word(op: Writer, name: str, default: str) -> str:
    """A text among the node's attributes."""
    found = op.attribute(name, default)
    return found.decode() if isinstance(found, bytes) else str(found)


@rewriting("ai.onnx.ml::Normalizer")
def normalizer(op: Writer) -> Written:
    """y = x / max(x), x / sum |x| or x / sqrt(sum x^2), along the last axis"""
    (x,) = op.node.inputs
    lengths = {"MAX": op.ReduceMax, "L1": op.ReduceL1, "L2": op.ReduceL2}
    return op.Div(x, lengths[_word(op, "norm", "MAX")](x, [-1], keepdims=1))


@rewriting("ai.onnx.ml::Scaler")
def scaler(op: Writer) -> Written:
    """y = (x - offset) * scale"""
    (x,) = op.node.inputs
    offset, scale = (np.array(op.attribute(name), op.dtype.numpy()) for name in ("offset", "scale"))
    return op.Mul(op.Sub(x, offset), scale)


@rewriting("ai.onnx.ml::ArrayFeatureExtractor")
def array_feature_extractor(op: Writer) -> Written:
    """y = x[..., y]"""
    x, places = op.node.inputs
    return op.Gather(x, op.Reshape(places, [-1]), axis=-1)


@rewriting("ai.onnx.ml::LinearClassifier")
def linear_classifier(op: Writer) -> Written:
    """scores = f(x * coefficients + intercepts), f the identity, a softmax or a sigmoid"""
    (x,) = op.node.inputs
    transform = _word(op, "post_transform", "NONE")
    labels = op.attribute("classlabels_ints") or op.attribute("classlabels_strings") or ()
    weights = np.array(op.attribute("coefficients"), op.dtype.numpy())
    if transform not in TRANSFORMS or op.is_read(0) or weights.size % max(1, len(labels)):
        return None
    rows = weights.reshape(max(1, len(labels)), -1)
    intercepts = op.attribute("intercepts")
    if intercepts is not None and len(intercepts) != len(rows):
        return None  # one row for two classes, which is written otherwise
    scores = op.MatMul(x, np.ascontiguousarray(rows.T))
    if intercepts is not None:
        scores = op.Add(scores, np.array(intercepts, op.dtype.numpy()))
    if transform == "SOFTMAX":
        scores = op.Softmax(scores, axis=-1)
    elif transform == "LOGISTIC":
        scores = op.Sigmoid(scores)
    return [None, scores]
