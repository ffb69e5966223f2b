"""Small detectors of queries, of the shape in which Transformers exports YOLOS and DETR."""

import numpy as np
import onnx

from leap_audit.run.session import Array
from tests.builders.detectors import SIDE, NetWriter

__all__ = ["CHANNELS", "LOOKED_AT", "PLACES", "QUERIES", "detr_of_attention", "yolos"]

PATCH = 16
PLACES = (SIDE // PATCH, SIDE // PATCH)
"""Rows and columns of the patches."""
HEADS, NUMBERS = 2, 16
"""Of an attention. Its 16 numbers for each of 16 patches look like a map of the picture."""
CHANNELS = HEADS * NUMBERS
LOOKED_AT = "looked_at"
"""Name of the tensor whose places the detections look at last."""
QUERIES = 9
"""Detections, which are as many as the places of a map of 3 × 3."""


def _linear(net: NetWriter, x: str, inputs: int, outputs: int, scale: float = 1.2) -> str:
    weights = net.rng.normal(0, scale / np.sqrt(inputs), (inputs, outputs))
    return str(net("Add", net("MatMul", x, weights), net.rng.normal(0, 0.3, outputs)))


def _normed(net: NetWriter, x: str, name: str = "") -> str:
    scale, bias = net.rng.normal(1, 0.2, CHANNELS), net.rng.normal(0, 0.2, CHANNELS)
    return str(net("LayerNormalization", x, scale, bias, axis=-1, name=name))


def _heads(net: NetWriter, x: str) -> str:
    split = net("Reshape", x, np.array([0, -1, HEADS, NUMBERS]))
    return str(net("Transpose", split, perm=[0, 2, 1, 3]))


def _attention(net: NetWriter, queries: str, keys: str, values: str, at: Array | None) -> str:
    """Every query looks at every key. at: positions, which are added to the keys."""
    sought = keys if at is None else str(net("Add", keys, at))
    q, k, v = (
        _heads(net, _linear(net, each, CHANNELS, CHANNELS)) for each in (queries, sought, values)
    )
    scores = net("MatMul", q, net("Transpose", k, perm=[0, 1, 3, 2]))
    weights = net("Softmax", net("Mul", scores, np.array(NUMBERS**-0.5)), axis=-1)
    joined = net("Transpose", net("MatMul", weights, v), perm=[0, 2, 1, 3])
    joined = net("Reshape", joined, np.array([0, -1, CHANNELS]))
    return _linear(net, joined, CHANNELS, CHANNELS)


def _widened(net: NetWriter, x: str) -> str:
    wide = net("Relu", _linear(net, x, CHANNELS, CHANNELS))
    return _linear(net, str(wide), CHANNELS, CHANNELS)


def _patches(net: NetWriter) -> str:
    """(n, places, channels) of a picture."""
    x = net.conv("image", 3, CHANNELS, PATCH, 3.0)
    return str(net("Transpose", net("Reshape", x, np.array([0, CHANNELS, -1])), perm=[0, 2, 1]))


def _answered(net: NetWriter, x: str, hidden: str, classes: int, names: tuple[str, str]) -> None:
    """Logits and boxes of queries, and what they are computed from, as Transformers gives it."""
    logits = _linear(net, x, CHANNELS, classes + 1, 3.0)
    wide = str(net("Relu", _linear(net, x, CHANNELS, CHANNELS)))
    box = net("Sigmoid", _linear(net, wide, CHANNELS, 4))
    net("Identity", logits, name=names[0])
    net("Identity", box, name=names[1])
    net("Identity", hidden, name="last_hidden_state")


def yolos(names: tuple[str, str] = ("logits", "pred_boxes"), classes: int = 5) -> onnx.ModelProto:
    """Two layers of attention among a class token, the patches, and a token for each detection."""
    net = NetWriter()
    patches = _patches(net)
    around = [net.rng.normal(0, 1, (1, count, CHANNELS)) for count in (1, QUERIES)]
    x = str(net("Concat", around[0], patches, around[1], axis=1))
    tokens = 1 + PLACES[0] * PLACES[1] + QUERIES
    x = str(net("Add", x, net.rng.normal(0, 0.5, (1, tokens, CHANNELS))))
    for name in ("", LOOKED_AT):
        before = _normed(net, x, name)
        x = str(net("Add", x, _attention(net, before, before, before, None)))
        x = str(net("Add", x, _widened(net, _normed(net, x))))
    hidden = _normed(net, x)
    first = np.array([tokens - QUERIES])
    own = str(net("Slice", hidden, first, np.array([tokens]), np.array([1])))
    _answered(net, own, hidden, classes, names)
    outputs = (QUERIES, classes + 1), (QUERIES, 4), (tokens, CHANNELS)
    every = dict(zip((*names, "last_hidden_state"), outputs, strict=True))
    return net.model({name: (1, *sides) for name, sides in every.items()}, 1)


def detr_of_attention(
    names: tuple[str, str] = ("logits", "pred_boxes"), classes: int = 5, queries: int = QUERIES
) -> onnx.ModelProto:
    """A layer of an encoder, and two of a decoder whose first queries are constant."""
    net = NetWriter()
    x = _patches(net)
    at = net.rng.normal(0, 1, (1, PLACES[0] * PLACES[1], CHANNELS))
    sought = str(net("Add", x, at))
    x = _normed(net, str(net("Add", x, _attention(net, sought, sought, x, None))))
    memory = _normed(net, str(net("Add", x, _widened(net, x))), LOOKED_AT)
    query: str = net.constant(net.rng.normal(0, 1, (1, queries, CHANNELS)))
    for layer in range(2):
        if layer:
            query = _normed(net, str(net("Add", query, _attention(net, query, query, query, None))))
        query = _normed(net, str(net("Add", query, _attention(net, query, memory, memory, at))))
        query = _normed(net, str(net("Add", query, _widened(net, query))))
    _answered(net, query, query, classes, names)
    outputs = (queries, classes + 1), (queries, 4), (queries, CHANNELS)
    every = dict(zip((*names, "last_hidden_state"), outputs, strict=True))
    return net.model({name: (1, *sides) for name, sides in every.items()}, 1)
