"""What every explainer of FoXAI does: inputs and parameters in, attributions of a method out."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from leap_audit.errors import ConfigRefused, PictureRefused, TargetRefused
from leap_audit.foxai.arrays import as_before, input_batch, numbers_of
from leap_audit.measure.attribution.places import default_layer
from leap_audit.measure.run import Run
from leap_audit.pipeline.explain import PictureExplanation
from leap_audit.pipeline.inputs import Network, explain_inputs
from leap_audit.pipeline.layers import layer_tensor, nearest_tensor
from leap_audit.run.session import Array
from leap_audit.text.names import did_you_mean

__all__ = [
    "Explainer",
    "Translated",
    "chosen_from",
    "classes_of",
    "network_of_model",
    "require_default",
    "tensor_of_layer",
]

COMMON = ("baselines", "layer", "attribute_to_layer_input", "additional_forward_args")
"""Parameters that every explainer takes, whether or not its method does something with them."""
WITHOUT_EFFECT = ("internal_batch_size", "nt_samples_batch_size", "perturbations_per_eval")
"""How much FoXAI computes together, which decides no number."""
Translated: TypeAlias = tuple[str, dict[str, Any]]
"""The name of a method of the registry, and its options."""


def network_of_model(model: Any) -> Network:
    """Return a model as `Network`; one that is open already is taken as it is."""
    return model if isinstance(model, Network) else Network(model)


class Explainer:
    """One explainer: `calculate_features` gives the attributions of a batch of inputs."""

    at_layer: ClassVar[bool] = False
    """Whether it explains a tensor inside the model; then attributions have that tensor's shape."""
    optional_layer: ClassVar[bool] = False
    """Whether it looks at a tensor inside the model, and explains the input."""
    distribution: ClassVar[bool] = False
    """Whether all baselines are drawn from for each input."""
    method: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}
    """The method of the registry, and its options, where no parameter decides them."""
    parameters: ClassVar[Mapping[str, Any]] = {}
    """Its own parameters, with their defaults."""
    missing: ClassVar[str] = ""
    """What leap-audit lacks for it; empty: nothing."""

    @property
    def algorithm_name(self) -> str:
        """Return the name of the class."""
        return type(self).__name__

    def require_available(self) -> None:
        """Raise ConfigRefused where leap-audit lacks what the explainer needs."""
        if self.missing:
            raise ConfigRefused(f"{self.algorithm_name}: {self.missing}.")

    def calculate_features(
        self, model: Any, input_data: Any, pred_label_idx: Any = None, **kwargs: Any
    ) -> Any:
        """Return the attributions of each input, float32: an array, or a tensor where inputs are.

        model: a torch.nn.Module, an ONNX file, or any other source of leap-audit. input_data: (n,
        channels, height, width), as the model takes it. pred_label_idx: a class, or one for each
        input; None: the most probable. kwargs: FoXAI's parameters of this explainer; `layer` is a
        module, its name, or a tensor of the graph.

        Raises ConfigRefused: a parameter that there is not, or that has no such value; the model
        lacks what the method needs. PictureRefused, TargetRefused: another shape or class.
        """
        self.require_available()
        values = self._values(kwargs)
        name, options = self.translated(values)
        inputs = input_batch(input_data)
        channels, height, width = inputs.shape[1:]
        network = network_of_model(model)
        run = network.run((channels, height, width))
        if self.at_layer or (self.optional_layer and values["layer"] is not None):
            options["at"] = tensor_of_layer(run, network.source, values)
        found = explain_inputs(
            run,
            inputs,
            classes_of(pred_label_idx, len(inputs), run.model.classes),
            name,
            options,
            baselines=self.baselines_of(values["baselines"], inputs),
        )
        return as_before(np.stack([self.shaped(e, inputs) for e in found]), input_data)

    def translated(self, values: dict[str, Any]) -> Translated:  # noqa: ARG002
        """Return the method of the registry, and its options, of these parameters."""
        return self.method, dict(self.options)

    def shaped(self, explanation: PictureExplanation, inputs: Array) -> Array:
        """Return what is given back of one explanation."""
        found = np.asarray(explanation.values)
        if self.at_layer:
            return found
        whole = found if found.ndim == 3 else found[None]
        return np.asarray(np.broadcast_to(whole, inputs.shape[1:]))

    def baselines_of(self, given: Any, inputs: Array) -> list[Array | None]:
        """Return the baselines of each input, (m, channels, height, width); None: zeros."""
        if given is None:
            return [None] * len(inputs)
        found = np.asarray(numbers_of(given), np.float32)
        shape = inputs.shape[1:]
        if found.ndim == 0:
            return [np.full((1, *shape), found, np.float32)] * len(inputs)
        if found.ndim in (4, 5) and found.shape[-3:] == shape:
            if self.distribution:
                return [found.reshape(-1, *shape)] * len(inputs)
            several = found if found.ndim == 5 else found[None]
            if several.shape[1] in (1, len(inputs)):
                whole = np.broadcast_to(several, (len(several), *inputs.shape))
                return [np.ascontiguousarray(whole[:, i]) for i in range(len(inputs))]
        raise PictureRefused(
            f"baselines: the shape {list(found.shape)} for inputs of {list(inputs.shape)}; give "
            "that shape, or several of it, which are averaged."
        )

    def _values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, those of the caller over the defaults."""
        names = [*COMMON, *self.parameters]
        if "target" in given:
            raise ConfigRefused(
                "target: the class is FoXaiExplainer's target, or pred_label_idx; FoXAI passes "
                "over one among an explainer's parameters."
            )
        for name in given:
            if name not in names and name not in WITHOUT_EFFECT:
                raise ConfigRefused(
                    f"{self.algorithm_name}: there is no parameter {name!r}"
                    f"{did_you_mean(name, names)}"
                )
        if given.get("additional_forward_args") is not None:
            raise ConfigRefused(
                "additional_forward_args: models of one input are explained; fix the others when "
                "the model is exported."
            )
        return {**dict.fromkeys(COMMON), **self.parameters, **given}


def tensor_of_layer(run: Run, model: Any, values: Mapping[str, Any]) -> str:
    """Return the tensor of the graph that a layer is, by its name; without a layer, a default."""
    layer = values["layer"]
    if layer is None:
        return default_layer(run.model).name
    if isinstance(layer, str):
        inside = dict(model.named_modules()) if hasattr(model, "named_modules") else {}
        if layer not in inside:
            return nearest_tensor(run, layer)
        layer = inside[layer]
    link = "input" if values["attribute_to_layer_input"] else "output"
    return layer_tensor(run, model, layer, link=link)


def classes_of(target: Any, count: int, classes: int) -> list[int | None]:
    """Return the class of each input; None: the most probable. Raises TargetRefused: no class."""
    if target is None:
        return [None] * count
    found = numbers_of(target)
    if not np.issubdtype(found.dtype, np.integer) or found.size not in (1, count):
        raise TargetRefused(
            f"target: {found.size} values of {found.dtype}; give one class, or one for each of the "
            f"{count} inputs."
        )
    several = [int(k) for k in found.ravel()] * (count if found.size == 1 else 1)
    for each in several:
        if not 0 <= each < classes:
            raise TargetRefused(
                f"target: there is no class {each}; the model has {classes}, from 0 on."
            )
    return list(several)


def chosen_from(what: str, given: Any, table: Mapping[str, str]) -> str:
    """Return what a name stands for. Raises ConfigRefused: there is none; the nearest."""
    if given in table:
        return table[given]
    raise ConfigRefused(f"{what}: there is no {given!r}{did_you_mean(str(given), table)}")


def require_default(values: Mapping[str, Any], defaults: Mapping[str, Any], why: str) -> None:
    """Raise ConfigRefused where a parameter has another value than the default."""
    for name, default in defaults.items():
        if values[name] != default:
            raise ConfigRefused(f"{name}: {why}; leave it out.")
