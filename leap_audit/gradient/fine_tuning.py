"""A training step as one ONNX graph: loss, gradient and update, on stock ONNX Runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx_ir.passes import common

from leap_audit.errors import ModelRefused, UsageError
from leap_audit.gradient.build import prepare
from leap_audit.gradient.curvature import logits_behind
from leap_audit.gradient.names import as_variables, free_names
from leap_audit.gradient.training import BETA1, BETA2, adam_update
from leap_audit.gradient.walk import backpropagate
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_constant, new_input
from leap_audit.graph.weights import into_proto

__all__ = ["training_step", "with_trained"]

Optimiser = Literal["sgd", "adam"]


def training_step(
    model: str | Path | onnx.ModelProto,
    weights: str | Sequence[str],
    *,
    lr: float,
    optimiser: Optimiser = "adam",
    momentum: float = 0.0,
    batch: int = 1,
    of: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> onnx.ModelProto:
    """Return a graph that computes the loss of a classifier on a batch, and its weights after it.

    weights: names of the initializers that are trained; the others stay. lr: the learning rate.
    optimiser: "adam" (Kingma and Ba 2015, beta 0.9 and 0.999, epsilon 1e-8) or "sgd" with
    `momentum`, as PyTorch defines them. batch, of, shapes: as in `build_gradient`; `of` has the
    scores (batch, classes, ...), of a Softmax its input is taken.

    The loss is the cross-entropy, the mean over the batch. The network computes as it is deployed:
    without dropout, and BatchNormalization with its stored statistics, which stay.

    Inputs: the model's own; `labels`, class numbers of type int64 and the scores' shape without
    axis 1; and the state, `<weight>` of each, with Adam `<weight>_m`, `<weight>_v` and `step`, with
    momentum `<weight>_m`. The state has its first value as a default, so that it is left out of the
    first step. Outputs: `loss`, before the step, and `<name>_next` for each of the state, to be fed
    as `<name>` to the next step; then the model's own. Standard ONNX operators, opset 21.

    Raises what `build_gradient` raises. ModelRefused: scores without an axis of classes.
    UsageError: a learning rate or momentum that is none; momentum with Adam.
    """
    if not lr > 0 or not 0 <= momentum < 1 or (momentum and optimiser != "sgd"):
        raise UsageError("lr is above 0, and momentum from 0 to below 1, for optimiser='sgd' alone")
    names = [weights] if isinstance(weights, str) else list(weights)
    prepared = prepare(model, batch=batch, wrt=names, of=of, shapes=shapes)
    graph, scores = prepared.model.graph, logits_behind(prepared.output)
    parameters = {str(value.name): value for value in prepared.values}
    for name, value in parameters.items():
        if not value.is_initializer():
            raise UsageError(f"{name!r} is no weight: only initializers of the model are trained")
    if len(static_shape(scores)) < 2:
        raise ModelRefused(
            f"{scores.name!r} has shape {static_shape(scores)}: no axis of classes, which the "
            "cross-entropy needs."
        )
    parts = [f"{name}{part}" for name in names for part in ("_m", "_v", "")]
    own = ["labels", "loss", "step", *(p for p in parts if p not in parameters)]
    free_names(graph, [*own, *(f"{part}_next" for part in ("step", *parts))])
    outputs = list(graph.outputs)
    op = Emitter(graph, "training", dtype=_kind(scores))
    loss = _cross_entropy(op, scores)
    loss.name = "loss"
    with as_variables(prepared.values):
        slopes = backpropagate(op, {loss: op.constant(np.ones(()))}, prepared.values)
    update = _Update(op)
    if optimiser == "adam":
        update.adam(parameters, slopes, lr)
    else:
        update.sgd(parameters, slopes, lr, momentum)
    graph.outputs[:] = [loss, *update.next.values(), *outputs]
    for name, value in update.next.items():
        value.name = f"{name}_next"
    common.RemoveUnusedNodesPass()(prepared.model)
    step = into_proto(prepared.model)
    kinds = {t.name: (t.data_type, t.dims) for t in step.graph.initializer}
    for name in update.next:  # an initializer that is an input is its default
        step.graph.input.append(onnx.helper.make_tensor_value_info(name, *kinds[name]))
    return step


def with_trained(
    model: onnx.ModelProto, weights: Mapping[str, NDArray[np.generic]]
) -> onnx.ModelProto:
    """Return the model with other numbers in some of its weights, by their names.

    Raises UsageError: a name that is no initializer of it, or numbers of another shape.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in changed.graph.initializer}
    for name, numbers in weights.items():
        if name not in stored or tuple(stored[name].dims) != numbers.shape:
            raise UsageError(f"the model has no weight {name!r} of shape {numbers.shape}")
        kind = onnx.helper.tensor_dtype_to_np_dtype(stored[name].data_type)
        stored[name].CopyFrom(numpy_helper.from_array(numbers.astype(kind), name))
    return changed


class _Update:
    """The part of a step that changes the state."""

    def __init__(self, op: Emitter) -> None:
        self.op = op
        self.next: dict[str, ir.Value] = {}
        """Name of a part of the state -> what it is after the step."""

    def state(self, name: str, like: ir.Value | None) -> ir.Value:
        """Add a part of the state, zeros at first, and return it."""
        shape = () if like is None else static_shape(like)
        kind = self.op.dtype if like is None else _kind(like)
        return new_constant(self.op.graph, name, np.zeros(shape, kind.numpy()))

    def adam(
        self, parameters: Mapping[str, ir.Value], slopes: Sequence[ir.Value], lr: float
    ) -> None:
        op = self.op
        t = op.Add(self.state("step", None), 1.0)
        self.next["step"] = t
        corrections = (
            op.Reciprocal(op.Sub(1.0, op.Pow(BETA1, t))),
            op.Reciprocal(op.Sub(1.0, op.Pow(BETA2, t))),
        )
        for (name, weight), slope in zip(parameters.items(), slopes, strict=True):
            m, v = (self.state(f"{name}_{part}", weight) for part in "mv")
            after = adam_update(op, weight, slope, m, v, corrections, lr)
            self.next |= zip((name, f"{name}_m", f"{name}_v"), after, strict=True)

    def sgd(
        self,
        parameters: Mapping[str, ir.Value],
        slopes: Sequence[ir.Value],
        lr: float,
        momentum: float,
    ) -> None:
        op = self.op
        for (name, weight), slope in zip(parameters.items(), slopes, strict=True):
            step = slope
            if momentum:
                step = op.Add(op.Mul(self.state(f"{name}_m", weight), momentum), slope)
                self.next[f"{name}_m"] = step
            self.next[name] = op.Sub(weight, op.Mul(step, lr))


def _cross_entropy(op: Emitter, scores: ir.Value) -> ir.Value:
    """The mean over the batch, of the input `labels`."""
    batch, classes, *places = static_shape(scores)
    labels = new_input(op.graph, "labels", (batch, *places), ir.DataType.INT64)
    kind = _kind(scores)
    choice = op.OneHot(
        labels,
        op.constant(classes, ir.DataType.INT64),
        op.constant([0.0, 1.0], kind),
        axis=1,
    )
    picked = op.ReduceSum(op.Mul(op.LogSoftmax(scores, axis=1), choice), keepdims=0)
    return op.Mul(picked, -1.0 / (batch * int(np.prod(places))))


def _kind(value: ir.Value) -> ir.DataType:
    assert value.dtype is not None
    return value.dtype
