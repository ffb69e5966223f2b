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
from leap_audit.measure.examples.whole_network import WholeCheckpoint
from leap_audit.progress import Advance
from leap_audit.run.session import Array

__all__ = ["EXAMPLE_METHODS", "Checkpoint", "ExampleMethod", "Examples"]

Weights = Literal["last", "all"]
SEED = 0
"""Of the random signs that the curvature of a whole network is estimated with."""


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
    weights: Weights = "last"
    """Whose gradients are compared: those of the last layer, or of all weights."""


class InfluenceOptions(Options):
    """Options of `influence`."""

    damping: float = Field(default=0.01, gt=0)
    """What is added to the Hessian, as a share of its mean eigenvalue."""
    steps: int = Field(default=200, ge=1)
    """Steps of conjugate gradients at most."""
    weights: Weights = "last"
    """What would be fitted again: the last layer, or all weights, with the Gauss-Newton matrix in
    place of the Hessian."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What one model file computes of the training pictures and of the pictures explained."""

    training: Gathered
    pictures: Gathered
    bias: bool = True
    """Whether the last layer has a bias."""
    ridge: float | None = None
    """The weight of the penalty that the last layer was fitted with, where it is known."""
    whole: WholeCheckpoint | None = None
    """The whole network, where the method looks at all weights."""

    def units(self, options: Options) -> int:
        """Return the units of work of a method with such options."""
        if self.whole is None:
            return 1
        return self.whole.readings(options.steps if isinstance(options, InfluenceOptions) else 0)


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
    function: Callable[[Sequence[Checkpoint], int, Options, Advance], list[Examples]]
    advice: str
    source: str
    several: bool = False
    """Whether it looks at several checkpoints."""


def _neighbours(
    several: Sequence[Checkpoint], count: int, options: Options, advance: Advance
) -> list[Examples]:
    assert isinstance(options, NeighboursOptions)
    (one,) = several
    values, places = nearest_training(one.training, one.pictures, count, options.metric)
    advance()
    sign = -1 if options.metric == "l2" else 1
    return [
        _for(row, sign * value, {"nearest": float(sign * value[0])})
        for row, value in zip(places, values, strict=True)
    ]


def _simplex(
    several: Sequence[Checkpoint], count: int, options: Options, advance: Advance
) -> list[Examples]:
    assert isinstance(options, SimplexOptions)
    (one,) = several
    found = mixtures(one.training, one.pictures, steps=options.steps)
    advance()
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
        for each in found
    ]


def _tracin(
    several: Sequence[Checkpoint], count: int, options: Options, advance: Advance
) -> list[Examples]:
    assert isinstance(options, TracinOptions)
    rates = options.rates or (1.0,) * len(several)
    total = np.zeros(())
    for each, rate in zip(several, rates, strict=True):
        if each.whole is None:
            products = tracin(each.training, each.pictures, bias=each.bias)
            advance()
        else:
            whole = each.whole
            products = whole.network.tracin(whole.training, whole.pictures, advance=advance)
        total = total + rate * products
    return _signed(total, count, {"checkpoints": float(len(several))})


def _influence(
    several: Sequence[Checkpoint], count: int, options: Options, advance: Advance
) -> list[Examples]:
    assert isinstance(options, InfluenceOptions)
    (one,) = several
    if one.whole is not None:
        return _whole_influence(one.whole, count, options, advance)
    ridge = one.ridge
    if ridge is None:
        ridge = options.damping * mean_curvature(one.training, bias=one.bias)
    ridge = max(ridge, float(np.finfo(np.float32).tiny))
    values, left = influences(one.training, one.pictures, ridge, bias=one.bias, steps=options.steps)
    advance()
    return _signed(values, count, {"ridge": ridge, "unsolved": left})


def _whole_influence(
    whole: WholeCheckpoint, count: int, options: InfluenceOptions, advance: Advance
) -> list[Examples]:
    network, rng = whole.network, np.random.default_rng(SEED)
    mean = network.mean_curvature(whole.training[0], rng, advance=advance)
    ridge = max(options.damping * mean, float(np.finfo(np.float32).tiny))
    values, left = network.influences(
        whole.training, whole.pictures, ridge, steps=options.steps, advance=advance
    )
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
        "The first choice; it also finds near-duplicates. Says what looks alike to the model, not "
        "what it learned from.",
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
        "Training pictures whose gradient points the same way, or the other",
        "Σ rate · ∇L(x)ᵀ ∇L(x'); of the last layer (δ·δ')(h·h' + 1), δ = p − onehot",
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
        "By how much the loss would rise without a training picture, the weights fitted again",
        "∇L(x)ᵀ (H + λ)⁻¹ ∇L(x') / n, of the last layer or of all weights",
        "labels",
        InfluenceOptions,
        _influence,
        "For the effect of leaving a picture out. To first order; by the last layer alone, with "
        "those before it as they are.",
        "Koh and Liang 2017",
    ),
)
EXAMPLE_METHODS = {each.name: each for each in _ENTRIES}
"""Name -> method."""
