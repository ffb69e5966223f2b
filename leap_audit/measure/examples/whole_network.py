"""TracIn and influence functions of a whole network, by the gradients of all its weights.

Both need the gradient of each training picture by itself, in batches; none is kept. The features of
the last layer are enough for most questions, and a thousand times as fast (`last_layer.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.random import Generator

from leap_audit.errors import ModelRefused, UsageError
from leap_audit.gradient import Emitter
from leap_audit.gradient.build import OF, build_gradient
from leap_audit.gradient.curvature import gauss_newton_product
from leap_audit.gradient.path import carrying
from leap_audit.graph.opset import IR_VERSION
from leap_audit.graph.protos import real_inputs
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.graph.weights import into_proto
from leap_audit.ingest.files.onnx import model_of
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.measure.examples.gathered import softmax_rows
from leap_audit.measure.run import PICTURE, WITHIN, Run, place_logits
from leap_audit.progress import Advance
from leap_audit.run.providers import Provider, choose_provider
from leap_audit.run.session import Array, Session

__all__ = ["WholeCheckpoint", "WholeNetwork", "whole_network"]

LARGEST = 100_000_000
"""Numbers of gradients that are in memory at once."""
STATISTICS = (3, 4)
"""Inputs of BatchNormalization that no gradient has trained."""
Labelled = tuple[Array, Array]
"""Pictures, (n, *shape of the input), and their classes, (n,)."""


def _unheard(units: int = 1) -> None:
    """No progress is shown."""


class WholeNetwork:
    """The cross-entropy of a classifier, differentiated by some or all of its weights.

    model: gives scores, not probabilities. weights: names of its initializers. batch: pictures
    computed at once; as many gradients are in memory. of, shapes: as in `build_gradient`. threads:
    0 takes one per core. provider: None takes the CPU.

    Raises what `build_gradient` raises. ModelRefused: several inputs, or an output other than
    (batch, classes).
    """

    def __init__(
        self,
        model: str | Path | onnx.ModelProto,
        weights: Sequence[str],
        *,
        batch: int = 8,
        of: str | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        threads: int = 0,
        provider: Provider | None = None,
    ) -> None:
        proto = model_of(model)
        inputs = real_inputs(proto)
        if len(inputs) != 1:
            raise ModelRefused(f"the model takes {len(inputs)} inputs, not one.")
        self._batch, self._x = batch, inputs[0].name
        self._provider, self._threads = provider or choose_provider("cpu"), threads
        names = list(dict.fromkeys(weights))

        def product() -> onnx.ModelProto:
            return gauss_newton_product(proto, batch=batch, wrt=names, of=of, shapes=shapes)

        self._product_graph = product
        gradient = build_gradient(
            proto, batch=batch, wrt=names, of=of, shapes=shapes, per_item=True
        )
        self._scores = next(p.value for p in gradient.metadata_props if p.key == OF)
        shape = {
            value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)[1:]
            for value in gradient.graph.output
        }
        self._sizes = {name: shape[f"{name}_grad"] for name in names}
        self._classes = shape[self._scores]
        self._each = Session(gradient, self._provider, threads)
        if len(self._classes) != 1:
            raise ModelRefused(
                f"{self._scores!r} has the shape {list(self._classes)}, not the classes'."
            )

    @cached_property
    def _curvature(self) -> Session:
        return Session(self._product_graph(), self._provider, self._threads)

    @property
    def parameters(self) -> int:
        """Return the number of parameters that count."""
        return sum(int(np.prod(size)) for size in self._sizes.values())

    @property
    def at_once(self) -> int:
        """Return the number of pictures whose gradients are in memory at once."""
        return max(1, LARGEST // self.parameters)

    def gradients(
        self, pictures: Array, labels: Array, advance: Advance = _unheard
    ) -> Iterator[Array]:
        """Yield the gradients of the loss of each picture by all weights, (batch, parameters).

        pictures: (n, *shape of the input). labels: (n,) class numbers. The last batch is as short
        as what is left.
        """
        if len(pictures) != len(labels):
            raise UsageError(f"{len(pictures)} pictures have {len(labels)} labels")

        def errors(part: slice, scores: Array) -> Array:
            delta = softmax_rows(scores)
            delta[np.arange(len(delta)), labels[part]] -= 1
            return delta

        return self._pulled(pictures, errors, advance)

    def _pulled(
        self, pictures: Array, cotangents: Callable[[slice, Array], Array], advance: Advance
    ) -> Iterator[Array]:
        """The gradient of each picture by all weights; cotangents: (pictures, scores) -> theirs."""
        outputs = [f"{name}_grad" for name in self._sizes]
        for start in range(0, len(pictures), self._batch):
            part = slice(start, min(start + self._batch, len(pictures)))
            count = part.stop - start
            filled = _filled(pictures[part], self._batch)
            dy = np.zeros((self._batch, *self._classes), np.float32)
            (scores,) = self._each.run({self._x: filled, "cotangent": dy}, [self._scores])
            dy[:count] = cotangents(part, scores[:count])
            found = self._each.run({self._x: filled, "cotangent": dy}, outputs)
            yield np.concatenate([g[:count].reshape(count, -1) for g in found], 1)
            advance(count)

    def tracin(
        self, training: Labelled, pictures: Labelled, *, advance: Advance = _unheard
    ) -> Array:
        """Return (m, n): the products of the gradients of m pictures and n training pictures.

        training, pictures: the pictures and their classes. Pruthi et al. 2020, of one checkpoint
        and the learning rate 1. Above 0: a step on the training picture lowers the loss of the
        picture.
        """
        rows = []
        for x, labels in self._blocks(pictures):
            of = np.concatenate(list(self.gradients(x, labels, advance)))
            parts = [of @ part.T for part in self.gradients(*training, advance)]
            rows.append(np.concatenate(parts, 1))
        return np.concatenate(rows)

    def _blocks(self, pictures: Labelled) -> Iterator[Labelled]:
        x, labels = pictures
        for start in range(0, len(x), self.at_once):
            yield x[start : start + self.at_once], labels[start : start + self.at_once]

    def mean_curvature(
        self, pictures: Array, rng: Generator, *, advance: Advance = _unheard
    ) -> float:
        """Return an estimate of the mean eigenvalue of the Gauss-Newton matrix of the mean loss.

        Its trace is the expected squared length of Jᵀ S v, with S Sᵀ = diag(p) - p pᵀ the Hessian
        by the scores and v random signs; one draw for each picture.
        """

        def drawn(_: slice, scores: Array) -> Array:
            p = softmax_rows(scores)
            root = np.sqrt(p)
            v = rng.choice((-1.0, 1.0), p.shape)
            return np.asarray(root * v - p * (root * v).sum(1, keepdims=True))

        trace = sum(
            float((part.astype(np.float64) ** 2).sum())
            for part in self._pulled(pictures, drawn, advance)
        )
        return trace / len(pictures) / self.parameters

    def influences(
        self,
        training: Labelled,
        pictures: Labelled,
        ridge: float,
        *,
        steps: int = 100,
        tolerance: float = 1e-4,
        advance: Advance = _unheard,
    ) -> tuple[Array, float]:
        """Return (m, n): by how much the loss of a picture rises without a training picture.

        Koh and Liang 2017 with the Gauss-Newton matrix G of the mean training loss in place of the
        Hessian, which need not be positive: ∇L(picture)ᵀ (G + ridge)⁻¹ ∇L(training picture) / n, to
        first order. ridge: above 0; that of the training, where it is known. steps: of conjugate
        gradients at most, each of which reads all training pictures for each picture. advance:
        counts the pictures that are read. Also the largest relative residual that is left.
        """
        if ridge <= 0:
            raise UsageError("the damping of influence is a number above 0.")
        rows, left = [], 0.0
        for x, labels in self._blocks(pictures):
            right = np.concatenate(list(self.gradients(x, labels, advance))).astype(np.float64)
            solved = np.zeros_like(right)
            for row, b in enumerate(right):
                solved[row], rest = self._solved(training[0], b, ridge, steps, tolerance, advance)
                left = max(left, rest)
            parts = self.gradients(*training, advance)
            rows.append(np.concatenate([solved @ g.astype(np.float64).T for g in parts], 1))
        return np.concatenate(rows) / len(training[0]), left

    def _solved(
        self,
        x: Array,
        b: Array,
        ridge: float,
        steps: int,
        tolerance: float,
        advance: Advance,
    ) -> tuple[Array, float]:
        """(G + ridge)⁻¹ b, and the relative residual."""
        solution, residual, direction = np.zeros_like(b), b.copy(), b.copy()
        first = square = float(b @ b)
        for _ in range(steps):
            if square <= first * tolerance**2:
                break
            product = self._product(x, direction, advance) + ridge * direction
            step = square / float(direction @ product)
            solution += step * direction
            residual -= step * product
            after = float(residual @ residual)
            direction = residual + after / square * direction
            square = after
        return solution, float(np.sqrt(square / first)) if first else 0.0

    def _product(self, x: Array, vector: Array, advance: Advance) -> Array:
        """The Gauss-Newton matrix of the mean loss over the pictures times a vector."""
        ends = np.cumsum([int(np.prod(size)) for size in self._sizes.values()])
        cut = zip(self._sizes.items(), np.split(vector, ends[:-1]), strict=True)
        feed = {f"{n}_vector": part.reshape(size).astype(np.float32) for (n, size), part in cut}
        outputs = [f"{name}_product" for name in self._sizes]

        def added(pictures: Array) -> Array:
            found = self._curvature.run({self._x: pictures, **feed}, outputs)
            return np.concatenate([part.reshape(-1) for part in found]).astype(np.float64)

        whole = len(x) - len(x) % self._batch
        total = np.zeros(len(vector))
        for start in range(0, whole, self._batch):
            total += added(x[start : start + self._batch])
            advance(self._batch)
        if rest := len(x) - whole:  # the same picture in all empty places: what it adds is known
            last = x[-1:]
            filled = np.concatenate([x[whole:], np.repeat(last, self._batch - rest, 0)])
            total += added(filled)
            alone = added(np.repeat(last, self._batch, 0)) / self._batch
            total -= (self._batch - rest) * alone
            advance(rest)
        return total / len(x)


@dataclass(frozen=True, eq=False)
class WholeCheckpoint:
    """A whole network with the pictures that its weights are asked about."""

    network: WholeNetwork
    training: Labelled
    pictures: Labelled

    def readings(self, steps: int = 0) -> int:
        """Return how many pictures TracIn reads; steps: influence, with so many at most."""
        training, pictures = len(self.training[1]), len(self.pictures[1])
        blocks = -(-pictures // self.network.at_once)
        solving = training * (1 + steps * pictures) if steps else 0
        return pictures + training * blocks + solving


def whole_network(run: Run) -> WholeNetwork:
    """Return the network of a run for its cross-entropy; it takes pictures in 0..1.

    By all numbers of the canonical graph that the scores can be differentiated by, but for single
    numbers and the stored statistics of BatchNormalization, which no gradient has trained.

    Raises ModelRefused: not a classifier of one class each, or no ONNX graph, or no weights in it.
    GradientUnavailable: operators without a gradient.
    """
    model = run.model
    file, task = model.identity.file, model.identity.task
    if model.outside is not None:
        raise ModelRefused(f"{file}: is no ONNX graph, and has no gradients by its weights.")
    if task == "embedding" or type(model.answer) is not Softmax:
        raise ModelRefused(
            f"{file}: gradients by all weights need a classifier of one class out of several, and "
            f"its task is {task}; leave --weights all out."
        )
    op = Emitter(new_graph(), "whole")
    picture = new_input(op.graph, PICTURE, (1, *model.picture_shape))
    scores = place_logits(op, model, picture)
    op.graph.outputs.append(scores)
    weights = _trained(op.graph, scores)
    if not weights:
        raise ModelRefused(f"{file}: no weights lie between pictures and scores.")
    parameters = sum(int(np.prod(static_shape(value))) for value in weights)
    names = [str(value.name) for value in weights]
    return WholeNetwork(
        into_proto(ir.Model(op.graph, ir_version=IR_VERSION)),
        names,
        batch=max(1, min(run.batch, LARGEST // parameters)),
        threads=run.threads,
        provider=model.provider,
    )


def _trained(graph: ir.Graph, scores: ir.Value) -> list[ir.Value]:
    own = [
        value
        for name, value in graph.initializers.items()
        if name.startswith(WITHIN)
        and value.dtype is not None
        and value.dtype.is_floating_point()
        and np.prod(static_shape(value)) > 1
        and not all(
            use.node.op_type == "BatchNormalization" and use.idx in STATISTICS
            for use in value.uses()
        )
    ]
    return carrying(graph, [scores], own)


def _filled(x: Array, count: int) -> Array:
    return np.concatenate([x, np.zeros((count - len(x), *x.shape[1:]), x.dtype)])
