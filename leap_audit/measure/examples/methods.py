"""The registry of methods that explain an answer by training pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from leap_audit.config import Options
from leap_audit.measure.examples.gathered import Gathered, best
from leap_audit.measure.examples.last_layer import influences, mean_curvature, tracin
from leap_audit.measure.examples.neighbours import Metric, nearest_training
from leap_audit.measure.examples.simplex import mixtures
from leap_audit.run.session import Array

__all__ = ["EXAMPLE_METHODS", "Checkpoint", "ExampleMethod", "Examples"]


class NeighboursOptions(Options):
    """Options of `neighbours`."""

    metric: Metric = "cosine"
    """What is near: the cosine of the features, or their distance."""


class SimplexOptions(Options):
    """Options of `simplex`."""

    steps: int = Field(default=300, ge=1)
    """Steps at most, each of which reads all features once."""


class TracinOptions(Options):
    """Options of `tracin`."""

    rates: tuple[float, ...] = ()
    """Learning rate at each checkpoint; none: 1."""


class InfluenceOptions(Options):
    """Options of `influence`."""

    damping: float = Field(default=0.01, gt=0)
    """What is added to the Hessian, as a share of its mean eigenvalue."""
    steps: int = Field(default=200, ge=1)
    """Steps of conjugate gradients at most."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What one model file computes of the training pictures and of the pictures explained."""

    training: Gathered
    pictures: Gathered
    bias: bool = True
    """Whether the last layer has a bias."""
    ridge: float | None = None
    """The weight of the penalty that the last layer was fitted with, where it is known."""


@dataclass(frozen=True, eq=False)
class Examples:
    """The training pictures behind the answer on one picture."""

    places: Array
    """(count,) of the training pictures, the strongest first."""
    values: Array
    """(count,) what the method gives each."""
    against: Array
    """Places of those with the most negative values; none where values have no sign."""
    against_values: Array
    figures: dict[str, float]
    """What says how far to trust them."""


@dataclass(frozen=True)
class ExampleMethod:
    """A method, with what it needs and what a reader must know of it."""

    name: str
    summary: str
    formula: str
    needs: Literal["features", "labels"]
    options: type[Options]
    function: Callable[[Sequence[Checkpoint], int, Options], list[Examples]]
    advice: str
    source: str
    several: bool = False
    """Whether it looks at several checkpoints."""


def _neighbours(several: Sequence[Checkpoint], count: int, options: Options) -> list[Examples]:
    assert isinstance(options, NeighboursOptions)
    (one,) = several
    values, places = nearest_training(one.training, one.pictures, count, options.metric)
    sign = -1 if options.metric == "l2" else 1
    return [
        _for(row, sign * value, {"nearest": float(sign * value[0])})
        for row, value in zip(places, values, strict=True)
    ]


def _simplex(several: Sequence[Checkpoint], count: int, options: Options) -> list[Examples]:
    assert isinstance(options, SimplexOptions)
    (one,) = several
    return [
        _for(
            each.places[:count],
            each.weights[:count],
            {
                "residual": each.residual,
                "gap": each.gap,
                "pictures": float(len(each.places)),
            },
        )
        for each in mixtures(one.training, one.pictures, steps=options.steps)
    ]


def _tracin(several: Sequence[Checkpoint], count: int, options: Options) -> list[Examples]:
    assert isinstance(options, TracinOptions)
    rates = options.rates or (1.0,) * len(several)
    total = sum(
        rate * tracin(each.training, each.pictures, bias=each.bias)
        for each, rate in zip(several, rates, strict=True)
    )
    return _signed(np.asarray(total), count, {"checkpoints": float(len(several))})


def _influence(several: Sequence[Checkpoint], count: int, options: Options) -> list[Examples]:
    assert isinstance(options, InfluenceOptions)
    (one,) = several
    ridge = one.ridge
    if ridge is None:
        ridge = options.damping * mean_curvature(one.training, bias=one.bias)
    ridge = max(ridge, float(np.finfo(np.float32).tiny))
    values, left = influences(one.training, one.pictures, ridge, bias=one.bias, steps=options.steps)
    return _signed(values, count, {"ridge": ridge, "unsolved": left})


def _for(places: Array, values: Array, figures: dict[str, float]) -> Examples:
    none = np.zeros(0)
    return Examples(places, values, none.astype(np.int64), none, figures)


def _signed(values: Array, count: int, figures: dict[str, float]) -> list[Examples]:
    places = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    high, high_at = best(values, places, count)
    low, low_at = best(-values, places, count)
    return [
        Examples(
            high_at[i][high[i] > 0],
            high[i][high[i] > 0],
            low_at[i][low[i] > 0],
            -low[i][low[i] > 0],
            figures,
        )
        for i in range(len(values))
    ]


_ENTRIES = (
    ExampleMethod(
        "neighbours",
        "Training pictures with the most similar features",
        "cosine of h and h', or ‖h − h'‖",
        "features",
        NeighboursOptions,
        _neighbours,
        "First choice, and for near-duplicates. Says what looks alike to the model, not what it "
        "learned from.",
        "Papernot and McDaniel 2018",
    ),
    ExampleMethod(
        "simplex",
        "The mixture of training pictures that is nearest in the features",
        "min ‖wᵀH − h‖, w ≥ 0, Σw = 1",
        "features",
        SimplexOptions,
        _simplex,
        "Look at the residual first: a mixture that misses much of the features explains nothing.",
        "Crabbé et al. 2021",
    ),
    ExampleMethod(
        "tracin",
        "Training pictures whose gradient at the last layer points the same way, or the other",
        "Σ rate · (δ·δ')(h·h' + 1), δ = p − onehot",
        "labels",
        TracinOptions,
        _tracin,
        "For what helped and what worked against an answer. Of one checkpoint it knows the end of "
        "the training alone; give several.",
        "Pruthi et al. 2020",
        several=True,
    ),
    ExampleMethod(
        "influence",
        "By how much the loss would rise without a training picture, the last layer fitted again",
        "∇L(x)ᵀ (H + λ)⁻¹ ∇L(x') / n, of the last layer",
        "labels",
        InfluenceOptions,
        _influence,
        "For the effect of leaving a picture out. To first order, and with all layers but the last "
        "as they are.",
        "Koh and Liang 2017",
    ),
)
EXAMPLE_METHODS = {each.name: each for each in _ENTRIES}
"""Name -> method."""
