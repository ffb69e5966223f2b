"""TracIn and influence functions of a whole network, by the gradients of all its weights.

Both need the gradient of each training picture by itself, in batches; none is kept. The features of
the last layer are enough for most questions, and a thousand times as fast (`last_layer.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from leap_audit.errors import ModelRefused, UsageError
from leap_audit.gradient.build import OF, build_gradient
from leap_audit.gradient.curvature import gauss_newton_product
from leap_audit.graph.protos import real_inputs
from leap_audit.ingest.files.onnx import model_of
from leap_audit.measure.examples.gathered import softmax_rows
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array, Session

__all__ = ["WholeNetwork"]


class WholeNetwork:
    """The cross-entropy of a classifier, differentiated by some or all of its weights.

    model: gives scores, not probabilities. weights: names of its initializers. batch: pictures
    computed at once; as many gradients are in memory. of, shapes: as in `build_gradient`. threads:
    0 takes one per core.

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
    ) -> None:
        proto = model_of(model)
        inputs = real_inputs(proto)
        if len(inputs) != 1:
            raise ModelRefused(f"the model takes {len(inputs)} inputs, not one.")
        self._batch, self._x, cpu = batch, inputs[0].name, choose_provider("cpu")
        gradient = build_gradient(
            proto, batch=batch, wrt=list(weights), of=of, shapes=shapes, per_item=True
        )
        self._scores = next(p.value for p in gradient.metadata_props if p.key == OF)
        product = gauss_newton_product(proto, batch=batch, wrt=list(weights), of=of, shapes=shapes)
        sizes = {
            v.name.removesuffix("_vector"): tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in product.graph.input
            if v.name.endswith("_vector")
        }
        self._sizes = {name: sizes[name] for name in dict.fromkeys(weights)}
        self._each = Session(gradient, cpu, threads)
        self._curvature = Session(product, cpu, threads)
        (y,) = (v for v in gradient.graph.output if v.name == self._scores)
        self._classes = [d.dim_value for d in y.type.tensor_type.shape.dim][1:]
        if len(self._classes) != 1:
            raise ModelRefused(f"{self._scores!r} has the shape {self._classes}, not the classes'.")

    @property
    def parameters(self) -> int:
        """Return the number of parameters that count."""
        return sum(int(np.prod(size)) for size in self._sizes.values())

    def gradients(self, pictures: Array, labels: Array) -> Iterator[Array]:
        """Yield the gradients of the loss of each picture by all weights, (batch, parameters).

        pictures: (n, *shape of the input). labels: (n,) class numbers. The last batch is as short
        as what is left.
        """
        if len(pictures) != len(labels):
            raise UsageError(f"{len(pictures)} pictures have {len(labels)} labels")
        outputs = [f"{name}_grad" for name in self._sizes]
        for start in range(0, len(pictures), self._batch):
            x = pictures[start : start + self._batch]
            shown = labels[start : start + self._batch]
            blank = np.zeros((self._batch, *self._classes), np.float32)
            filled = _filled(x, self._batch)
            (scores,) = self._each.run({self._x: filled, "cotangent": blank}, [self._scores])
            delta = blank.copy()
            delta[: len(x)] = softmax_rows(scores)[: len(x)]
            delta[np.arange(len(x)), shown] -= 1
            found = self._each.run({self._x: filled, "cotangent": delta}, outputs)
            yield np.concatenate([g[: len(x)].reshape(len(x), -1) for g in found], 1)

    def tracin(self, training: tuple[Array, Array], pictures: tuple[Array, Array]) -> Array:
        """Return (m, n): the products of the gradients of m pictures and n training pictures.

        training, pictures: the pictures and their classes. Pruthi et al. 2020, of one checkpoint
        and the learning rate 1. Above 0: a step on the training picture lowers the loss of the
        picture.
        """
        of = np.concatenate(list(self.gradients(*pictures)))
        return np.concatenate([of @ part.T for part in self.gradients(*training)], 1)

    def influences(
        self,
        training: tuple[Array, Array],
        pictures: tuple[Array, Array],
        ridge: float,
        *,
        steps: int = 100,
        tolerance: float = 1e-4,
        advance: Callable[[], object] = lambda: None,
    ) -> tuple[Array, float]:
        """Return (m, n): by how much the loss of a picture rises without a training picture.

        Koh and Liang 2017 with the Gauss-Newton matrix G of the mean training loss in place of the
        Hessian, which need not be positive: ∇L(picture)ᵀ (G + ridge)⁻¹ ∇L(training picture) / n, to
        first order. ridge: above 0; that of the training, where it is known. steps: of conjugate
        gradients at most, each of which reads all training pictures for each picture. Also the
        largest relative residual that is left.
        """
        if ridge <= 0:
            raise UsageError("the damping of influence is a number above 0.")
        right = np.concatenate(list(self.gradients(*pictures))).astype(np.float64)
        solved = np.zeros_like(right)
        left = 0.0
        for row, b in enumerate(right):
            solved[row], rest = self._solved(training[0], b, ridge, steps, tolerance, advance)
            left = max(left, rest)
        parts = [solved @ part.astype(np.float64).T for part in self.gradients(*training)]
        return np.concatenate(parts, 1) / len(training[0]), left

    def _solved(
        self,
        x: Array,
        b: Array,
        ridge: float,
        steps: int,
        tolerance: float,
        advance: Callable[[], object],
    ) -> tuple[Array, float]:
        """(G + ridge)⁻¹ b, and the relative residual."""
        solution, residual, direction = np.zeros_like(b), b.copy(), b.copy()
        first = square = float(b @ b)
        for _ in range(steps):
            if square <= first * tolerance**2:
                break
            product = self._product(x, direction) + ridge * direction
            step = square / float(direction @ product)
            solution += step * direction
            residual -= step * product
            after = float(residual @ residual)
            direction = residual + after / square * direction
            square = after
            advance()
        return solution, float(np.sqrt(square / first)) if first else 0.0

    def _product(self, x: Array, vector: Array) -> Array:
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
        if rest := len(x) - whole:  # the same picture in all empty places: what it adds is known
            last = x[-1:]
            filled = np.concatenate([x[whole:], np.repeat(last, self._batch - rest, 0)])
            total += added(filled)
            alone = added(np.repeat(last, self._batch, 0)) / self._batch
            total -= (self._batch - rest) * alone
        return total / len(x)


def _filled(x: Array, count: int) -> Array:
    return np.concatenate([x, np.zeros((count - len(x), *x.shape[1:]), x.dtype)])
