"""Places of a tensor inside a model: which part of the picture each of its elements stands for.

Feature maps are (n, channels, rows, columns) or (n, rows, columns, channels). Transformers hold
tokens, (n, tokens, channels) or (n, channels, tokens): one for each patch of the picture, behind
extra tokens such as the class token, which stand for no place. In YOLOS the tokens of the
detections follow them.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from leap_audit.errors import UsageError
from leap_audit.graph.shapes import shape_of
from leap_audit.graph.values import constant_of
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.run.session import Array

__all__ = [
    "Places",
    "TokenGrid",
    "attends_within_windows",
    "attentions",
    "averaged_tensor",
    "default_layer",
    "layer_of",
    "places_of",
    "tokens_of",
    "upstream",
]

MOST_EXTRA = 8
"""Extra tokens that a transformer may have: one or two for the answer, and registers."""
POOLS = ("GlobalAveragePool", "AveragePool", "GlobalMaxPool", "MaxPool")


@dataclass(frozen=True)
class Places:
    """A tensor inside a model, read as a map of places."""

    name: str
    rows: int
    columns: int
    channels: int
    order: tuple[int, ...]
    """Permutation that brings the tensor to (n, channels, ...)."""
    extra: int = 0
    """Tokens before those of the places."""
    behind: int = 0
    """Tokens behind those of the places."""

    def of(self, values: Array) -> Array:
        """Return (n, channels, rows, columns) of the tensor's values or gradients."""
        channels_first = np.transpose(values, self.order)
        flat = channels_first.reshape(len(values), self.channels, -1)
        flat = flat[:, :, self.extra : self.extra + self.rows * self.columns]
        return np.asarray(flat.reshape(len(values), self.channels, self.rows, self.columns))

    def masks(self, kept: Array) -> Array:
        """Return numbers of places, (n, rows, columns), that the tensor is multiplied by.

        They broadcast over its channels; extra tokens are multiplied by 1.
        """
        flat: Array = kept.reshape(len(kept), 1, -1)
        around = ((0, 0), (0, 0), (self.extra, self.behind))
        flat = np.pad(flat, around, constant_values=1)
        if len(self.order) == 4:
            flat = flat.reshape(len(kept), 1, self.rows, self.columns)
        return np.transpose(flat, np.argsort(self.order))

    @property
    def text(self) -> str:
        """Return the tensor in words, for whoever did not choose it."""
        tokens = f" behind {self.extra} extra tokens" if self.extra else ""
        tokens += f", before {self.behind} of detections" if self.behind else ""
        return f"{self.name!r}: {self.channels} channels at {self.rows} × {self.columns}{tokens}"


class TokenGrid(NamedTuple):
    """Which of a list of tokens stand for places of the picture."""

    extra: int
    """Tokens before those of the places."""
    rows: int
    columns: int
    behind: int = 0
    """Tokens behind them: one for each row of a detector."""


def places_of(model: Model, name: str) -> Places:
    """Return the places of a tensor of the canonical graph.

    Raises UsageError: there is no such tensor, or it is no map and no list of tokens.
    """
    for node in model.graph.graph:
        for value in node.outputs:
            if value.name == name:
                found = _places(value, model, _grids(model))
                if found is None:
                    raise UsageError(
                        f"at: {name!r} has the shape {list(shape_of(value) or ())}, which is "
                        "no map of places and no list of tokens; name another tensor."
                    )
                return found
    raise UsageError(
        f"at: the model has no tensor {name!r} inside; leave it out to have one chosen."
    )


def layer_of(model: Model, at: str | None) -> Places:
    """Return the tensor `at`, or the default layer. Raises UsageError: it has no places."""
    return default_layer(model) if at is None else places_of(model, at)


def default_layer(model: Model) -> Places:
    """Return the last tensor with more than one place whose gradient says something of each.

    What is averaged over places before the classes are computed; where a transformer reads the
    class token instead, the tokens that its last attention looks at; else the last map.
    Raises UsageError: no tensor has more than one place.
    """
    if (places := averaged_tensor(model)) is not None:
        return places
    nodes = upstream(model.graph.graph, [model.graph.graph.outputs[0]])
    grids = _grids(model)
    attention = attentions(model, nodes)
    if attention:
        before = upstream(model.graph.graph, attention[-1:])
        token = [v for n in before for v in n.outputs if len(shape_of(v) or ()) == 3]
        normed = [v for v in token if _operator(v) == "LayerNormalization"]
        for value in reversed(normed or token):
            if (places := _places(value, model, grids)) is not None:
                return places
    for node in reversed(nodes):
        for value in node.outputs:
            if len(shape_of(value) or ()) == 4 and (places := _places(value, model, grids)):
                return places
    raise UsageError(
        "the model has no tensor with more than one place, of which a map could be made; choose a "
        "method that needs none, such as integrated_gradients."
    )


def averaged_tensor(model: Model) -> Places | None:
    """Return the last tensor that is pooled over all its places; None where there is none."""
    grids = _grids(model)
    for node in reversed(upstream(model.graph.graph, [model.graph.graph.outputs[0]])):
        if (places := _pooled(node, model, grids)) is not None:
            return places
    return None


def tokens_of(model: Model, tokens: int) -> TokenGrid:
    """Return which of so many tokens are places. Raises UsageError: they are no grid."""
    found = _grid(tokens, model, _grids(model))
    if found is None:
        raise UsageError(f"{tokens} tokens are no grid of places of the picture.")
    return found


def attentions(model: Model, nodes: Sequence[ir.Node] | None = None) -> list[ir.Value]:
    """Return the outputs of the Softmax of each attention among all tokens, in the graph's order.

    Each holds tokens² numbers for every head. Attention within windows of tokens is none.
    """
    every = nodes if nodes is not None else upstream(model.graph.graph, model.graph.graph.outputs)
    found = []
    for node in every:
        if node.op_type != "Softmax":
            continue
        shape = shape_of(node.outputs[0]) or (0,)
        tokens = shape[-1]
        square = tokens > 1 and math.prod(shape) % tokens**2 == 0
        if square and not _within_windows(shape) and _grid(tokens, model, _grids(model)):
            found.append(node.outputs[0])
    return found


def attends_within_windows(model: Model) -> bool:
    """Return whether attention is among the tokens of a window, as in Swin transformers."""
    shapes = [shape_of(n.outputs[0]) or () for n in model.graph.graph if n.op_type == "Softmax"]
    return any(map(_within_windows, shapes))


def _within_windows(shape: Sequence[int]) -> bool:
    """Whether an attention, (windows, heads, tokens, tokens), is of several windows."""
    return len(shape) > 3 and shape[-1] == shape[-2] and math.prod(shape[:-3]) > 1


def upstream(graph: ir.Graph, values: Collection[ir.Value]) -> list[ir.Node]:
    """Return the nodes that these values are computed from, in the graph's order."""
    wanted = set(values)
    for node in reversed(graph):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(v for v in node.inputs if v is not None)
    return [node for node in graph if not wanted.isdisjoint(node.outputs)]


def _pooled(node: ir.Node, model: Model, grids: Sequence[tuple[int, int]]) -> Places | None:
    """What a node averages over all places, None where it does not."""
    value = node.inputs[0] if node.inputs else None
    before, after = shape_of(value), shape_of(node.outputs[0])
    if value is None or before is None or after is None:
        return None
    readings = list(_readings(value, model, grids))
    if node.op_type in POOLS:
        whole = len(before) == 4 and math.prod(after[2:]) == 1
        return readings[0] if readings and whole else None
    if node.op_type not in ("ReduceMean", "ReduceMax", "ReduceSum"):
        return None
    axes = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    reduced = {int(axis) % len(before) for axis in (() if axes is None else axes.ravel())}
    return next((each for each in readings if reduced == set(each.order[2:])), None)


def _places(value: ir.Value, model: Model, grids: Sequence[tuple[int, int]]) -> Places | None:
    return next(_readings(value, model, grids), None)


def _readings(value: ir.Value, model: Model, grids: Sequence[tuple[int, int]]) -> Iterator[Places]:
    """Yield the ways in which a tensor may be a map of places, the likeliest first."""
    shape, name = shape_of(value), str(value.name)
    if not shape or shape[0] != 1:
        return
    if len(shape) == 4:
        for axes in ((0, 1, 2, 3), (0, 3, 1, 2)):
            channels, rows, columns = (shape[i] for i in axes[1:])
            if rows * columns > 1 and _alike(rows, columns, model):
                yield Places(name, rows, columns, channels, axes)
        if shape[2] * shape[3] > 1 and (shape[2], shape[3]) in grids:
            yield Places(name, shape[2], shape[3], shape[1], (0, 1, 2, 3))
    if len(shape) == 3:
        for order in ((0, 2, 1), (0, 1, 2)):
            found = _grid(shape[order[2]], model, grids)
            if found is not None:
                extra, rows, columns, behind = found
                yield Places(name, rows, columns, shape[order[1]], order, extra, behind)


def _alike(rows: int, columns: int, model: Model) -> bool:
    """Whether a map has the proportions of the picture, give or take a row."""
    _, height, width = model.picture_shape
    return abs(rows - columns * height / width) < 1 and rows <= height


def _grid(tokens: int, model: Model, grids: Sequence[tuple[int, int]]) -> TokenGrid | None:
    """Which of so many tokens are places; None where no grid of places fits."""
    queries = model.answer.rows if isinstance(model.answer, Detections) else 0
    fitting = sorted(
        (behind, tokens - behind - r * c, r, c)
        for r, c in grids
        for behind in {0, queries}
        if 0 <= tokens - behind - r * c <= MOST_EXTRA and r * c > 1
    )
    if fitting:
        behind, extra, rows, columns = fitting[0]
        return TokenGrid(extra, rows, columns, behind)
    _, height, width = model.picture_shape
    rows = round(math.sqrt(tokens * height / width))
    if rows > 1 and tokens % rows == 0 and _alike(rows, tokens // rows, model):
        return TokenGrid(0, rows, tokens // rows)
    return None


def _grids(model: Model) -> list[tuple[int, int]]:
    """The rows and columns of the first convolution: the patches of a transformer."""
    for node in model.graph.graph:
        if node.op_type == "Conv" and len(shape := shape_of(node.outputs[0]) or ()) == 4:
            return [(shape[2], shape[3])]
    return []


def _operator(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None else node.op_type
