"""Pictures in, scores out: the model behind its preprocessing, as a piece of any graph."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Preprocessing
from leap_audit.gradient import Emitter
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model, forward_graph
from leap_audit.measure.final_layer import final_layer
from leap_audit.run.opaque import AnySession, OpaqueSession
from leap_audit.run.session import Array, Session

__all__ = ["Classifier", "place_model", "place_scores", "session_of"]

WITHIN = "model/"
"""Stands before the model's own names, which may be any, also ours."""


def place_model(op: Emitter, model: Model, picture: ir.Value) -> ir.Value:
    """Append preprocessing and model to the graph of `op`; return the logits, (batch, classes).

    Of a map of answers: averaged over its places. picture: (batch, channels, height, width) in
    0..1, red first.
    """
    return _averaged(op, place_scores(op, model, picture))


def place_scores(op: Emitter, model: Model, picture: ir.Value) -> ir.Value:
    """Append preprocessing and model; return the logits of every place, (batch, classes, places).

    A picture with one answer has one place. The single score z of two classes becomes (-z/2, z/2),
    of which the softmax is the sigmoid of z.
    """
    logits = _placed(op, model, picture)
    if logits.dtype != ir.DataType.FLOAT:
        logits = op.Cast(logits, to=ir.DataType.FLOAT.value)
    batch, rows, columns = static_shape(picture)[0], *model.identity.places
    if rows * columns > 1 and model.axis != 1:
        others = [i for i in range(1, len(static_shape(logits))) if i != model.axis]
        logits = op.Transpose(logits, perm=[0, model.axis, *others])
    if model.identity.region is not None:
        logits = op.Reshape(logits, (batch, -1, rows, columns))
        down, right = model.window
        logits = op.Slice(logits, [down.start, right.start], [down.stop, right.stop], [2, 3])
    given = 1 if model.single else model.classes
    scores = op.Reshape(logits, (batch, given, model.places))
    return op.Mul(scores, np.array([[[-0.5], [0.5]]])) if model.single else scores


def _averaged(op: Emitter, scores: ir.Value) -> ir.Value:
    batch, classes, places = static_shape(scores)
    if places == 1:
        return op.Reshape(scores, (batch, classes))
    return op.ReduceMean(scores, [2], keepdims=0)


def _placed(op: Emitter, model: Model, picture: ir.Value) -> ir.Value:
    """Append preprocessing and model as they are; return the logits in the model's own shape."""
    batch = static_shape(picture)[0]
    forward = forward_graph(model, batch).graph
    entry, logits = forward.inputs[0], forward.outputs[0]
    x = preprocess(op, model.preprocessing, picture)
    if entry.dtype not in (None, x.dtype):
        x = op.Cast(x, to=entry.dtype.value)
    entry.replace_all_uses_with(x)
    forward.outputs.clear()
    for name, value in list(forward.initializers.items()):
        del forward.initializers[name]
        value.name = f"{WITHIN}{name}"
        op.graph.register_initializer(value)
    nodes = list(forward)
    for node in nodes:
        for value in node.outputs:
            value.name = f"{WITHIN}{value.name}"
    forward.remove(nodes)
    op.graph.extend(nodes)
    return logits


def preprocess(op: Emitter, preprocessing: Preprocessing, picture: ir.Value) -> ir.Value:
    """Append the preprocessing: one 1×1 convolution swaps, scales and shifts the channels."""
    channels = static_shape(picture)[1]
    low, high = preprocessing.range
    mean, std = np.asarray(preprocessing.mean), np.asarray(preprocessing.std)
    order = range(channels)[::-1] if preprocessing.channel_order == "BGR" else range(channels)
    weight = np.zeros((channels, channels, 1, 1))
    for to, source in enumerate(order):
        weight[to, source] = (high - low) / std[to]
    x = op.Conv(picture, weight, (low - mean) / std)
    return x if preprocessing.layout == "NCHW" else op.Transpose(x, perm=[0, 2, 3, 1])


def session_of(model: Model, graph: ir.Graph | ir.Model, threads: int) -> AnySession:
    """Return a graph in which `place_model` placed the model, ready to run as the model runs."""
    whole = graph if isinstance(graph, ir.Model) else ir.Model(graph, ir_version=IR_VERSION)
    if model.outside is not None:
        return OpaqueSession(whole, model.outside, model.provider, threads)
    return Session(whole, model.provider, threads)


@dataclass(frozen=True)
class Classifier:
    """The model as a function of pictures, for everything that is only looked at, not optimised."""

    model: Model
    session: AnySession
    batch: int
    weights: Array | None
    """(classes, features) of the last linear layer; None where the last step is not linear."""

    @staticmethod
    def of(model: Model, batch: int, threads: int) -> "Classifier":
        """Return the classifier, loaded for `batch` pictures at once."""
        batch = batch if model.batchable else 1
        op = Emitter(new_graph(), "look")
        picture = new_input(op.graph, "picture", (batch, *model.picture_shape))
        scores = place_scores(op, model, picture)
        logits = _averaged(op, scores)
        op.graph.outputs.extend([logits, scores])
        last = final_layer(op, logits, model.classes)
        if last is not None:
            last.features.name = "features"
            op.graph.outputs.append(last.features)
        logits.name, scores.name = "logits", "scores"
        session = session_of(model, op.graph, threads)
        return Classifier(model, session, batch, None if last is None else last.weights)

    def logits(self, pictures: Array) -> Array:
        """(n, channels, height, width) in 0..1 -> (n, classes), averaged over places, float32."""
        return self._run(pictures, "logits", self.model.classes)

    def scores(self, pictures: Sequence[Array] | Array) -> Iterator[Array]:
        """Yield the logits at every place, (classes, places), of each of n pictures.

        One batch after the other: a map of scores is larger than the picture.
        """
        for start in range(0, len(pictures), self.batch):
            part = np.asarray(pictures[start : start + self.batch], np.float32)
            yield from self._together(part, "scores")

    def features(self, pictures: Array) -> Array:
        """(n, channels, height, width) in 0..1 -> (n, features), before the last linear layer."""
        assert self.weights is not None
        return self._run(pictures, "features", self.weights.shape[1])

    def _run(self, pictures: Array, output: str, width: int) -> Array:
        found = [np.zeros((0, width), np.float32)]
        for start in range(0, len(pictures), self.batch):
            part = np.asarray(pictures[start : start + self.batch], np.float32)
            found.append(self._together(part, output))
        return np.concatenate(found)

    def _together(self, part: Array, output: str) -> Array:
        full = np.concatenate([part, np.repeat(part[:1], self.batch - len(part), 0)])
        return self.session.run({"picture": full}, [output])[0][: len(part)]
