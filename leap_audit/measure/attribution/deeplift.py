"""DeepLIFT: multipliers between the picture and a baseline, in one pass through both."""

import numpy as np
from pydantic import Field

from leap_audit.measure.attribution.baselines import Baseline
from leap_audit.measure.attribution.entry import BaselineOptions, Item, MethodValues, attribution
from leap_audit.measure.attribution.places import Places, places_of
from leap_audit.measure.methods import BATCH_OF_TWO, GRADIENT, Traits
from leap_audit.measure.run import PICTURE

__all__ = ["DeepLiftOptions", "DeepLiftShapOptions"]


class DeepLiftOptions(BaselineOptions):
    """DeepLIFT."""

    at: str | None = None
    """Tensor inside the model whose differences are weighed. Left out: the picture."""


class DeepLiftShapOptions(DeepLiftOptions):
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
    cost="7 passes",
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
    return _contributions(item, options)


@attribution(
    "deeplift_shap",
    options=DeepLiftShapOptions,
    source="Lundberg and Lee 2017; Shrikumar, Greenside and Kundaje 2017",
    cost="7 passes for each baseline",
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


def _contributions(item: Item, options: DeepLiftOptions) -> MethodValues:
    """The mean over the baselines of multipliers times differences."""
    places: Places | None = None
    if options.at is not None:
        places = places_of(item.score.run.model, options.at)
    starts = item.baselines(options)
    at = PICTURE if places is None else places.name
    found = [item.score.multipliers(item.picture, x0, at) for x0 in starts]
    values = np.mean([each.values * each.gradient for each in found], 0)
    scores = item.score(np.concatenate([item.picture[None], starts]))
    total = float(scores[0] - scores[1:].mean())
    size = float(np.abs(values).sum())
    gap = abs(float(values.sum()) - total) / size if size > 0 else 0.0
    figures = (("gap_of_absolute_sum", gap),)
    if places is None:
        return MethodValues(values, total, figures=figures)
    return MethodValues(
        places.of(values[None])[0], total, places.text, figures, float(values.sum())
    )
