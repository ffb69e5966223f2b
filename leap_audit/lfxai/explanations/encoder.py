"""Encoders as LFXAI takes them, and batches of its loaders."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from leap_audit.errors import ModelRefused, PictureRefused
from leap_audit.foxai.arrays import input_batch, numbers_of
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.ingest.source import framework_of
from leap_audit.measure.run import Run
from leap_audit.pipeline.inputs import Network
from leap_audit.run.session import Array

__all__ = [
    "as_given",
    "batches",
    "channels_first",
    "encoder_network",
    "encoder_run",
    "representations",
]


def encoder_network(model: Any) -> Network:
    """Return the encoder of a model, `model.encoder` where it has one, as a `Network`."""
    if isinstance(model, Network):
        return model
    return Network(getattr(model, "encoder", model), encoder=True)


def encoder_run(network: Network, inputs: Array) -> Run:
    """Return an encoder ready for inputs of this size. Raises ModelRefused: it is none."""
    channels, height, width = inputs.shape[1:]
    run = network.run((channels, height, width))
    if type(run.model.answer) is not Softmax:
        raise ModelRefused("encoder: gives probabilities or a map of answers, and no features.")
    return run


def channels_first(model: Any, inputs: Array) -> Array:
    """Return inputs as (n, channels, height, width); those of Keras have the channels last."""
    return np.ascontiguousarray(np.moveaxis(inputs, 3, 1)) if _of_keras(model) else inputs


def as_given(model: Any, maps: Array) -> Array:
    """Return maps, (..., channels, height, width), with the channels where the inputs have them."""
    return np.ascontiguousarray(np.moveaxis(maps, -3, -1)) if _of_keras(model) else maps


def _of_keras(model: Any) -> bool:
    source = model.source if isinstance(model, Network) else getattr(model, "encoder", model)
    return framework_of(source) == "keras"


def representations(network: Network, inputs: Array) -> Array:
    """Return the representations of inputs, (n, features), float64."""
    return encoder_run(network, inputs).logits(inputs).astype(np.float64)


def batches(loader: Iterable[Any]) -> Iterator[tuple[Array, Array | None]]:
    """Yield the inputs and labels of each batch of a loader, which may give inputs alone.

    The inputs lie as the loader has them.
    """
    count = 0
    for batch in loader:
        pair = batch if isinstance(batch, tuple | list) else (batch, None)
        count += 1
        yield input_batch(pair[0]), None if pair[1] is None else numbers_of(pair[1])
    if not count:
        raise PictureRefused("the loader gives no batch.")
