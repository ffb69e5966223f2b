"""What of a model is explained, and where: keras_explainable.inspection."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.ingest.source import framework_of
from leap_audit.keras_explainable.filters import SPATIAL_AXIS
from leap_audit.measure.run import Run
from leap_audit.pipeline.inputs import Network
from leap_audit.pipeline.layers import layer_calls, layer_tensor, nearest_tensor, tensor_with
from leap_audit.run.session import Array
from leap_audit.text.names import did_you_mean

__all__ = [
    "Endpoint",
    "Exposed",
    "biases",
    "endpoints",
    "expose",
    "find_layer_with",
    "gather_units",
    "get_global_pooling_layer",
    "get_logits_layer",
    "get_nested_layer",
    "layers_with_biases",
    "require_axes",
    "units_of",
]

KERNEL_AXIS = -1
CLOSE = 1e-4


@dataclass(frozen=True)
class Endpoint:
    """What a layer takes or returns, or a tensor of a graph."""

    layer: object
    """A layer of the model, or the name of a tensor of its graph; None: chosen."""
    link: str = "output"
    node: int = -1
    """Which call of the layer; the last is -1."""


@dataclass(eq=False)
class Exposed:
    """A model with the tensor that its maps are made of; its weights are those of its first use."""

    model: Any
    argument: Endpoint | None = None
    output: Endpoint | None = None
    _networks: list[Network] = field(default_factory=list)
    _at: dict[tuple[int, int, int], str] = field(default_factory=dict)

    def run(self, size: tuple[int, int, int]) -> Run:
        """Return the model ready to run on inputs of (channels, height, width)."""
        if not self._networks:
            network = Network(self.model)
            run = network.run(size)
            scores = self._scores(run)
            self._networks.append(network if scores is None else network.at_output(scores))
        return self._networks[0].run(size)

    def at(self, run: Run) -> str | None:
        """Return the tensor that maps are made of, by its name in the graph; None: chosen."""
        if self.argument is None or self.argument.layer is None:
            return None
        size = run.model.picture_shape
        if size not in self._at:
            self._at[size] = self._tensor(run, self.argument)
        return self._at[size]

    def _tensor(self, run: Run, endpoint: Endpoint) -> str:
        if isinstance(endpoint.layer, str):
            return nearest_tensor(run, endpoint.layer)
        return layer_tensor(run, self.model, endpoint.layer, link=endpoint.link, node=endpoint.node)

    def _scores(self, run: Run) -> str | None:
        """The tensor of the scores, where it is another than the model's own."""
        if self.output is None or self.output.layer is None:
            return None
        if isinstance(self.output.layer, str):
            return nearest_tensor(run, self.output.layer)
        inputs = np.random.default_rng(0).random((1, *run.model.picture_shape), np.float32)
        last = run.model.preprocessing.layout == "NHWC"
        calls = layer_calls(self.model, np.moveaxis(inputs, 1, -1) if last else inputs)
        own = [call.output for call in calls if call.layer is self.output.layer]
        (scores,) = run.logits(inputs)
        ends = [scores, calls[-1].output.ravel()]  # what is after it may be a softmax
        if not own or any(_alike(own[-1].ravel(), end) for end in ends):
            return None
        name = tensor_with(run, inputs, own[-1])
        if name is None:
            raise UsageError("outputs: no tensor of the graph holds what that layer returns.")
        return name


def _alike(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max() <= CLOSE * max(np.abs(b).max(), 1))


def expose(model: Any, arguments: Any = None, outputs: Any = None) -> Exposed:
    """Return a model with the tensor that its maps are made of, and that of its scores.

    model: a Keras model, a torch.nn.Module, an ONNX file or proto, or any other source of
    leap-audit. arguments: None chooses the map that is averaged before the classes; else a layer,
    its name or number, a dict with "name" or "layer", and "link" ("output" or "input") and "node";
    or the name of a tensor of an ONNX graph. Several are those of `full_gradients`, which finds
    all biases itself. outputs: of the scores, likewise; None: the model's own.

    Raises UsageError: there is no such layer.
    """
    model = model.model if isinstance(model, Exposed) else model
    several = isinstance(arguments, list) and len(arguments) != 1
    argument = None if several or arguments is None else endpoints(model, arguments)[0]
    output = None if outputs is None else endpoints(model, outputs)[0]
    return Exposed(model, argument, output)


def endpoints(model: Any, described: Any) -> list[Endpoint]:
    """Return the endpoints that layers, names, numbers or dicts describe.

    Raises UsageError: there is no such layer, or the description is of another type.
    """
    several = described if isinstance(described, list) else [described]
    return [_endpoint(model, each) for each in several]


def _endpoint(model: Any, described: Any) -> Endpoint:
    if isinstance(described, Endpoint):
        return described
    if isinstance(described, dict):
        link, node = described.get("link", "output"), described.get("node", "last")
        if link not in ("output", "input") or not (node == "last" or isinstance(node, int)):
            raise UsageError(
                'arguments: "link" is "output" or "input", and "node" a number or "last".'
            )
        what = described["layer"] if "layer" in described else described.get("name")
        return Endpoint(_layer(model, what), link, -1 if node == "last" else node)
    return Endpoint(_layer(model, described))


def _layer(model: Any, what: Any) -> object:
    if isinstance(what, int) and hasattr(model, "layers"):
        return model.layers[what]
    if isinstance(what, str | tuple):
        return get_nested_layer(model, what)
    if framework_of(what):
        return what
    raise UsageError(
        f"arguments: a {type(what).__name__} describes no layer; give a layer, its name or number, "
        'or a dict with "name", "link" and "node".'
    )


def get_nested_layer(model: Any, name: str | Sequence[str]) -> Any:
    """Return a layer by its name, or by the names of the models around it and its own.

    Of a model without layers, such as an ONNX file, the name itself, which is a tensor's.
    Raises UsageError: there is no such layer; the nearest name.
    """
    for each in (name,) if isinstance(name, str) else tuple(name):
        if hasattr(model, "named_modules"):
            inside = dict(model.named_modules())
        elif hasattr(model, "layers"):
            inside = {layer.name: layer for layer in model.layers}
        else:
            return each
        if each not in inside:
            raise UsageError(f"the model has no layer {each!r}{did_you_mean(each, inside)}")
        model = inside[each]
    return model


def get_logits_layer(model: Any, name: str | None = None) -> Any:
    """Return the last layer with a kernel; of a model that is none of Keras, what stands for it."""
    if name is None and not hasattr(model, "_flatten_layers"):
        return Endpoint(None)
    return find_layer_with(model, name, properties=("kernel",))


def get_global_pooling_layer(model: Any, name: str | None = None) -> Any:
    """Return the last layer that pools or flattens all places."""
    if name is None and not hasattr(model, "_flatten_layers"):
        return Endpoint(None)
    return find_layer_with(model, name, klass=("Flatten", "Global"))


def find_layer_with(
    model: Any,
    name: str | None = None,
    properties: Sequence[str] | None = None,
    klass: Any = None,
    search_reversed: bool = True,
) -> Any:
    """Return the last layer (or the first) with a name, or with all properties and of a class.

    klass: classes, or how their names begin. Raises UsageError: there is no such layer.
    """
    if name is not None:
        return get_nested_layer(model, name)
    if properties is None and klass is None:
        raise UsageError("find_layer_with: give a name, properties or a class.")
    for layer in _flat(model, search_reversed):
        if klass is not None and not _of_class(layer, klass):
            continue
        if all(hasattr(layer, each) for each in properties or ()):
            return layer
    raise UsageError(f"the model has no layer of the class {klass} with {properties}; name one.")


def _of_class(layer: Any, klass: Any) -> bool:
    several = klass if isinstance(klass, tuple | list) else (klass,)
    prefixes = tuple(each for each in several if isinstance(each, str))
    classes = tuple(each for each in several if isinstance(each, type))
    return isinstance(layer, classes) or type(layer).__name__.startswith(prefixes)


def _flat(model: Any, backwards: bool = False) -> list[Any]:
    """All layers of a Keras model, in the order in which they are called."""
    found: list[Any] = []
    for layer in model.layers:
        found += _flat(layer) if getattr(layer, "layers", None) else [layer]
    return found[::-1] if backwards else found


def gather_units(
    tensor: Any, indices: Any = None, axis: int = KERNEL_AXIS, batch_dims: int = -1
) -> Array:
    """Return scores (n, classes) at the units of each input, (n, units); None: all of them.

    Raises UsageError: indices of another shape, another axis, or a unit that there is not.
    """
    values = np.asarray(tensor)
    if indices is None:
        return values
    units = units_of(indices, len(values), values.shape[-1], axis, batch_dims)
    return np.take_along_axis(values, units, -1)


def units_of(
    indices: Any, count: int, classes: int, axis: int = KERNEL_AXIS, batch_dims: int = -1
) -> Array:
    """Return (n, units) int of what the caller declares; None: all classes, for each input."""
    if axis != KERNEL_AXIS or batch_dims not in (-1, 1):
        raise UsageError(
            f"indices_axis {axis} and indices_batch_dims {batch_dims}: units are those of the last "
            "axis, of each input its own; leave them out."
        )
    if indices is None:
        return np.tile(np.arange(classes), (count, 1))
    units = np.asarray(indices)
    if units.ndim != 2 or len(units) != count or not np.issubdtype(units.dtype, np.integer):
        hint = f"; give {(count, 1)}, one list of units for each input" if units.ndim == 1 else ""
        raise UsageError(
            f"y: {units.dtype} of the shape {units.shape} for {count} inputs; it is (inputs, "
            f"units), integers{hint}."
        )
    if units.size and not (-classes <= units.min() and units.max() < classes):
        raise UsageError(f"y: there is no unit {units.max()}; the model has {classes}, from 0 on.")
    return units % classes


def layers_with_biases(model: Any, exclude: Sequence[Any] = (), return_biases: bool = True) -> Any:
    """Return the layers of a Keras model that have a bias, and the biases beside them.

    Of another model, two empty lists: `full_gradients` finds the biases of every graph itself.
    """
    layers: list[Any] = []
    if hasattr(model, "_flatten_layers"):
        out = [id(each) for each in exclude]
        layers = [each for each in _flat(model) if id(each) not in out and _biased(each)]
    return (layers, biases(layers)) if return_biases else layers


def _biased(layer: Any) -> bool:
    return hasattr(layer, "moving_mean") or getattr(layer, "bias", None) is not None


def biases(layers: Sequence[Any]) -> list[Array]:
    """Return the bias of each layer of Keras, (channels,); batch normalisation's is implicit.

    beta - mean · gamma / sqrt(variance + epsilon), with the layer's own epsilon.
    """
    found = []
    for layer in layers:
        if not hasattr(layer, "moving_mean"):
            found.append(np.asarray(layer.bias))
            continue
        mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
        gamma = 1.0 if layer.gamma is None else np.asarray(layer.gamma)
        beta = 0.0 if layer.beta is None else np.asarray(layer.beta)
        found.append(np.asarray(beta - mean * gamma / np.sqrt(variance + layer.epsilon)))
    return found


def require_axes(spatial_axis: Sequence[int]) -> None:
    """Raise UsageError where rows and columns are not the second and the third axis."""
    if tuple(spatial_axis) not in (SPATIAL_AXIS, (1, 2)):
        raise UsageError(
            f"spatial_axis {tuple(spatial_axis)}: inputs are (n, height, width, channels), so that "
            "it is (-3, -2)."
        )
