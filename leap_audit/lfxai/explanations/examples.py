"""LFXAI's explainers by examples: attributions (test inputs, training inputs) of an encoder."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from leap_audit.errors import ConfigRefused
from leap_audit.foxai.arrays import as_before, input_batch, numbers_of
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.lfxai.explanations.encoder import (
    batches,
    channels_first,
    encoder_network,
    representations,
)
from leap_audit.measure.examples.gathered import Gathered
from leap_audit.measure.examples.last_layer import influences, mean_curvature, tracin
from leap_audit.measure.examples.neighbours import similarities
from leap_audit.measure.examples.simplex import mixtures
from leap_audit.pipeline.inputs import Network
from leap_audit.run.session import Array

__all__ = [
    "ExampleBasedExplainer",
    "InfluenceFunctions",
    "NearestNeighbours",
    "SimplEx",
    "TracIn",
]


class ExampleBasedExplainer(ABC):
    """What explainers by examples have in common."""

    def __init__(self, model: Any, X_train: Any = None, loss_f: Any = None) -> None:
        self.model = model
        self.X_train = X_train
        self.loss_f = loss_f

    @abstractmethod
    def attribute(self, X_test: Any, train_idx: Any, **kwargs: Any) -> Any:
        """Return (test inputs, training inputs) float32."""

    def _training(self, train_idx: Any) -> Array:
        if self.X_train is None:
            raise ConfigRefused(f"{self}: has no X_train; give it to the explainer.")
        chosen = input_batch(self.X_train)[np.asarray(numbers_of(train_idx), np.int64)]
        return channels_first(self.model, chosen)

    def _test(self, X_test: Any) -> Array:
        return channels_first(self.model, input_batch(X_test))

    def _batches(self, loader: Iterable[Any]) -> Iterator[tuple[Array, Array | None]]:
        """Batches of a loader, the inputs as (n, channels, height, width)."""
        return ((channels_first(self.model, inputs), known) for inputs, known in batches(loader))


class _OfRepresentations(ExampleBasedExplainer):
    """Explainers that compare representations."""

    def __init__(self, model: Any, loss_f: Any = None, X_train: Any = None) -> None:
        super().__init__(model, X_train, loss_f)

    def attribute(self, X_test: Any, train_idx: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Return (test inputs, training inputs) float32, of the kind that X_test is."""
        network = encoder_network(self.model)
        training = representations(network, self._training(train_idx))
        found = self.compared(representations(network, self._test(X_test)), training)
        return as_before(found, X_test)

    def attribute_loader(
        self,
        device: Any,  # noqa: ARG002
        train_loader: Iterable[Any],
        test_loader: Iterable[Any],
        **kwargs: Any,  # noqa: ARG002
    ) -> Any:
        """Return (test inputs, training inputs) float32 of all batches of the loaders."""
        network = encoder_network(self.model)
        training, test = (
            np.concatenate(
                [representations(network, inputs) for inputs, _ in self._batches(loader)]
            )
            for loader in (train_loader, test_loader)
        )
        return self.compared(test, training).astype(np.float32)

    @abstractmethod
    def compared(self, test: Array, training: Array) -> Array:
        """Return what the explainer gives for representations."""


class SimplEx(_OfRepresentations):
    """Weights of the mixture of training inputs nearest to each test input."""

    def compared(self, test: Array, training: Array) -> Array:
        """Return the weights, (test, training)."""
        return self.compute_weights(test, training)

    @staticmethod
    def compute_weights(
        batch_representations: Any, train_representations: Any, n_epoch: int = 1000
    ) -> Array:
        """Return the weights, (batch, training), ≥ 0 with the sum 1. n_epoch: steps at most."""
        training = Gathered.of(numbers_of(train_representations))
        test = Gathered.of(numbers_of(batch_representations))
        weights = np.zeros((len(test), len(training)), np.float32)
        for row, each in zip(weights, mixtures(training, test, steps=n_epoch), strict=True):
            row[each.places] = each.weights
        return weights

    def __str__(self) -> str:
        return "SimplEx"


class NearestNeighbours(_OfRepresentations):
    """1/‖h − h'‖² of each pair; infinite where two representations are the same."""

    def compared(self, test: Array, training: Array) -> Array:
        """Return 1/‖h − h'‖², (test, training)."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / similarities(training, test, "l2") ** 2)

    def __str__(self) -> str:
        return "Nearest Neighbours"


class _OfGradients(ExampleBasedExplainer):
    """Explainers of the cross-entropy of a classifier, by its last layer."""

    def __init__(
        self,
        model: Any,
        loss_f: Any = None,
        save_dir: Any = None,
        X_train: Any = None,
        y_train: Any = None,
    ) -> None:
        super().__init__(model, X_train, loss_f)
        self.save_dir = save_dir
        self.y_train = y_train

    def attribute(self, X_test: Any, train_idx: Any, **kwargs: Any) -> Any:
        """Return (test inputs, training inputs) float32. Test inputs count as their first class."""
        if self.y_train is None:
            raise ConfigRefused(f"{self}: has no y_train, the classes of X_train; give them.")
        labels = numbers_of(self.y_train)[np.asarray(numbers_of(train_idx), np.int64)]
        training = self._training(train_idx)
        found = self._summed([(training, labels)], [(self._test(X_test), None)], kwargs)
        return as_before(found, X_test)

    def attribute_loader(
        self,
        device: Any,  # noqa: ARG002
        train_loader: Iterable[Any],
        test_loader: Iterable[Any],
        **kwargs: Any,
    ) -> Any:
        """Return (test inputs, training inputs) float32 of all batches; both have labels."""
        return self._summed([*self._batches(train_loader)], [*self._batches(test_loader)], kwargs)

    @abstractmethod
    def compared(self, test: Gathered, training: Gathered, values: dict[str, Any]) -> Array:
        """Return what the explainer gives of one checkpoint."""

    def _summed(
        self, training: Sequence[Any], test: Sequence[Any], values: dict[str, Any]
    ) -> Array:
        models = getattr(self.model, "checkpoints_files", None) or [self.model]
        if isinstance(self, InfluenceFunctions):
            models = [self.model]
        total: Array | float = 0.0
        for model in models:
            network = model if isinstance(model, Network) else Network(model)
            total = total + self.compared(
                self._gathered(network, test), self._gathered(network, training), values
            )
        return np.asarray(total, np.float32)

    def _gathered(self, network: Network, several: Sequence[Any]) -> Gathered:
        features, scores, labels = [], [], []
        for inputs, known in several:
            channels, height, width = inputs.shape[1:]
            run = network.run((channels, height, width))
            if run.weights is None or type(run.model.answer) is not Softmax:
                raise ConfigRefused(
                    f"{self}: takes a classifier that ends in a linear layer and has a softmax; "
                    "the gradient of a loss of reconstruction takes all weights."
                )
            features.append(run.features(inputs))
            scores.append(run.logits(inputs))
            labels.append(scores[-1].argmax(1) if known is None else known.ravel())
        return Gathered.of(np.concatenate(features), np.concatenate(scores), np.concatenate(labels))


class InfluenceFunctions(_OfGradients):
    """By how much the loss of a test input rises without a training input."""

    def compared(self, test: Gathered, training: Gathered, values: dict[str, Any]) -> Array:
        """Return the influences, (test, training). `damp`: in units of the mean eigenvalue."""
        damping = float(values.get("damp", 1e-3)) * mean_curvature(training)
        return influences(training, test, max(damping, 1e-12))[0]

    def __str__(self) -> str:
        return "Influence Functions"


class TracIn(_OfGradients):
    """Products of gradients, summed over `model.checkpoints_files` where the model has them."""

    def compared(self, test: Gathered, training: Gathered, values: dict[str, Any]) -> Array:
        """Return the products times `learning_rate`, (test, training)."""
        return float(values.get("learning_rate", 1)) * tracin(training, test)

    def __str__(self) -> str:
        return "TracIn"
