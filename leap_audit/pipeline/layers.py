"""Which tensor of a graph a layer of the original network is, by what both compute.

Exporters rename tensors and fold layers into one another, so that names say little. A layer is
watched while the network itself computes, and the tensor of the graph that holds the same values is
the layer's.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.graph.shapes import shape_of
from leap_audit.ingest.source import framework_of
from leap_audit.measure.run import Run
from leap_audit.run.fallback import evaluating, pytorch
from leap_audit.run.session import Array
from leap_audit.text.names import did_you_mean

__all__ = ["LayerCall", "layer_calls", "layer_tensor", "nearest_tensor", "tensor_with"]

CLOSE = 1e-4
"""Relative difference up to which two tensors are the same."""


@dataclass(frozen=True, eq=False)
class LayerCall:
    """What a layer was called with, and what it returned."""

    layer: object
    inputs: tuple[Array, ...]
    output: Array


def layer_calls(model: Any, inputs: Array) -> list[LayerCall]:
    """Return the calls of all layers inside a torch.nn.Module or a Keras model, in their order.

    inputs: as the network itself takes them, (n, ...). Layers that take or return anything but
    tensors are left out; a block comes after the layers inside it.
    Raises UsageError: the model is a file or a graph, which has no layers.
    """
    calls: list[LayerCall] = []
    kind = framework_of(model)
    if kind == "torch" and hasattr(model, "named_modules"):
        torch = pytorch()
        like = next((p for p in model.parameters() if p.is_floating_point()), None)
        x = torch.as_tensor(np.array(inputs, np.float32))
        x = x if like is None else x.to(dtype=like.dtype, device=like.device)
        with ExitStack() as stack:
            stack.enter_context(evaluating(model))
            stack.enter_context(torch.no_grad())
            for module in model.modules():
                handle = module.register_forward_hook(
                    lambda layer, given, output: _note(calls, layer, given, output)
                )
                stack.callback(handle.remove)
            model(x)
        return calls
    if kind == "keras" and hasattr(model, "_flatten_layers"):
        with ExitStack() as stack:
            for layer in model._flatten_layers(include_self=False):
                stack.enter_context(_watched(layer, calls))
            model(np.asarray(inputs, np.float32), training=False)
        return calls
    raise UsageError(
        f"layer: a {type(model).__name__} has no layers to be named; name a tensor of its graph, "
        "or leave it out to have one chosen."
    )


def layer_tensor(
    run: Run, model: Any, layer: object, *, link: str = "output", node: int = -1
) -> str:
    """Return the name of the tensor that a layer takes (link "input") or returns ("output").

    model: the network whose graph the run has, with channels where it wants them. node: which of
    several calls of the layer. Where an exporter has folded what the layer returns into the layer
    after it, as a convolution into batch normalisation, that layer's output is taken, and a warning
    says so. Raises UsageError: the layer is not called, or no tensor holds its values.
    """
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((1, *run.model.picture_shape)).astype(np.float32)
    last = run.model.preprocessing.layout == "NHWC"
    calls = layer_calls(model, np.moveaxis(inputs, 1, -1) if last else inputs)
    own = [i for i, call in enumerate(calls) if call.layer is layer]
    label = f"layer: {_label(layer)}"
    if not own:
        raise UsageError(f"{label} is not called when the model runs; name another layer.")
    if not -len(own) <= node < len(own):
        raise UsageError(f"{label} is called {len(own)} times; there is no call {node}.")
    first = own[node]
    values = [calls[first].output]
    if link == "input":
        values = list(calls[first].inputs[:1])
    else:
        values += [c.output for c in calls[first + 1 :] if c.output.shape == values[0].shape]
    for place, each in enumerate(values):
        name = tensor_with(run, inputs, each)
        if name is not None:
            if place:
                warnings.warn(
                    f"{label} is folded into the layer after it in the graph; what that returns, "
                    f"{name!r}, is taken.",
                    stacklevel=2,
                )
            return name
    raise UsageError(f"{label}: no tensor of the graph holds its {link}; name another layer.")


def nearest_tensor(run: Run, name: str) -> str:
    """Return the name of a tensor of the graph. Raises UsageError: there is none; the nearest."""
    names = [str(value.name) for node in run.model.graph.graph for value in node.outputs]
    if name in names:
        return name
    raise UsageError(f"layer: the graph has no tensor {name!r}{did_you_mean(name, names)}")


def _label(layer: object) -> str:
    name = getattr(layer, "name", "")
    return f"{name!r}" if isinstance(name, str) and name else f"the {type(layer).__name__}"


@contextmanager
def _watched(layer: Any, calls: list[LayerCall]) -> Iterator[None]:
    own: Callable[..., Any] = layer.call

    def call(*given: Any, **named: Any) -> Any:
        output = own(*given, **named)
        _note(calls, layer, given, output)
        return output

    layer.call = call
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _note(calls: list[LayerCall], layer: object, given: Sequence[Any], output: Any) -> None:
    tensors = [_numbers(each) for each in given]
    result = _numbers(output)
    if result is not None:
        calls.append(LayerCall(layer, tuple(t for t in tensors if t is not None), result))


def _numbers(value: Any) -> Array | None:
    """The numbers of a tensor of either framework; None: it is none."""
    if hasattr(value, "detach"):
        return np.array(value.detach().cpu().numpy())
    if hasattr(value, "numpy") and hasattr(value, "shape"):
        return np.array(value.numpy())
    return None


def tensor_with(run: Run, inputs: Array, values: Array) -> str | None:
    """Return the name of the tensor of a model's graph that holds these values; None: none does.

    inputs: (n, channels, height, width), as the run takes them. values: what the layer computes of
    them, (n, ...), channels first or last.
    """
    sides = sorted(values.shape[1:])
    names = [
        str(value.name)
        for node in run.model.graph.graph
        for value in node.outputs
        if sorted((shape_of(value) or ())[1:]) == sides
    ]
    for name in names:
        found = run.activations(inputs, name)[name]
        if any(_same(found, each) for each in _orders(values)):
            return name
    return None


def _orders(values: Array) -> list[Array]:
    """The values, and with the channels at the other end."""
    if values.ndim != 4:
        return [values]
    return [values, np.moveaxis(values, -1, 1), np.moveaxis(values, 1, -1)]


def _same(a: Array, b: Array) -> bool:
    if a.shape != b.shape:
        return False
    largest = max(float(np.abs(b).max()), float(np.finfo(np.float32).tiny))
    return bool(np.abs(a - b).max() <= CLOSE * largest)
