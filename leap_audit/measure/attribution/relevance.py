"""Attributions by relevance: LRP and AttnLRP, at the picture or at a tensor inside the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
from pydantic import Field

from leap_audit.errors import GradientUnavailable, UsageError
from leap_audit.gradient import Emitter, backpropagate
from leap_audit.gradient.ledger import Ledger
from leap_audit.gradient.lrp import (
    BY_ELEMENT,
    Composite,
    LrpRuleOptions,
    attnlrp_rules,
    lrp_rules,
)
from leap_audit.gradient.path import path
from leap_audit.gradient.rulesets import RuleSet, choose_rules
from leap_audit.graph.operators import MOVING
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import new_graph, new_input
from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.entry import Item, LayerOptions, MethodValues, attribution
from leap_audit.measure.attribution.places import places_of, upstream
from leap_audit.measure.attribution.score import Score
from leap_audit.measure.methods import GRADIENT, Need, Traits
from leap_audit.measure.run import PICTURE, Run, place_model, run_passes
from leap_audit.run.session import Array

__all__ = ["PATENTS", "Relevance", "relevance"]

PATENTS = (
    "LRP is said to be patented in places (so the README of the authors' library LXT). Whether you "
    "may use it is for you to decide. No audit uses it unless you name it."
)


class LrpOptions(LayerOptions):
    """Layer-wise relevance propagation."""

    at: str | None = None
    """Tensor inside the model whose relevance is shown. Left out: the picture's."""
    composite: Composite = "epsilon_plus"
    """Rules by layer: epsilon, epsilon_plus, epsilon_gamma_box, epsilon_plus_flat,
    epsilon_alpha2_beta1, epsilon_alpha2_beta1_flat, or foxai."""
    epsilon: float = Field(default=1e-6, ge=0)
    """What the epsilon rule adds to the size of a denominator."""
    gamma: float = Field(default=0.25, ge=0)
    """How much more the products of one sign count in the gamma rule."""
    stabiliser: float = Field(default=1e-6, gt=0)
    """What the other rules add to the size of a denominator."""


class AttnLrpOptions(LrpOptions):
    """AttnLRP."""

    composite: Composite = "epsilon"
    """Rules by layer, as of lrp."""


Make: TypeAlias = Callable[[Ledger], RuleSet]


@dataclass(frozen=True)
class Relevance:
    """The relevance of the numbers of a tensor, and what else takes part of the score."""

    values: Array
    """Of the shape of the tensor for one picture, (1, ...)."""
    kept: float
    """What biases, other constants and stabilisers between the tensor and the score keep."""
    alone: bool
    """Whether nothing reaches the score but through the tensor: then the two add up to it."""


def relevance(
    score: Score, picture: Array, make: Make, key: object, at: str | None = None
) -> Relevance:
    """Return the relevance of the model's input, or of the tensor `at`, on one picture.

    picture: (channels, height, width) in 0..1. make: the rule set that enters into a ledger; key:
    what tells it from others. Layers count from the model's input, also for a tensor inside.
    Raises GradientUnavailable: the rule set has no rule for an operator, named.
    """
    run = score.run.at_once(1)

    def build() -> ir.Graph:
        op = Emitter(new_graph(), "relevance")
        start = new_input(op.graph, PICTURE, (1, *run.model.picture_shape))
        placed = place_model(op, run.model, start)
        output = placed.scores if score.explained is None else placed.tensor(score.explained)
        wrt = [placed.entry, *([] if at is None else [placed.tensor(at)])]
        ledger = Ledger()
        rules = make(ledger)
        output, *wrt = run_passes(op.graph, rules, [output, *wrt])
        nodes = path(op.graph, [output], wrt[-1:])
        around = path(op.graph, [output], wrt[:1], wrt[-1:]) if at is not None else []
        dy = new_input(op.graph, "cotangent", static_shape(output))
        found = backpropagate(op, {output: dy}, wrt, rules=rules)
        # The number of ways around comes out as a constant, since sessions are kept.
        op.graph.outputs.extend(
            [
                op.Identity(found[-1]),
                op.Identity(ledger.total(op, nodes)),
                op.Identity(op.constant(float(len(around)))),
            ]
        )
        return op.graph

    session = run.session(("relevance", key, score.explained, at), build)
    given = {PICTURE: np.asarray(picture[None], np.float32), "cotangent": score.shares(picture)}
    values, kept, around = session.run(given)
    return Relevance(values, float(kept), not float(around))


def _explained(
    item: Item, options: LrpOptions, rules: Callable[[LrpRuleOptions, Ledger], RuleSet]
) -> MethodValues:
    model, values = item.score.run.model, options.model_dump(exclude={"at"})
    if options.composite == "epsilon_gamma_box":
        low, high = _range_of_first_convolution(item.score.run)
        values |= {"low": low, "high": high}
    chosen = LrpRuleOptions(**values)
    places = None if options.at is None else places_of(model, options.at)
    found = relevance(
        item.score,
        item.picture,
        lambda ledger: rules(chosen, ledger),
        (rules.__name__, chosen),
        None if places is None else places.name,
    )
    shown = _pictured(model, found.values) if places is None else places.of(found.values)[0]
    total, score = float(found.values.sum(dtype=np.float64)), _score(item)
    figures = {"relevance_sum": total, "score": score, "kept_by_constants": found.kept}
    return MethodValues(
        shown,
        score if found.alone else None,
        "" if places is None else places.text,
        tuple(figures.items()),
        total + found.kept,
    )


def _lacking(model: Model, rules: RuleSet) -> str:
    """Why a rule set cannot send relevance back through a model, as a sentence; else empty."""
    graph = model.graph.graph
    try:
        choose_rules(rules, path(graph, [graph.outputs[0]], [graph.inputs[0]]), [graph.inputs[0]])
    except GradientUnavailable as error:
        return str(error)
    return ""


def _score(item: Item) -> float:
    return float(item.score(item.picture[None])[0])


def _pictured(model: Model, values: Array) -> Array:
    """The relevance of the model's input as (channels, height, width) of the picture."""
    (found,) = values
    if model.preprocessing.layout == "NHWC":
        found = np.moveaxis(found, -1, 0)
    turned = model.preprocessing.channel_order == "BGR"
    return np.asarray(found[::-1] if turned else found)


def _range_of_first_convolution(run: Run) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The least and the largest value, for each channel, that the first convolution may read.

    As black and white pictures bring them. Raises UsageError: what stands between the picture and
    the convolution may turn or mix them.
    """
    graph = run.model.graph.graph
    nodes = path(graph, [graph.outputs[0]], [graph.inputs[0]])
    position = next((i for i, node in enumerate(nodes) if node.op_type.startswith("Conv")), None)
    if position is None:
        return (), ()
    (data,) = nodes[position].inputs[:1]
    assert data is not None
    between = upstream(graph, [data])
    if mixing := sorted({n.op_type for n in between if n.op_type not in BY_ELEMENT | MOVING}):
        raise UsageError(
            f"epsilon_gamma_box: {', '.join(mixing)} stands before the first convolution, so that "
            "the range of its input is not that of pictures; choose another composite."
        )

    def build() -> ir.Graph:
        op = Emitter(new_graph(), "range")
        picture = new_input(op.graph, PICTURE, (1, *run.model.picture_shape))
        placed = place_model(op, run.model, picture)
        value = placed.entry if data in graph.inputs else placed.tensor(str(data.name))
        op.graph.outputs.append(op.Identity(value))
        return op.graph

    session = run.at_once(1).session(("range of the first convolution",), build)
    ends = [
        session.run({PICTURE: np.full((1, *run.model.picture_shape), end, np.float32)})[0]
        for end in (0, 1)
    ]
    both = np.moveaxis(np.concatenate(ends), 1, 0).reshape(ends[0].shape[1], -1)
    return tuple(map(float, both.min(1))), tuple(map(float, both.max(1)))


@attribution(
    "lrp",
    options=LrpOptions,
    needs=(GRADIENT, Need("rules", lambda model: _lacking(model, lrp_rules()))),
    source="Bach et al. 2015; composites: Montavon et al. 2019, Kohlbrenner et al. 2020",
    cost="4 passes with epsilon, 6 to 10 with other composites",
    traits=Traits(
        "r of x = x · vjp(r / y), from r = f at the score; vjp by the rule of each layer",
        complete="score",
        advice="Adds up to the score, but for what biases keep, which is said. With epsilon 0 and "
        "ReLUs it is input times gradient (Ancona et al. 2018): choose another composite. Refuses "
        "attention, which attnlrp has rules for.",
        caution=PATENTS,
        peers={"captum": "LRP, LayerLRP", "zennit": "composites", "foxai": "CV_LRP_EXPLAINER"},
    ),
)
def lrp(item: Item, options: LrpOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Layer-wise relevance propagation: the score, handed back layer by layer."""
    return _explained(item, options, lrp_rules)


@attribution(
    "attnlrp",
    options=AttnLrpOptions,
    needs=(GRADIENT, Need("rules", lambda model: _lacking(model, attnlrp_rules()))),
    source="Achtibat et al. 2024",
    cost="5 passes",
    traits=Traits(
        "as lrp; Softmax: x (r - y Σr), products of two: half each, deviations held constant",
        complete="score",
        advice="LRP for transformers; on convolutional networks the epsilon composite of lrp.",
        caution=PATENTS,
        peers={"LXT": "AttnLRP"},
    ),
)
def attnlrp(item: Item, options: AttnLrpOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Relevance through attention: LRP with rules for Softmax and products."""
    return _explained(item, options, attnlrp_rules)
