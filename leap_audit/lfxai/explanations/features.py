"""`attribute_auxiliary` and `attribute_individual_dim`: which pixels make the representation."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from leap_audit.errors import ConfigRefused, PictureRefused
from leap_audit.foxai.arrays import numbers_of
from leap_audit.lfxai.explanations.encoder import (
    as_given,
    batches,
    channels_first,
    encoder_network,
    encoder_run,
    representations,
)
from leap_audit.measure.targets import DirectionTarget
from leap_audit.pipeline.explain import methods
from leap_audit.pipeline.inputs import Network, explain_inputs
from leap_audit.run.session import Array
from leap_audit.text.names import did_you_mean

__all__ = ["attribute_auxiliary", "attribute_individual_dim"]


def attribute_auxiliary(
    encoder: Any,
    data_loader: Iterable[Any],
    device: Any,  # noqa: ARG001
    attr_method: Any,
    baseline: Any = None,
    **options: Any,
) -> Array:
    """Return the label-free attributions of all inputs, (n, channels, height, width), float32.

    Of a Keras model inputs and attributions are (n, height, width, channels). The attributions are
    those of Σ_j f_j(x) f_j(x'), with f(x) fixed, at x' = x (Crabbé and van der Schaar 2022).
    encoder: a module, an ONNX file or another source. data_loader: batches of (inputs, labels), or
    of inputs. device: ignored. attr_method: an instance or class of captum, its name, or the name
    of a method of the registry. baseline: an array or tensor, or a function of the inputs; None:
    zeros. options: those of the method.

    Raises ConfigRefused: no such method. PictureRefused: another shape.
    """
    network, name = encoder_network(encoder), _method(attr_method)
    found = []
    for given, _ in batches(data_loader):
        inputs = channels_first(network, given)
        targets = [DirectionTarget(h) for h in representations(network, inputs)]
        run = encoder_run(network, inputs)
        against = _baselines(baseline, given, network)
        several = explain_inputs(run, inputs, targets, name, options, baselines=against)
        found += [_whole(each.values, inputs) for each in several]
    return as_given(network, np.stack(found))


def attribute_individual_dim(
    encoder: Any,
    dim_latent: int,
    data_loader: Iterable[Any],
    device: Any,  # noqa: ARG001
    attr_method: Any,
    baseline: Any = None,
    **options: Any,
) -> Array:
    """Return |f_d(x) · attribution of f_d| of every dimension d, float32.

    Of inputs of one channel (n, dimensions, height, width), as LFXAI has it; of others (n,
    dimensions, channels, height, width). dim_latent: how many dimensions, from the first on. Other
    parameters as of `attribute_auxiliary`.
    """
    network, name = encoder_network(encoder), _method(attr_method)
    found = []
    for given, _ in batches(data_loader):
        inputs = channels_first(network, given)
        h, run = representations(network, inputs), encoder_run(network, inputs)
        if not 1 <= dim_latent <= h.shape[1]:
            raise ConfigRefused(
                f"dim_latent: {dim_latent}; the encoder has {h.shape[1]} dimensions."
            )
        against = _baselines(baseline, given, network)
        maps = [
            [
                _whole(each.values, inputs)
                for each in explain_inputs(
                    run,
                    inputs,
                    [DirectionTarget(np.eye(h.shape[1])[d])] * len(inputs),
                    name,
                    options,
                    baselines=against,
                )
            ]
            for d in range(dim_latent)
        ]
        stacked = np.moveaxis(np.stack([np.stack(each) for each in maps]), 0, 1)
        weighed = np.abs(h[:, :dim_latent, None, None, None] * stacked)
        found.append(weighed[:, :, 0] if inputs.shape[1] == 1 else as_given(network, weighed))
    return np.concatenate(found).astype(np.float32)


def _method(given: Any) -> str:
    """The name in the registry of a method of captum, by its class, or of the registry itself."""
    if isinstance(given, str):
        name = given
    else:
        name = given.__name__ if isinstance(given, type) else type(given).__name__
    table = methods()
    if name in table:
        return name
    peers = {
        each.traits.peers["captum"]: key
        for key, each in table.items()
        if "captum" in each.traits.peers
    }
    if name in peers:
        return peers[name]
    raise ConfigRefused(f"attr_method: there is no {name!r}{did_you_mean(name, [*table, *peers])}")


def _baselines(given: Any, inputs: Array, network: Network) -> list[Array | None]:
    """The baseline of each input, (1, channels, height, width); `inputs` and `given` lie alike."""
    if given is None:
        given = 0.0
    is_array = hasattr(given, "shape") or isinstance(given, int | float)
    found = np.asarray(numbers_of(given if is_array else given(inputs)), np.float32)
    try:
        whole = np.broadcast_to(found, inputs.shape)
    except ValueError:
        raise PictureRefused(
            f"baseline: the shape {list(found.shape)} for inputs of {list(inputs.shape)}."
        ) from None
    return [np.ascontiguousarray(each[None]) for each in channels_first(network, whole)]


def _whole(values: Array, inputs: Array) -> Array:
    found = values if values.ndim == 3 else values[None]
    return np.asarray(np.broadcast_to(found, inputs.shape[1:]), np.float32)
