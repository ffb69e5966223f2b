"""D-RISE: what a detection depends on, from changed pictures alone."""

from dataclasses import replace

import numpy as np
from pydantic import Field

from leap_audit.errors import UsageError
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.measure.attribution.entry import Item, MethodValues, attribution
from leap_audit.measure.attribution.match_score import MatchScore
from leap_audit.measure.attribution.perturbation import RiseOptions, masked_mean
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.detections import raw_detections
from leap_audit.measure.methods import Need, Traits

__all__ = ["DETECTIONS", "DriseOptions"]


def _unmet(model: Model) -> str:
    if isinstance(model.answer, Detections):
        return ""
    return f"it explains detections, and this model was taken for {model.identity.task}"


DETECTIONS = Need("detections", _unmet)
"""A model that is read as a detector."""


class DriseOptions(RiseOptions):
    """D-RISE."""

    cells: int = Field(default=16, ge=1, le=64)
    """Cells of a mask along a side."""
    cosine: bool = True
    """Whether a row is matched by the cosine of its classes' probabilities with the detection's,
    times its own confidence, as in the paper; or by its probability of the class."""


@attribution(
    "drise",
    options=DriseOptions,
    needs=(DETECTIONS,),
    source="Petsiuk et al. 2021",
    cost="1000 passes",
    traits=Traits(
        "sum_i m(x behind mask_i) mask_i / (n · share kept), m = max over rows of IoU · "
        "cos(classes) · confidence",
        advice="For any detector; the paper takes 5000 masks, which are less noisy.",
        peers={"xplique": "Rise with a BoxIouCalculator"},
    ),
)
def drise(item: Item, options: DriseOptions, rng: np.random.Generator) -> MethodValues:
    """Mean of random masks, each weighed by how well any row behind it matches the detection."""
    target, run = item.score.target, item.score.run
    if not isinstance(target, DetectionTarget):
        raise UsageError("drise explains a detection's class: name one as the target.")
    matched = target.matched
    if options.cosine:
        probs, _ = raw_detections(run, item.picture)
        matched = replace(matched, vector=tuple(map(float, probs[:, target.row])))
    return masked_mean(item, options, rng, MatchScore(run, matched, item.score.batch))
