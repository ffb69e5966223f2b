"""One model, run: its scores, what inner tensors hold, and gradients, on pictures in 0..1.

`place_scores` writes the model behind its preprocessing into any graph; `Run` loads such graphs
once each and is what every measurement asks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import RLock

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Preprocessing
from leap_audit.canonical.cut import cut
from leap_audit.errors import UsageError
from leap_audit.gradient import Emitter, backpropagate
from leap_audit.gradient.rulesets import RuleSet, require_effect, rule_set
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import ScoreMap
from leap_audit.run.opaque import AnySession, OpaqueSession
from leap_audit.run.session import Array, Session

__all__ = [
    "PICTURE",
    "SCORES",
    "WITHIN",
    "Placed",
    "Run",
    "mean_over_places",
    "place_each",
    "place_logits",
    "place_model",
    "place_scores",
    "place_tail",
    "preprocess",
    "run_passes",
]

PICTURE = "picture"
"""Name of the pictures, beside those of the model's own tensors."""
SCORES = "leap_audit/scores"
"""The scores of every place, (n, classes, places), among the tensors that can be looked at."""
WITHIN = "model/"
"""Stands before the model's own names in a graph that it is placed in: they may be any."""


@dataclass(frozen=True)
class Placed:
    """A model in a graph, behind its preprocessing."""

    model: Model
    tensors: dict[str, ir.Value]
    """Name in the canonical graph -> the tensor here. PICTURE: the pictures."""
    entry: ir.Value
    """The model's input, behind the preprocessing."""
    scores: ir.Value
    """(n, classes, places), of every place of a map; a picture with one answer has one place."""

    def tensor(self, name: str) -> ir.Value:
        """Return a tensor by its name in the canonical graph, or the pictures by PICTURE.

        Raises UsageError: the model has none of that name, or it does not hold a part for each
        picture along its first axis.
        """
        if name not in self.tensors:
            raise UsageError(
                f"the model has no tensor {name!r}; its canonical graph has "
                f"{len(self.tensors) - 1}, such as {', '.join(map(repr, list(self.tensors)[-3:]))}."
            )
        value = self.tensors[name]
        batch, shape = static_shape(self.scores)[0], static_shape(value)
        if not shape or shape[0] != batch:
            raise UsageError(
                f"tensor {name!r} has the shape {list(shape)} for {batch} pictures: its first axis "
                "is not that of the pictures; name another."
            )
        return value

    def features(self, op: Emitter) -> ir.Value | None:
        """Append (n, features) before the final linear layer; None where the last step is none."""
        layer = self.model.final_layer
        if layer is None:
            return None
        value = self.tensors[layer.features]
        if layer.pooled:
            value = op.GlobalAveragePool(value)
        return op.Reshape(value, (static_shape(self.scores)[0], layer.weights.shape[1]))


def place_model(op: Emitter, model: Model, picture: ir.Value, within: str = WITHIN) -> Placed:
    """Append preprocessing and model to the graph of `op`.

    picture: (n, channels, height, width) in 0..1, red first. within: stands before the names of
    what is appended; another for each time a graph has the model, whose weights it has once.
    """
    forward = model.with_batch(static_shape(picture)[0]).graph
    placed = _placed(op, model, forward, preprocess(op, model.preprocessing, picture), within)
    placed.tensors[PICTURE] = picture  # over one of the model by this name, which is preprocessed
    return placed


def place_each(
    op: Emitter, model: Model, pictures: ir.Value, names: Sequence[str] = ()
) -> list[ir.Value]:
    """Append preprocessing and model; return the scores of n pictures, then the tensors named.

    pictures, scores, names: as in `place_model` and `Placed.tensor`. A model that takes one picture
    at a time stands in the graph once for each of them.
    """
    count = static_shape(pictures)[0]
    if count == 1 or model.batchable:
        placed = place_model(op, model, pictures)
        return [placed.scores, *(placed.tensor(name) for name in names)]
    apart = [
        place_model(op, model, op.Slice(pictures, [i], [i + 1], [0]), f"{i}/{WITHIN}")
        for i in range(count)
    ]
    found = [[each.scores, *(each.tensor(name) for name in names)] for each in apart]
    return [op.Concat(*parts, axis=0) for parts in zip(*found, strict=True)]


def place_tail(
    op: Emitter, model: Model, at: str, value: ir.Value, ends: Sequence[str] = ()
) -> Placed:
    """Append what computes the scores from the tensor `at`, which `value` stands for.

    value: of the tensor's shape for any number of pictures. ends: further tensors that are needed.
    Raises UsageError: the scores do not come from that tensor alone.
    """
    whole = model.with_batch(static_shape(value)[0])
    scores = str(whole.graph.outputs[0].name)
    placed = _placed(op, model, cut(whole, [at], [scores, *ends]).graph, value)
    placed.tensors[at] = value  # before it has the type of the model's own
    return placed


def _placed(
    op: Emitter, model: Model, forward: ir.Graph, x: ir.Value, within: str = WITHIN
) -> Placed:
    """Move the nodes of a graph of one input, whose first output are the scores, behind `x`."""
    entry, scores = forward.inputs[0], forward.outputs[0]
    if entry.dtype not in (None, x.dtype):
        x = op.Cast(x, to=entry.dtype.value)
    tensors = {str(entry.name): x}
    entry.replace_all_uses_with(x)
    forward.outputs.clear()
    for name, value in list(forward.initializers.items()):
        del forward.initializers[name]
        value.name = f"{WITHIN}{name}"
        if (shared := op.graph.initializers.get(value.name)) is not None:
            value.replace_all_uses_with(shared)
        else:
            op.graph.register_initializer(value)
    nodes = list(forward)
    for node in nodes:
        node.name = f"{within.removesuffix(WITHIN)}{node.name}"
        for value in node.outputs:
            tensors.setdefault(str(value.name), value)
            value.name = f"{within}{value.name}"
    forward.remove(nodes)
    op.graph.extend(nodes)
    if scores.dtype != ir.DataType.FLOAT:
        scores = op.Cast(scores, to=ir.DataType.FLOAT.value)
    tensors[SCORES] = model.answer.columns(op, scores)
    return Placed(model, tensors, x, tensors[SCORES])


def place_scores(op: Emitter, model: Model, picture: ir.Value) -> ir.Value:
    """Append preprocessing and model; return the scores of every place, (n, classes, places)."""
    return place_model(op, model, picture).scores


def place_logits(op: Emitter, model: Model, picture: ir.Value) -> ir.Value:
    """Append preprocessing and model; return the scores averaged over places, (n, classes)."""
    return mean_over_places(op, place_scores(op, model, picture))


def mean_over_places(op: Emitter, scores: ir.Value) -> ir.Value:
    """Append the mean over places: (n, classes, places) -> (n, classes)."""
    batch, classes, places = static_shape(scores)
    if places == 1:
        return op.Reshape(scores, (batch, classes))
    return op.ReduceMean(scores, [2], keepdims=0)


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


class Run:
    """A model on its provider, `batch` pictures at a time, with a session for each thing computed.

    Pictures are (n, channels, height, width) in 0..1, any number n; a last batch that is not full
    is filled up with copies. Sessions are made when they are first needed and kept. Several threads
    may use a run at once.

    batch: 1 for a model that takes one picture at a time. threads: as in `Session`.
    """

    def __init__(self, model: Model, batch: int = 1, threads: int = 0) -> None:
        self.model = model
        self.batch = batch if model.batchable else 1
        self.threads = threads
        self._sessions: dict[object, AnySession] = {}
        self._loading = RLock()

    def at_once(self, batch: int) -> "Run":
        """Return this run with another batch; both share their sessions."""
        other = Run(self.model, batch, self.threads)
        other._sessions, other._loading = self._sessions, self._loading
        return other

    @property
    def weights(self) -> Array | None:
        """Return (classes, features) of the final linear layer, None where there is none."""
        layer = self.model.final_layer
        return None if layer is None else layer.weights

    def scores(self, pictures: Sequence[Array] | Array) -> Iterator[Array]:
        """Yield the scores at every place, (classes, places), of each of n pictures.

        One batch after the other: a map of scores is larger than the picture.
        """
        for start in range(0, len(pictures), self.batch):
            part = np.asarray(pictures[start : start + self.batch], np.float32)
            yield from self._forward(part, "scores")

    def logits(self, pictures: Array, where: Array | None = None) -> Array:
        """Return the scores averaged over places, (n, classes), float32.

        where: how much each place of a map counts, (places,), together 1; None: all the same.
        """
        if where is None:
            return self._all(pictures, "logits", self.model.classes)
        return np.stack([scores @ where for scores in self.scores(pictures)])

    def features(self, pictures: Array, where: Array | None = None) -> Array:
        """Return (n, features) before the final linear layer.

        where: how much each place of a map counts, (places,); it is heeded where the features lie
        at the places of the answer. None: they are averaged over all places.
        Raises ValueError: the last step is not linear.
        """
        layer, answer = self.model.final_layer, self.model.answer
        if self.weights is None or layer is None:
            raise ValueError("the last step of this model is not linear: it has no features")
        if where is not None and layer.pooled and isinstance(answer, ScoreMap):
            values = self.activations(pictures, layer.features)[layer.features]
            if values.shape[2:] == answer.grid:
                return np.asarray(values.reshape(*values.shape[:2], -1) @ where, np.float32)
        return self._all(pictures, "features", self.weights.shape[1])

    def activations(self, pictures: Array, at: str | Sequence[str]) -> dict[str, Array]:
        """Return what inner tensors hold, each (n, ...), by their names in the canonical graph.

        at: those names; PICTURE: the pictures themselves.
        Raises UsageError: there is no tensor of a name.
        """
        names = (at,) if isinstance(at, str) else tuple(at)

        def build(op: Emitter, picture: ir.Value) -> list[ir.Value]:
            placed = place_model(op, self.model, picture)
            return [op.Identity(placed.tensor(name)) for name in names]

        return self._batched(("activations", names), build, names, {PICTURE: pictures})

    def gradient(
        self,
        pictures: Array,
        cotangent: Array,
        *,
        wrt: str | Sequence[str] = PICTURE,
        rules: str | RuleSet | None = None,
    ) -> dict[str, Array]:
        """Return the gradient of sum(cotangent · scores) with respect to tensors, each (n, ...).

        cotangent: (classes, places), the same for every picture, or (n, classes, places); see
        `Answer.cotangent`. wrt: names as in `activations`. rules: a rule set or its name.

        Raises UsageError: there is no tensor, or no rule set, of a name. GradientUnavailable: an
        operator has no rule, or a tensor is not on the way to the scores.
        """
        names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
        replaced = rule_set(rules)
        columns = (self.model.classes, self.model.answer.places)

        def build(op: Emitter, picture: ir.Value) -> list[ir.Value]:
            placed = place_model(op, self.model, picture)
            scores, *values = [placed.scores, *(placed.tensor(name) for name in names)]
            if replaced is not None:
                scores, *values = run_passes(op.graph, replaced, [scores, *values])
                require_effect(replaced, op.graph, scores, values)
            dy = new_input(op.graph, "cotangent", (self.batch, *columns))
            gradients = backpropagate(op, {scores: dy}, values, rules=replaced)
            return [op.Identity(each) for each in gradients]

        each = np.broadcast_to(np.asarray(cotangent, np.float32), (len(pictures), *columns))
        given = {PICTURE: pictures, "cotangent": each}
        return self._batched(("gradient", names, replaced), build, names, given)

    def session(self, key: object, build: Callable[[], ir.Graph | ir.Model]) -> AnySession:
        """Return the session of a graph in which the model was placed, made once for a key.

        key: what the graph computes; it must tell apart all graphs of this model.
        """
        with self._loading:
            if key not in self._sessions:
                self._sessions[key] = self.load(build())
            return self._sessions[key]

    def load(self, graph: ir.Graph | ir.Model) -> AnySession:
        """Return a session of a graph in which the model may be placed, which is not kept."""
        whole = graph if isinstance(graph, ir.Model) else ir.Model(graph, ir_version=IR_VERSION)
        if self.model.outside is None:
            return Session(whole, self.model.provider, self.threads)
        return OpaqueSession(whole, self.model.outside, self.model.provider, self.threads)

    def _forward(self, part: Array, output: str) -> Array:
        """One batch, or less, of an output of the graph that all forward figures come from."""

        def build() -> ir.Graph:
            op = Emitter(new_graph(), "run")
            picture = new_input(op.graph, PICTURE, (self.batch, *self.model.picture_shape))
            placed = place_model(op, self.model, picture)
            logits = mean_over_places(op, placed.scores)
            op.graph.outputs.extend([logits, placed.scores])
            if (features := placed.features(op)) is not None:
                features.name = "features"
                op.graph.outputs.append(features)
            logits.name, placed.scores.name = "logits", "scores"
            return op.graph

        session = self.session(("forward", self.batch), build)
        return session.run({PICTURE: _filled(part, self.batch)}, [output])[0][: len(part)]

    def _all(self, pictures: Array, output: str, width: int) -> Array:
        found = [np.zeros((0, width), np.float32)]
        for start in range(0, len(pictures), self.batch):
            part = np.asarray(pictures[start : start + self.batch], np.float32)
            found.append(self._forward(part, output))
        return np.concatenate(found)

    def _batched(
        self,
        key: tuple[object, ...],
        build: Callable[[Emitter, ir.Value], Sequence[ir.Value]],
        names: Sequence[str],
        inputs: dict[str, Array],
    ) -> dict[str, Array]:
        """What `build` appends to a graph of PICTURE, for all pictures, by name."""

        def graph() -> ir.Graph:
            op = Emitter(new_graph(), "run")
            picture = new_input(op.graph, PICTURE, (self.batch, *self.model.picture_shape))
            op.graph.outputs.extend(build(op, picture))
            return op.graph

        session = self.session((*key, self.batch), graph)
        parts: list[list[Array]] = []
        count = len(inputs[PICTURE])
        for start in range(0, count, self.batch):
            part = {n: x[start : start + self.batch] for n, x in inputs.items()}
            given = {n: _filled(np.asarray(x, np.float32), self.batch) for n, x in part.items()}
            parts.append([x[: len(part[PICTURE])] for x in session.run(given)])
        return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def run_passes(graph: ir.Graph, rules: RuleSet, values: Sequence[ir.Value]) -> list[ir.Value]:
    """Run the passes of a rule set on a graph, in place, and return what these values are then."""
    graph.outputs.extend(values)
    for change in rules.passes:
        change(ir.Model(graph, ir_version=IR_VERSION))
    after = list(graph.outputs)
    graph.outputs.clear()
    return after


def _filled(part: Array, batch: int) -> Array:
    """Return a whole batch: what is missing are copies of the first."""
    return np.concatenate([part, np.repeat(part[:1], batch - len(part), 0)])
