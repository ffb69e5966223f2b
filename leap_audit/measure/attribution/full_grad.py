"""FullGrad: what the input and every bias inside the model contribute to the score."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import onnx_ir as ir

from leap_audit.config import Options
from leap_audit.graph.shapes import shape_of
from leap_audit.graph.values import constant_of
from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.entry import Item, MethodValues, attribution, enlarged
from leap_audit.measure.attribution.places import upstream
from leap_audit.measure.methods import Traits
from leap_audit.run.session import Array

__all__ = ["FullGradient", "biases", "full_gradient"]


class FullGradOptions(Options):
    """FullGrad."""

    parts: Literal["normalised", "signed"] = "normalised"
    """How the parts are put together: each one's size brought to 0..1, as in the paper, or their
    signed numbers, which add up to the score but for the biases that stand for no place."""
    ends: bool = True
    """Whether activations with ends (ReLU6, hard sigmoid) have a part: what they add where they
    stand at an end, which is their bias there. pytorch-grad-cam and the paper's code leave it
    out."""
    together: Literal["channel", "part"] = "channel"
    """What is brought to 0..1 together: each channel, as in pytorch-grad-cam, or all channels of a
    part, as in the code of the paper."""


@dataclass(frozen=True)
class FullGradient:
    """The score of a picture, taken apart."""

    parts: tuple[Array, ...]
    """What the input contributes, and what each bias and activation with places does: (channels,
    rows, columns) float64, each with the places of its own tensor."""
    total: float
    """The sum of all parts, and of the biases that stand for no place."""


class _Ends(NamedTuple):
    """An activation that is linear between two ends."""

    low: float
    high: float
    middle: float
    """Its bias between the ends."""

    def bias(self, values: Array) -> Array:
        """Return what it adds to its slope times its input, of the shape of its output."""
        return np.where((values <= self.low) | (values >= self.high), values, self.middle)


def biases(model: Model) -> dict[str, Array]:
    """Return the bias that is added at each tensor, by its name, to be broadcast to its shape.

    Of convolutions, dense layers, additions of constants and batch normalisation.
    """
    found: dict[str, Array] = {}
    for node in upstream(model.graph.graph, [model.graph.graph.outputs[0]]):
        bias = _bias(node)
        if bias is not None and bias.any():
            found[str(node.outputs[0].name)] = bias
    return found


def _bias(node: ir.Node) -> Array | None:
    rank = len(shape_of(node.outputs[0]) or ())
    constants = [constant_of(value) for value in node.inputs]
    along = (1, -1, *(1 for _ in range(rank - 2)))
    if node.op_type in ("Conv", "ConvTranspose") and len(constants) > 2:
        return None if constants[2] is None else constants[2].reshape(along)
    if node.op_type == "Gemm" and len(constants) > 2:
        beta = node.attributes["beta"].as_float() if "beta" in node.attributes else 1.0
        return None if constants[2] is None else np.asarray(beta * constants[2])
    if node.op_type in ("Add", "Sub") and any(c is not None for c in constants):
        second = constants[1] is not None
        constant = constants[1 if second else 0]
        assert constant is not None
        return np.asarray(-constant if node.op_type == "Sub" and second else constant)
    if node.op_type == "BatchNormalization":
        scale, shift, mean, variance = constants[1:5]
        if scale is None or shift is None or mean is None or variance is None:
            return None
        epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
        return np.asarray(shift - mean * scale / np.sqrt(variance + epsilon)).reshape(along)
    return None


def activations_with_ends(model: Model) -> dict[str, _Ends]:
    """Return the activations that are linear between two ends, by the tensor that each writes."""
    found = {}
    for node in upstream(model.graph.graph, [model.graph.graph.outputs[0]]):
        if node.op_type == "Clip":
            bounds = [constant_of(value) for value in (*node.inputs[1:], None, None)[:2]]
            low, high = (None if b is None else float(b.reshape(())) for b in bounds)
            found[str(node.outputs[0].name)] = _Ends(
                -np.inf if low is None else low, np.inf if high is None else high, 0.0
            )
        elif node.op_type == "HardSigmoid":
            beta = node.attributes["beta"].as_float() if "beta" in node.attributes else 0.5
            found[str(node.outputs[0].name)] = _Ends(0.0, 1.0, beta)
    return found


@attribution(
    "fullgrad",
    options=FullGradOptions,
    source="Srinivas and Fleuret 2019",
    cost="4 passes",
    traits=Traits(
        "ψ(x · df/dx) + sum over biases of ψ(b · G), ψ: size, brought to 0..1, enlarged",
        complete="score",
        advice="Adds up to the score on networks of linear layers, ReLUs, ReLU6 and hard "
        "sigmoids; where others are among them (GELU, sigmoid, gates, normalisation by layer), "
        "the gap says by how much it fails.",
        peers={"pytorch-grad-cam": "FullGrad", "foxai": "CV_FULL_GRADIENTS_EXPLAINER"},
    ),
)
def fullgrad(item: Item, options: FullGradOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Input times gradient, and every bias inside the model times its gradient."""
    shape = item.picture.shape[1:]
    found = full_gradient(item, ends=options.ends)
    maps = [_part(part, options, shape) for part in found.parts]
    explained = float(item.score(item.picture[None])[0])
    return MethodValues(np.sum(maps, 0), explained, summed=found.total)


def full_gradient(item: Item, *, ends: bool = True) -> FullGradient:
    """Return the score of a picture as a sum over the input and every bias inside the model.

    Exact on networks of linear layers and activations that are linear in pieces (Srinivas and
    Fleuret 2019, section 3). ends: whether activations with ends, such as ReLU6, have a part.
    """
    model = item.score.run.model
    added = biases(model)
    ended = activations_with_ends(model) if ends else {}
    entry = str(model.graph.graph.inputs[0].name)
    tensors = item.score.values(item.picture[None], (entry, *ended))
    values = tensors[entry]
    added |= {name: kind.bias(tensors[name]) for name, kind in ended.items()}
    gradients = item.score.gradients(item.picture[None], (entry, *added))
    first = (values.astype(np.float64) * gradients[entry])[0]
    if model.preprocessing.layout == "NHWC":
        first = np.moveaxis(first, -1, 0)
    total = float(first.sum())
    parts = [first]
    for name, bias in added.items():
        part = np.asarray(bias * gradients[name], np.float64)[0]
        total += float(part.sum())
        if part.ndim == 3 and part.shape[1] * part.shape[2] > 1:
            parts.append(part)
    return FullGradient(tuple(parts), total)


def _part(part: Array, options: FullGradOptions, shape: tuple[int, ...]) -> Array:
    """One (channels, rows, columns) as a map of the picture's size."""
    if options.parts == "signed":
        rows, columns = part.shape[1:]
        share = rows * columns / (shape[0] * shape[1])
        return np.asarray(enlarged(part.sum(0, dtype=np.float64), shape) * share)
    size = np.abs(part, dtype=np.float64)
    axes = (1, 2) if options.together == "channel" else (0, 1, 2)
    size -= size.min(axes, keepdims=True)
    size /= size.max(axes, keepdims=True) + 1e-12
    return enlarged(size.sum(0), shape)  # enlarging is linear: once, not for every channel
