"""Attributions along a path from a baseline to the picture."""

from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field

from leap_audit.config import Options
from leap_audit.measure.attribution.baselines import Baseline
from leap_audit.measure.attribution.entry import (
    BaselineOptions,
    Item,
    LayerOptions,
    MethodValues,
    attribution,
)
from leap_audit.measure.attribution.places import Places, places_of
from leap_audit.measure.attribution.shared_maps import item_layer
from leap_audit.measure.methods import Traits
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = ["IntegrationRule", "nodes_and_weights"]

IntegrationRule: TypeAlias = Literal["gauss_legendre", "left", "right", "middle", "trapezoid"]


def nodes_and_weights(rule: IntegrationRule, steps: int) -> tuple[Array, Array]:
    """Return points in 0..1 and their weights, each (steps,), of a rule of integration.

    The weights add up to 1. Raises ValueError: a trapezoid rule of fewer than two points.
    """
    if rule == "gauss_legendre":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return (1 + points) / 2, weights / 2
    even = np.full(steps, 1 / steps)
    if rule == "trapezoid":
        if steps < 2:
            raise ValueError("the trapezoid rule takes at least 2 points")
        weights = np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps), weights
    first = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    return (np.arange(steps) + first) / steps, even


class PathOptions(BaselineOptions):
    """A path from a baseline to the picture."""

    steps: int = Field(default=50, ge=2, le=100_000)
    """Points on the way from the baseline to the picture."""


class IntegratedGradientsOptions(PathOptions):
    """Integrated gradients."""

    rule: IntegrationRule = "gauss_legendre"
    """Where the points lie and how they are weighed: gauss_legendre, left, right, middle or
    trapezoid."""


@attribution(
    "integrated_gradients",
    options=IntegratedGradientsOptions,
    source="Sundararajan, Taly and Yan 2017",
    cost="150 passes",
    traits=Traits(
        "(x - x0) · mean of df/dx on the straight line from x0 to x",
        complete="difference",
        advice="Adds up to what the picture adds to the score against the baseline. Says nothing "
        "of pixels that look like the baseline: choose it, or average several.",
        peers={
            "captum": "IntegratedGradients",
            "foxai": "CV_INTEGRATED_GRADIENTS_EXPLAINER",
        },
    ),
)
def integrated_gradients(
    item: Item,
    options: IntegratedGradientsOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> MethodValues:
    """Difference from the baseline, times the mean gradient on the way from it."""
    points, weights = nodes_and_weights(options.rule, options.steps)
    starts, x = item.baselines(options), item.picture
    found = [(x - x0) * _mean(item, x0, x, points, weights) for x0 in starts.astype(np.float64)]
    return MethodValues(np.mean(found, 0), _difference(item, starts))


class LayerIgOptions(LayerOptions, PathOptions):
    """Integrated gradients of a tensor inside the model."""

    rule: IntegrationRule = "gauss_legendre"
    """Where the points lie and how they are weighed: gauss_legendre, left, right, middle or
    trapezoid."""


@attribution(
    "layer_ig",
    options=LayerIgOptions,
    source="Sundararajan, Taly and Yan 2017, at a layer as in captum",
    cost="150 passes of the layers after it",
    traits=Traits(
        "(A - A0) · mean of df/dA on the straight line from A0 to A, what the tensor holds for x0 "
        "and x",
        complete="difference",
        advice="Adds up at a tensor inside, on a path of that tensor's own values; "
        "internal_influence and conductance follow a path of pictures instead.",
        peers={
            "captum": "LayerIntegratedGradients",
            "foxai": "CV_LAYER_INTEGRATED_GRADIENTS_EXPLAINER",
        },
    ),
)
def layer_ig(item: Item, options: LayerIgOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Integrated gradients between what a tensor inside holds for the baseline and the picture."""
    points, weights = nodes_and_weights(options.rule, options.steps)
    starts, x = item.baselines(options), item.picture
    places = item_layer(item, options.at)
    values = item.score.values(np.concatenate([x[None], starts]), places.name)[places.name]
    tail = item.score.tail(x, places.name)
    inside = values[0].astype(np.float64)
    maps, totals = [], []
    for a0 in values[1:].astype(np.float64):
        total, done = np.zeros(()), 0
        for part in _parts(points, item):
            gradients = tail.gradient(_way(a0, inside, part)).astype(np.float64)
            total = total + np.tensordot(weights[done : done + len(part)], gradients, 1)
            done += len(part)
        maps.append((inside - a0) * total)
        there = tail(np.stack([inside, a0]))
        totals.append(there[0] - there[1])
    return MethodValues(
        places.of(np.mean(maps, 0)[None])[0], float(np.mean(totals)), tail.said(places.text)
    )


def _mean(item: Item, x0: Array, x: Array, points: Array, weights: Array) -> Array:
    """The weighted mean of the gradients at points between two pictures."""
    total = np.zeros(x.shape, np.float64)
    done = 0
    for part in _parts(points, item):
        gradients = item.score.gradient(_way(x0, x, part))
        total += np.tensordot(weights[done : done + len(part)], gradients.astype(np.float64), 1)
        done += len(part)
    return total


def _way(start: Array, end: Array, points: Array) -> Array:
    several = points.reshape(-1, *(1 for _ in end.shape))
    return np.asarray(start + several * (end - start), np.float32)


def _parts(points: Array, item: Item) -> list[Array]:
    """So many points at a time as are computed together, so that memory does not grow."""
    size = max(item.score.batch, 1)
    return [points[i : i + size] for i in range(0, len(points), size)]


def _difference(item: Item, starts: Array) -> float:
    scores = item.score(np.concatenate([item.picture[None], starts.astype(np.float32)]))
    return float(scores[0] - scores[1:].mean())


class BlurIgOptions(Options):
    """Blur integrated gradients."""

    steps: int = Field(default=50, ge=2, le=100_000)
    """Blurs on the way, from the widest to none."""
    widest: float = Field(default=0.25, gt=0, le=1)
    """Standard deviation of the widest blur, as a fraction of the picture's short side."""


@attribution(
    "blur_ig",
    options=BlurIgOptions,
    source="Xu, Venugopalan and Sundararajan 2020",
    cost="150 passes",
    traits=Traits(
        "sum_k (g_k + g_k+1)/2 · (z_k+1 - z_k), z: the picture, less and less blurred",
        complete="difference",
        advice="Needs no baseline's colour: the path adds detail, from coarse to fine.",
        peers={"saliency": "BlurIG"},
    ),
)
def blur_ig(item: Item, options: BlurIgOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Integrated gradients along a path of ever weaker blurs."""
    x = item.picture.astype(np.float64)
    height, width = x.shape[1:]
    # Squares: most of the detail comes back at the weakest blurs.
    sigmas = options.widest * min(height, width) * np.linspace(1, 0, options.steps) ** 2
    way = [
        blur_matrix(height, s).astype(np.float64) @ x @ blur_matrix(width, s).astype(np.float64).T
        for s in sigmas
    ]
    gradients = [g for part in _parts(np.stack(way), item) for g in item.score.gradient(part)]
    total = sum(
        ((gradients[k].astype(np.float64) + gradients[k + 1]) / 2 * (way[k + 1] - way[k]))
        for k in range(len(way) - 1)
    )
    return MethodValues(np.asarray(total), _difference(item, way[0][None]))


class GradientShapOptions(BaselineOptions):
    """Gradient SHAP."""

    baseline: tuple[Baseline, ...] = Field(default=("black", "white", "blur"), min_length=1)
    """Pictures without content that are drawn from: zero, black, white, grey, mean, blur."""
    samples: int = Field(default=50, ge=1, le=100_000)
    """Points drawn, each on the way from a baseline that is drawn too."""
    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of noise added to the picture, as a share of its range."""
    relative: bool = True
    """Whether the noise is such a share, or in the picture's own numbers."""
    at: str | None = None
    """Tensor inside the model that the gradients are taken at, times the difference of its values
    on the picture and on the baseline. Left out: the picture."""


@attribution(
    "gradient_shap",
    options=GradientShapOptions,
    source="Erion et al. 2021; Lundberg and Lee 2017",
    cost="150 passes",
    traits=Traits(
        "mean over draws of df/dx(x0 + a (x - x0)) · (x - x0), a uniform in 0..1",
        advice="Integrated gradients over many baselines, with random points: adds up only on "
        "average; the standard error of the sum is reported.",
        peers={"captum": "GradientShap", "foxai": "CV_GRADIENT_SHAP_EXPLAINER"},
    ),
)
def gradient_shap(
    item: Item, options: GradientShapOptions, rng: np.random.Generator
) -> MethodValues:
    """Expected gradients: gradients at random points between baselines and the picture."""
    starts, x = item.baselines(options).astype(np.float64), item.picture.astype(np.float64)
    spread = options.noise * (float(np.ptp(x)) if options.relative else 1.0)
    places = None if options.at is None else places_of(item.score.run.model, options.at)
    total, sums, done = np.zeros(()), list[float](), 0
    while done < options.samples:
        count = min(max(item.score.batch, 1), options.samples - done)
        noisy, drawn, share = [], [], []
        for _ in range(count):  # one by one: what is drawn does not depend on the batch
            drawn.append(starts[rng.integers(len(starts))])
            share.append(rng.random())
            noisy.append(x + spread * rng.standard_normal(x.shape) if spread else x)
        ends, begins = np.stack(noisy), np.stack(drawn)
        way = begins + np.reshape(share, (-1, 1, 1, 1)) * (ends - begins)
        if places is None:
            each = item.score.gradient(way) * (ends - begins)
        else:
            inside = item.score.values(np.concatenate([ends, begins]), places.name)[places.name]
            apart = inside[:count].astype(np.float64) - inside[count:]
            each = item.score.gradients(way, (places.name,))[places.name] * apart
        total = total + each.sum(0)
        sums += list(each.reshape(count, -1).sum(1))
        done += count
    error = float(np.std(sums, ddof=1) / np.sqrt(done)) if done > 1 else 0.0
    gap = float(np.mean(sums) - _difference(item, starts))
    figures = (("sum_minus_difference", gap), ("standard_error_of_sum", error))
    if places is None:
        return MethodValues(total / done, figures=figures)
    return MethodValues(places.of((total / done)[None])[0], at=places.text, figures=figures)


class InternalInfluenceOptions(LayerOptions, PathOptions):
    """Internal influence."""

    rule: IntegrationRule = "gauss_legendre"
    """Where the points lie and how they are weighed."""


@attribution(
    "internal_influence",
    options=InternalInfluenceOptions,
    source="Leino et al. 2018",
    cost="150 passes",
    traits=Traits(
        "mean of df/dA on the straight line of pictures from x0 to x",
        shortcut=False,
        advice="Which channels matter on the way; not multiplied by what they hold.",
        peers={"captum": "InternalInfluence"},
    ),
)
def internal_influence(
    item: Item,
    options: InternalInfluenceOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> MethodValues:
    """Mean gradient at a tensor inside, over pictures between the baseline and the picture."""
    places = item_layer(item, options.at)
    points, weights = nodes_and_weights(options.rule, options.steps)
    found = []
    for x0 in item.baselines(options):
        total, done = np.zeros(()), 0
        for part in _parts(points, item):
            way = _way(x0, item.picture, part)
            gradients = item.score.gradients(way, (places.name,))[places.name]
            total = total + np.tensordot(weights[done : done + len(part)], gradients, 1)
            done += len(part)
        found.append(total)
    return MethodValues(places.of(np.mean(found, 0)[None])[0], at=places.text)


class ConductanceOptions(LayerOptions, PathOptions):
    """Conductance."""

    rule: Literal["trapezoid", "captum"] = "trapezoid"
    """trapezoid: even points with both ends, the mean of the gradients at both ends of each part.
    captum: Gauss-Legendre points, which leave out the ends, and the gradient before each part."""


@attribution(
    "conductance",
    options=ConductanceOptions,
    source="Dhamdhere, Sundararajan and Yan 2019",
    cost="153 passes",
    traits=Traits(
        "sum_k (G_k + G_k+1)/2 · (A_k+1 - A_k), on the straight line of pictures from x0 to x",
        complete="difference",
        advice="How much of the score goes through each element of a tensor inside.",
        peers={"captum": "LayerConductance", "foxai": "CV_LAYER_CONDUCTANCE_EXPLAINER"},
    ),
)
def conductance(
    item: Item,
    options: ConductanceOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> MethodValues:
    """Integrated gradients that go through each element of a tensor inside the model."""
    places = item_layer(item, options.at)
    points = np.linspace(0, 1, options.steps + 1)
    if options.rule == "captum":
        points = nodes_and_weights("gauss_legendre", options.steps + 1)[0]
    starts = item.baselines(options)
    found = [_conducted(item, places, x0, points, options.rule == "captum") for x0 in starts]
    values = places.of(np.mean(found, 0)[None])[0]
    return MethodValues(values, _difference(item, starts), places.text)


def _conducted(item: Item, places: Places, x0: Array, points: Array, left: bool) -> Array:
    total: Array = np.zeros(())
    last: tuple[Array, Array] | None = None
    for part in _parts(points, item):
        inner = item.score.inner(_way(x0, item.picture, part), places.name)[places.name]
        for values, gradients in zip(*inner, strict=True):
            here = values.astype(np.float64), gradients.astype(np.float64)
            if last is not None:
                gradient = last[1] if left else (last[1] + here[1]) / 2
                total = total + gradient * (here[0] - last[0])
            last = here
    return total
