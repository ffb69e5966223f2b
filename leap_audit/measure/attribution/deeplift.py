"""DeepLIFT: multipliers between the picture and a baseline, in one pass through both."""

import numpy as np
from pydantic import Field

from leap_audit.errors import UsageError
from leap_audit.measure.attribution.baselines import Baseline
from leap_audit.measure.attribution.entry import BaselineOptions, Item, MethodValues, attribution
from leap_audit.measure.attribution.places import Places, places_of
from leap_audit.measure.methods import BATCH_OF_TWO, GRADIENT, Traits
from leap_audit.measure.run import PICTURE
from leap_audit.run.session import Array

__all__ = ["DeepLiftOptions", "DeepLiftShapOptions"]


class InsideOptions(BaselineOptions):
    """Where DeepLIFT's differences are taken."""

    at: str | None = None
    """Tensor inside the model whose differences are weighed. Left out: the picture."""


class DeepLiftOptions(InsideOptions):
    """DeepLIFT."""

    from_zero: bool = False
    """Whether the tensor `at` is compared with zeros while the rest stays as it is on the picture;
    else with what it holds on the baseline."""


class DeepLiftShapOptions(InsideOptions):
    """DeepLIFT SHAP."""

    baseline: tuple[Baseline, ...] = Field(
        default=("zero", "black", "white", "mean", "blur"), min_length=2
    )
    """Pictures without content, two or more: zero, black, white, grey, mean, blur."""


FORMULA = "m (x - x0), m: the product of (y - y0) / (x - x0) at each step of the model"


@attribution(
    "deeplift",
    options=DeepLiftOptions,
    source="Shrikumar, Greenside and Kundaje 2017, rescale rule",
    cost="4 to 16 passes",
    needs=(GRADIENT, BATCH_OF_TWO),
    traits=Traits(
        FORMULA,
        complete="difference",
        advice="Adds up to what the picture adds to the score against the baseline, as integrated "
        "gradients do, but in one pass. Says nothing of pixels that look like the baseline.",
        peers={"captum": "DeepLift", "foxai": "CV_DEEPLIFT_EXPLAINER"},
    ),
)
def deeplift(item: Item, options: DeepLiftOptions, rng: np.random.Generator) -> MethodValues:  # noqa: ARG001
    """Difference from the baseline, times how much each step of the model passes on of it."""
    return (
        _contributions_from_zero(item, options)
        if options.from_zero
        else _contributions(item, options)
    )


@attribution(
    "deeplift_shap",
    options=DeepLiftShapOptions,
    source="Lundberg and Lee 2017; Shrikumar, Greenside and Kundaje 2017",
    cost="4 to 16 passes for each baseline",
    needs=(GRADIENT, BATCH_OF_TWO),
    traits=Traits(
        f"mean over x0 of {FORMULA}",
        complete="difference",
        advice="DeepLIFT over several baselines, so that no one colour decides what counts as "
        "absent. Adds up to the score less the mean score of the baselines.",
        peers={"captum": "DeepLiftShap", "foxai": "CV_DEEPLIFT_SHAP_EXPLAINER"},
    ),
)
def deeplift_shap(
    item: Item,
    options: DeepLiftShapOptions,
    rng: np.random.Generator,  # noqa: ARG001
) -> MethodValues:
    """Mean of DeepLIFT over several baselines."""
    return _contributions(item, options)


def _contributions(item: Item, options: InsideOptions) -> MethodValues:
    """The mean over the baselines of multipliers times differences."""
    places: Places | None = None
    if options.at is not None:
        places = places_of(item.score.run.model, options.at)
    starts = item.baselines(options)
    at = PICTURE if places is None else places.name
    found = [item.score.multipliers(item.picture, x0, at) for x0 in starts]
    values = np.mean([each.values * each.gradient for each in found], 0)
    scores = item.score(np.concatenate([item.picture[None], starts]))
    return _summed(values, float(scores[0] - scores[1:].mean()), places)


def _contributions_from_zero(item: Item, options: DeepLiftOptions) -> MethodValues:
    """Multipliers between a tensor and zeros, times the tensor."""
    if options.at is None:
        raise UsageError("from_zero: name the tensor inside the model that is compared (at).")
    places = places_of(item.score.run.model, options.at)
    tail = item.score.tail(item.picture, places.name)
    inside = item.score.values(item.picture[None], places.name)[places.name][0]
    zero = np.zeros_like(inside)
    values = inside.astype(np.float64) * tail.multipliers(inside, zero)
    scores = tail(np.stack([inside, zero]))
    return _summed(values, float(scores[0] - scores[1]), places, tail.said(places.text))


def _summed(values: Array, total: float, places: Places | None, at: str = "") -> MethodValues:
    """What is given back, with how far the values are from adding up to `total`."""
    size, whole = float(np.abs(values).sum()), float(values.sum())
    gap = abs(whole - total) / size if size > 0 else 0.0
    figures = (("gap_of_absolute_sum", gap),)
    if places is None:
        return MethodValues(values, total, figures=figures)
    map_ = places.of(values[None])[0]
    return MethodValues(map_, total, at or places.text, figures, whole)
