"""The score that is explained, as a function of pictures: its values and its gradients."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from leap_audit.canonical.cut import bypass
from leap_audit.errors import UsageError
from leap_audit.gradient import Emitter, backpropagate
from leap_audit.gradient.deeplift import DEEPLIFT, require_pairs
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.outputs.answer import BOXES, Detections
from leap_audit.measure.attribution.places import upstream
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.run import PICTURE, Placed, Run, place_model, place_tail
from leap_audit.measure.targets import (
    CosineTarget,
    EmbeddingTarget,
    ScoreTarget,
    SimilarityTarget,
    Target,
    TensorTarget,
)
from leap_audit.run.session import Array

__all__ = ["Inner", "Score", "Tail", "resolved"]


class Inner(NamedTuple):
    """A tensor inside the model, and the score's gradient with respect to it; each (n, ...)."""

    values: Array
    gradient: Array


@dataclass(frozen=True)
class _Graph:
    """What one graph computes; the key of its session."""

    shown: tuple[str, ...] = ()
    """Tensors whose values come out first."""
    wrt: tuple[str, ...] = ()
    """Tensors whose gradients come out next."""
    output: str | None = None
    """The tensor that is explained; None: the model's scores."""
    replaced: str | None = None
    """The tensor that is an input, WITHIN, so that the score is a function of it."""
    alone: bool = False
    """Whether the score is a function of nothing else, so that no picture is an input."""
    plain: bool = False
    """Whether the tensor that is explained comes out last."""
    whole: bool = False
    """Whether pictures go one by one, so that tensors need not hold a part for each picture."""
    pair: bool = False
    """Whether two pictures go together, and multipliers between them stand for the gradients."""


class Score:
    """The score of a target. Pictures are (n, channels, height, width) in 0..1, any number n.

    batch: pictures computed together at most. picture: the one that is explained, which an
    `EmbeddingTarget` needs. Graphs are made once for each thing computed and number of pictures,
    and kept in the run.
    """

    def __init__(
        self, run: Run, target: Target, batch: int = 8, picture: Array | None = None
    ) -> None:
        self.run = run
        self.target = resolved(run, target, picture)
        self.batch = batch if run.model.batchable else 1
        self._cotangent: Array | None = None
        if isinstance(self.target, CosineTarget):
            self.target.require_fit(run.model.answer)
        elif not isinstance(self.target, TensorTarget):
            self._cotangent = self.target.cotangent(run.model.answer)

    @property
    def cotangent(self) -> Array:
        """Return (classes, places), whose product with the model's scores is this one.

        Raises UsageError: the target is a tensor inside the model, or no sum of the scores.
        """
        if isinstance(self.target, CosineTarget):
            raise UsageError("this method explains a sum of the model's scores, not a cosine.")
        if self._cotangent is None:
            raise UsageError("this method explains a score of the model, not a tensor inside it.")
        return self._cotangent

    def __call__(self, pictures: Array) -> Array:
        """Return the score of each picture, (n,) float64."""
        pictures = np.asarray(pictures, np.float32)
        if isinstance(self.target, TensorTarget):
            return self._weighed(
                self.computed(pictures, _Graph(output=self.explained, plain=True))[0]
            )
        run = self.run.at_once(self._together(len(pictures)))
        return self._weighed(run.scores(pictures))

    @property
    def explained(self) -> str | None:
        """Return the name of the tensor inside that is explained; None: the model's scores."""
        return self.target.name if isinstance(self.target, TensorTarget) else None

    def shares(self, picture: Array) -> Array:
        """Return weights, (1, ...), whose product with what is explained is the score.

        Of a cosine: with the length of the model's vector held constant.
        """
        if isinstance(self.target, CosineTarget):
            (scores,) = self.run.at_once(1).scores(picture[None])
            return np.asarray(self.target.share(scores), np.float32)[None]
        return self._weights((), 1)

    def gradient(self, pictures: Array, rules: str | None = None) -> Array:
        """Return the gradient with respect to the pictures, of their shape, float32.

        rules: the name of a rule set, whose answer replaces the gradient.
        """
        if rules is not None:
            run = self.run.at_once(self._together(len(pictures)))
            if isinstance(self.target, TensorTarget):
                return run.gradient(pictures, self.cotangent, rules=rules)[PICTURE]
            weights = self._weights(run.scores(pictures), len(pictures))
            return run.gradient(pictures, weights, rules=rules)[PICTURE]
        return self.gradients(pictures, (PICTURE,))[PICTURE]

    def inner(self, pictures: Array, at: str | Sequence[str]) -> dict[str, Inner]:
        """Return tensors inside the model by their names, with the gradients there."""
        names = (at,) if isinstance(at, str) else tuple(at)
        found = self.computed(pictures, _Graph(names, names, self.explained))
        pairs = zip(found[: len(names)], found[len(names) :], strict=True)
        return {name: Inner(*pair) for name, pair in zip(names, pairs, strict=True)}

    def values(self, pictures: Array, at: str | Sequence[str]) -> dict[str, Array]:
        """Return tensors inside the model by their names, each (n, ...)."""
        names = (at,) if isinstance(at, str) else tuple(at)
        return dict(zip(names, self.computed(pictures, _Graph(shown=names)), strict=True))

    def gradients(self, pictures: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Return the gradients with respect to tensors inside the model, or PICTURE, by name."""
        names = tuple(wrt)
        found = self.computed(pictures, _Graph(wrt=names, output=self.explained))
        return dict(zip(names, found, strict=True))

    def whole(self, picture: Array, at: Sequence[str]) -> dict[str, Inner]:
        """Return tensors for one picture, whole: their first axis may be anything."""
        names = tuple(at)
        found = self.computed(picture[None], _Graph(names, names, self.explained, whole=True))
        pairs = zip(found[: len(names)], found[len(names) :], strict=True)
        return {name: Inner(*pair) for name, pair in zip(names, pairs, strict=True)}

    def multipliers(self, picture: Array, baseline: Array, at: str = PICTURE) -> Inner:
        """Return DeepLIFT's multipliers between two pictures, and what they are multiplied with.

        at: the tensor that they are of. values: what it holds on `picture` less what it holds on
        `baseline`, (...) float64; gradient: the multipliers, of that shape, float32.

        Raises GradientUnavailable: an operator of the model has no multipliers.
        """
        graph = _Graph((at,), (at,), self.explained, pair=True)
        values, slopes = self.computed(np.stack([picture, baseline]), graph)
        return Inner(values[0].astype(np.float64) - values[1], slopes[0])

    def tail(self, picture: Array, at: str) -> "Tail":
        """Return the score as a function of the tensor `at`, everything else as on `picture`.

        Raises UsageError: what is explained is computed without that tensor.
        """
        graph = self.run.model.graph
        ends = [str(graph.graph.outputs[0].name), *([self.explained] if self.explained else [])]
        last = [v for n in graph.graph for v in n.outputs if v.name == ends[-1]]
        if not any(v.name == at for n in upstream(graph.graph, last) for v in n.outputs):
            raise UsageError(f"at: {ends[-1]!r} is computed without {at!r}; name another tensor.")
        return Tail(self, np.asarray(picture, np.float32), at, bypass(graph, [at], ends))

    def computed(self, pictures: Array, graph: _Graph, within: Array | None = None) -> list[Array]:
        """Return what a graph computes of all pictures, each (n, ...)."""
        pictures = np.asarray(pictures, np.float32)
        batch = 1 if graph.whole else 2 if graph.pair else self._together(len(pictures))
        session = self.run.session(("score", graph, batch), lambda: self._built(graph, batch))
        weights: Array | None = None
        if graph.wrt:
            explained = self._explained(pictures, graph, within)
            weights = self._weights(explained, len(pictures), graph.pair)
        parts: list[list[Array]] = []
        for start in range(0, len(pictures), batch):
            end = min(start + batch, len(pictures))
            given = {} if graph.alone else {PICTURE: _filled(pictures[start:end], batch)}
            if within is not None:
                given[WITHIN] = _filled(within[start:end], batch)
            if weights is not None:
                given["cotangent"] = _filled(weights[start:end], batch)
            found = session.run(given)
            parts.append(found if graph.whole else [x[: end - start] for x in found])
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _built(self, graph: _Graph, batch: int) -> ir.Graph:
        op = Emitter(new_graph(), "score")
        placed = self._placed(op, graph, batch)
        output = placed.scores if graph.output is None else placed.tensor(graph.output)
        tensor = placed.tensors.__getitem__ if graph.whole else placed.tensor
        found: list[ir.Value] = []
        for value in map(tensor, graph.shown):
            # ONNX Runtime loses a tensor that goes to a padding and to an Identity (1.32), so it
            # comes out by itself where it can.
            alone = value.producer() is not None and value not in found
            found.append(value if alone else op.Identity(value))
        if graph.wrt:
            dy = new_input(op.graph, "cotangent", static_shape(output))
            wrt = [tensor(name) for name in graph.wrt]
            rules = DEEPLIFT if graph.pair else None
            if graph.pair:
                require_pairs(op.graph, [output])
            found += [op.Identity(dx) for dx in backpropagate(op, {output: dy}, wrt, rules=rules)]
        if graph.plain:
            found.append(op.Identity(output))
        op.graph.outputs.extend(found)
        return op.graph

    def _placed(self, op: Emitter, graph: _Graph, batch: int) -> Placed:
        """The model in the graph of `op`, or what of it comes after the tensor that is replaced."""
        model = self.run.model
        if graph.replaced is not None and graph.alone:
            value = new_input(op.graph, WITHIN, (batch, *self._shape(graph.replaced)))
            ends = [graph.output] if graph.output else []
            return place_tail(op, model, graph.replaced, value, ends)
        placed = place_model(op, model, new_input(op.graph, PICTURE, (batch, *model.picture_shape)))
        if graph.replaced is None:
            return placed
        shape = static_shape(placed.tensor(graph.replaced))
        return _with(op, placed, graph.replaced, new_input(op.graph, WITHIN, shape))

    def _together(self, count: int) -> int:
        """How many pictures a graph takes: a power of two, at most the batch."""
        return max(1, min(self.batch, 1 << max(count - 1, 0).bit_length()))

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor inside the model for one picture; () where there is none."""
        nodes = self.run.model.graph.graph
        shapes = [static_shape(v)[1:] for n in nodes for v in n.outputs if v.name == name]
        return shapes[0] if shapes else ()

    def _explained(self, pictures: Array, graph: _Graph, within: Array | None) -> Iterable[Array]:
        """The scores that the slope depends on; nothing where it is the same on every picture."""
        if not isinstance(self.target, CosineTarget):
            return ()
        plain = _Graph(replaced=graph.replaced, alone=graph.alone, plain=True)
        return self.computed(pictures, plain, within)[0]

    def _weights(self, scores: Iterable[Array], count: int, pair: bool = False) -> Array:
        """The cotangents of `count` pictures, each of the shape of what is explained.

        scores: of these pictures, read where the cotangents differ. pair: whether the slope is that
        between two pictures.
        """
        if isinstance(self.target, CosineTarget):
            if pair:
                return np.asarray([self.target.secant(*scores)] * 2, np.float32)
            return np.asarray([self.target.slope(each) for each in scores], np.float32)
        weights = self._cotangent
        if isinstance(self.target, TensorTarget):
            weights = self.target.weights(self._shape(self.target.name))
        assert weights is not None
        return np.broadcast_to(weights, (count, *weights.shape))

    def _weighed(self, outputs: Iterable[Array]) -> Array:
        """The score of each of the values of what is explained, (n,) float64."""
        if isinstance(self.target, CosineTarget):
            return np.array([self.target.value(each) for each in outputs], np.float64)
        (weights,) = self._weights((), 1).astype(np.float64)
        return np.array([np.vdot(weights, each.astype(np.float64)) for each in outputs], np.float64)


@dataclass(frozen=True)
class Tail:
    """The score as a function of one tensor inside the model, everything else as on a picture."""

    score: Score
    picture: Array
    at: str
    beside: str | None = None
    """A tensor through which the picture goes into the score beside it; None: there is none."""

    def __call__(self, values: Array) -> Array:
        """Return the score of each of n values of the tensor, (n,) float64."""
        return self.score._weighed(self._computed(values, self._graph(plain=True)))

    def gradient(self, values: Array) -> Array:
        """Return the gradient with respect to the tensor at each of n values, (n, ...)."""
        return self._computed(values, self._graph(wrt=(self.at,)))

    def multipliers(self, values: Array, baseline: Array) -> Array:
        """Return DeepLIFT's multipliers of the tensor between two values of it, of their shape."""
        alone = self.beside is None
        graph = _Graph((), (self.at,), self.score.explained, self.at, alone=alone, pair=True)
        return np.asarray(self._computed(np.stack([values, baseline]), graph)[0])

    def said(self, at: str) -> str:
        """Return the tensor in words, with what of the picture goes past it."""
        past = "" if self.beside is None else f", with {self.beside!r} beside it as it was"
        return f"{at}{past}"

    def _graph(self, wrt: tuple[str, ...] = (), plain: bool = False) -> _Graph:
        alone = self.beside is None
        return _Graph((), wrt, self.score.explained, replaced=self.at, alone=alone, plain=plain)

    def _computed(self, values: Array, graph: _Graph) -> Array:
        values = np.asarray(values, np.float32)
        pictures = np.broadcast_to(self.picture, (len(values), *self.picture.shape))
        return self.score.computed(pictures, graph, values)[0]


WITHIN = "within"
"""The input that takes the place of a tensor inside the model."""


def _with(op: Emitter, placed: Placed, at: str, value: ir.Value) -> Placed:
    """The placed model with a tensor replaced, so that what follows it depends on `value`."""
    old = placed.tensor(at)
    new = value if old.dtype in (None, value.dtype) else op.Cast(value, to=old.dtype.value)
    old.replace_all_uses_with(new)
    scores = value if placed.scores is old else placed.scores
    return Placed(placed.model, {**placed.tensors, at: value}, placed.entry, scores)


def resolved(run: Run, target: Target, picture: Array | None = None) -> ScoreTarget:
    """Return a target with the model's vectors of the pictures that it depends on.

    picture: the one that is explained, (channels, height, width) in 0..1; None: there is none.
    Raises UsageError: a target needs it, or a vector is zero.
    """
    if isinstance(target, SimilarityTarget):
        return target.of(_vector_of(run, target.picture))
    if isinstance(target, EmbeddingTarget):
        if picture is None:
            raise UsageError("target: an embedding is explained of a picture, and none is named.")
        return target.of(_vector_of(run, picture))
    if isinstance(target, DetectionTarget) and not (target.box and target.part == "class"):
        if picture is None:
            raise UsageError("target: a detection is explained of a picture, and none is named.")
        found = target.of(run.model.answer, *_detected(run, picture))
        if target.part == "class":
            return found
        (index, _), *others = target.elements
        return TensorTarget(BOXES, index, tuple(others))
    return target


def _detected(run: Run, picture: Array) -> tuple[Array, Array]:
    """The scores, (classes, rows), and the boxes, (4, rows), of one picture."""
    if not isinstance(run.model.answer, Detections):
        raise UsageError("target: only a detector has detections; name a class.")
    one = run.at_once(1)
    (scores,) = one.scores(picture[None])
    return scores, one.activations(picture[None], BOXES)[BOXES][0]


def _vector_of(run: Run, picture: Array) -> Array:
    """What the model answers to one picture, (classes, places)."""
    picture = np.asarray(picture, np.float32)
    if picture.shape != run.model.picture_shape:
        raise UsageError(
            f"target: a picture of the shape {list(picture.shape)}; the model takes "
            f"{list(run.model.picture_shape)}, in 0..1."
        )
    (scores,) = run.at_once(1).scores(picture[None])
    return scores


def _filled(part: Array, batch: int) -> Array:
    """Return a whole batch: what is missing are copies of the first."""
    missing = np.repeat(part[:1], batch - len(part), 0)
    return np.ascontiguousarray(np.concatenate([part, missing]), np.float32)
