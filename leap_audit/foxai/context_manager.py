"""FoXAI's context manager: explanations beside the model's answer."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from leap_audit.errors import UsageError
from leap_audit.foxai.arrays import as_before, input_batch
from leap_audit.foxai.base_explainer import Explainer, chosen_from
from leap_audit.foxai.explainer import CLASSIFICATION, DETECTION
from leap_audit.ingest.source import framework_of
from leap_audit.pipeline.inputs import Network
from leap_audit.run.fallback import evaluating, pytorch

__all__ = [
    "CVClassificationExplainers",
    "CVObjectDetectionExplainers",
    "ExplainerClassWithParams",
    "ExplainerWithParams",
    "Explainers",
    "FoXaiExplainer",
]

CVClassificationExplainers = Enum(  # type: ignore[misc]
    "CVClassificationExplainers",
    {name: each.__name__ for name, each in CLASSIFICATION.items()},
)
"""The explainers of classifiers, by FoXAI's names."""
CVObjectDetectionExplainers = Enum(  # type: ignore[misc]
    "CVObjectDetectionExplainers",
    {name: each.__name__ for name, each in DETECTION.items()},
)
Explainers = CVClassificationExplainers
"""As FoXAI called them before it had two kinds."""
ALL = {**CLASSIFICATION, **DETECTION}


@dataclass(init=False)
class ExplainerWithParams:
    """An explainer of an enumeration, or its name, with its parameters."""

    explainer_name: Any
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __init__(self, explainer_name: Any, **kwargs: Any) -> None:
        self.explainer_name = explainer_name
        self.kwargs = kwargs

    @property
    def key(self) -> str:
        """Return the name in the enumeration. Raises ConfigRefused: there is none; the nearest."""
        name = getattr(self.explainer_name, "name", self.explainer_name)
        return chosen_from("explainer_name", name, {each: each for each in ALL})


@dataclass(init=False)
class ExplainerClassWithParams:
    """An `Explainer` with its parameters."""

    explainer_class: Explainer
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __init__(self, explainer_class: Explainer, **kwargs: Any) -> None:
        self.explainer_class = explainer_class
        self.kwargs = kwargs


class FoXaiExplainer:
    """A model that explains what it answers.

        with FoXaiExplainer(model, [ExplainerWithParams(...)], target=3) as xai:
            output, explanations = xai(inputs)

    model: a torch.nn.Module, an ONNX file, or any other source of leap-audit. target: the class, or
    one for each input; None: the most probable. The weights are those at the start of the block; a
    module is in eval mode within it, and as it was after it.

    Raises UsageError: no explainers. ConfigRefused: one that there is not, or that is not offered.
    """

    def __init__(
        self, model: Any, explainers: Sequence[ExplainerWithParams], target: Any = 0
    ) -> None:
        if not explainers:
            raise UsageError("explainers: none; give at least one.")
        self.model = model
        self.target = target
        self.explainer_map: Mapping[str, ExplainerClassWithParams] = {
            f"{each.key}_{place}": ExplainerClassWithParams(ALL[each.key](), **each.kwargs)
            for place, each in enumerate(explainers)
        }
        for each in self.explainer_map.values():
            each.explainer_class.require_available()
        self._network = Network(model)
        self._stack = ExitStack()

    def __enter__(self) -> "FoXaiExplainer":
        self._network = Network(self.model)
        if framework_of(self.model) == "torch" and hasattr(self.model, "modules"):
            self._stack.enter_context(evaluating(self.model))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Return the model's output, and NAME_PLACE -> attributions of each explainer.

        The output is the module's own; of another source the scores of all classes, (n, classes).
        Raises UsageError: more than one input. Others: `Explainer.calculate_features`.
        """
        if len(args) != 1 or kwargs:
            raise UsageError("models of one input are explained; give the inputs alone.")
        (inputs,) = args
        output = self._output(inputs)
        return output, {
            name: each.explainer_class.calculate_features(
                self._network, inputs, self.target, **each.kwargs
            )
            for name, each in self.explainer_map.items()
        }

    def _output(self, inputs: Any) -> Any:
        if framework_of(self.model) == framework_of(inputs) == "torch":
            with evaluating(self.model), pytorch().no_grad():
                return self.model(inputs)
        batch = input_batch(inputs)
        channels, height, width = batch.shape[1:]
        return as_before(self._network.run((channels, height, width)).logits(batch), inputs)
