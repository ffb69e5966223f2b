"""Attention rollouts: which tokens the answer of a transformer draws on, through all its layers."""

import numpy as np

from leap_audit.config import Options
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.measure.attribution.entry import Item, MethodValues, attribution
from leap_audit.measure.attribution.places import (
    attends_within_windows,
    attentions,
    averaged_tensor,
    tokens_of,
)
from leap_audit.measure.methods import GRADIENT, Need, Traits
from leap_audit.measure.targets import row_of
from leap_audit.run.session import Array

__all__: list[str] = []


def _unmet(model: Model) -> str:
    if attends_within_windows(model):
        return "its attention is within windows of places, which no product over layers joins"
    if not attentions(model):
        return "it has no attention among tokens that stand for places"
    sizes = {int(value.shape[-1]) for value in attentions(model)}  # type: ignore[index,arg-type]
    if len(sizes) > 1:
        return f"its attentions are among different numbers of tokens, {sorted(sizes)}"
    if isinstance(model.answer, Detections) and not tokens_of(model, sizes.pop()).behind:
        return "its detections are no tokens, among those that look at each other"
    return ""


ATTENTION = Need("attention", _unmet)


class RolloutOptions(Options):
    """Attention rollout."""

    residual: bool = True
    """Whether each layer also passes on what it got, as half of what it gives."""


@attribution(
    "attention_rollout",
    options=RolloutOptions,
    needs=(GRADIENT, ATTENTION),
    source="Abnar and Zuidema 2020",
    cost="4 passes",
    traits=Traits(
        "product over layers of (mean over heads of attention + 1) / 2, the answer's row",
        shortcut=False,
        classes=False,
        advice="Knows no class: a control, which shows where attention goes.",
    ),
)
def attention_rollout(
    item: Item,
    options: RolloutOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> MethodValues:
    """Attention of all layers, multiplied: where the answer's token looks, for no class."""
    layers = [attention.mean(0) for attention, _ in _layers(item)]
    tokens = len(layers[0])
    result = np.eye(tokens)
    for layer in layers:
        mixed = layer + np.eye(tokens) if options.residual else layer
        result = mixed / mixed.sum(1, keepdims=True) @ result
    return MethodValues(_places(item, result))


@attribution(
    "gradient_rollout",
    needs=(GRADIENT, ATTENTION),
    source="Chefer, Gur and Wolf 2021",
    cost="4 passes",
    traits=Traits(
        "product over layers of 1 + mean over heads of ReLU(G · attention), the answer's row",
        advice="For transformers: attention, where it raises the class's score.",
        peers={"Transformer-MM-Explainability": "generate_relevance"},
    ),
)
def gradient_rollout(item: Item, options: Options, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Attention that raises the class's score, gathered through all layers of a transformer."""
    layers = [np.maximum(gradient * attention, 0).mean(0) for attention, gradient in _layers(item)]
    result = np.eye(len(layers[0]))
    for layer in layers:
        result = result + layer @ result
    return MethodValues(_places(item, result - np.eye(len(result))))


def _layers(item: Item) -> list[tuple[Array, Array]]:
    """Attention and its gradient of each layer, each (heads, tokens, tokens)."""
    names = [str(value.name) for value in attentions(item.score.run.model)]
    found = item.score.whole(item.picture, names)
    tokens = found[names[0]].values.shape[-1]
    return [
        tuple(x.astype(np.float64).reshape(-1, tokens, tokens) for x in found[name])  # type: ignore[misc]
        for name in names
    ]


def _places(item: Item, result: Array) -> Array:
    """The row of the token that answers, or the mean of all rows, at the places."""
    model = item.score.run.model
    extra, rows, columns, behind = tokens_of(model, len(result))
    own = row_of(item.score.target)
    if behind and own is not None:
        row = result[len(result) - behind + own]
    else:
        reads_token = extra > 0 and averaged_tensor(model) is None
        row = result[0] if reads_token else result.mean(0)
    return np.asarray(row[extra : extra + rows * columns].reshape(rows, columns))
