"""Test whether a map depends on what it should: on the weights, and on the class."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from leap_audit.graph.values import constant_of
from leap_audit.ingest.detectors.reading import DECODING
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.final_layer import final_layer
from leap_audit.run.session import Array

__all__ = ["entropy_gain", "randomised", "rank_correlation"]

BINS = 100


def randomised(model: Model, seed: int) -> Model:
    """Return the model with the weights of each layer shuffled, biases apart from kernels.

    So every layer keeps its scale and its distribution, and nothing of what was learned (Adebayo
    et al. 2018). Factors of a size are no weights, and neither is what decodes a detector's boxes.
    """
    rng = np.random.default_rng(seed)
    shuffled = model.with_batch(1)
    for name, value in shuffled.graph.initializers.items():
        array = constant_of(value)
        if array is None or array.size == 1 or array.dtype.kind != "f":
            continue
        if not name.startswith(DECODING) and not _is_of_sizes(value):
            order = rng.permuted(array.ravel()).reshape(array.shape)
            value.const_value = ir.tensor(order, name=name)
    last = final_layer(shuffled.graph.outputs[0], model.answer)
    return replace(model, canonical=ir.to_proto(shuffled), final_layer=last)


def _is_of_sizes(value: ir.Value) -> bool:
    """Whether a constant says how much larger maps become, such as 1, 1, 2, 2."""
    uses = list(value.uses())
    return bool(uses) and all(node.op_type == "Resize" and place > 0 for node, place in uses)


def rank_correlation(a: Array, b: Array) -> float:
    """Return Spearman's rank correlation of two maps, -1..1; 0 where one of them is constant."""
    ranks = [_ranks(np.asarray(x, np.float64).ravel()) for x in (a, b)]
    centred = [rank - rank.mean() for rank in ranks]
    norm = float(np.linalg.norm(centred[0]) * np.linalg.norm(centred[1]))
    return float(centred[0] @ centred[1]) / norm if norm > 0 else 0.0


def _ranks(values: Array) -> Array:
    """Ranks from 0 on; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[inverse])


def entropy_gain(values: Array, shuffled: Array) -> float:
    """Return how much more even a map is under shuffled weights, relative; above 0 is wanted.

    (ξ(shuffled) - ξ(values)) / ξ(values), ξ: entropy of the histogram of |map| in BINS bins: the
    efficient randomisation test (Hedström et al. 2023), with two states of the model.
    """
    before, after = _entropy(values), _entropy(shuffled)
    return (after - before) / before if before > 0 else 0.0


def _entropy(values: Array) -> float:
    counts, _ = np.histogram(np.abs(values), BINS)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
