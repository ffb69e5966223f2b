"""What the options of experiments leave open, and their entry in the registry of methods."""

from typing import Any

from leap_audit.config import ExperimentOptions
from leap_audit.measure.experiments.study import try_class
from leap_audit.measure.methods import Setting, method

__all__ = ["settled_experiments"]

SMALL = 100 * 100
"""Pixels up to which a search may look at many pictures."""
STEPS, PICTURES = (40, 12), (16, 6)
"""Steps, and pictures that each looks at: of small pictures, and of others."""


def settled_experiments(
    options: ExperimentOptions, shape: tuple[int, int, int], fit: int | None = None
) -> ExperimentOptions:
    """Return the options with nothing left open, for pictures of (channels, height, width).

    A search costs as much as some prototypes; of large pictures fewer steps are affordable. fit:
    pictures of which a step fits the memory; None: any number.
    """
    steps, pictures = STEPS if shape[1] * shape[2] <= SMALL else PICTURES
    pictures = pictures if fit is None else max(1, min(pictures, fit))
    return options.model_copy(
        update={
            "search_steps": steps if options.search_steps is None else options.search_steps,
            "search_pictures": options.search_pictures or pictures,
        }
    )


def _described(options: ExperimentOptions, setting: Setting) -> dict[str, Any]:
    return {
        "method": "Regions, frames, patterns, textures, colours and fine detail of pictures that "
        "the model answers with a class are pasted into pictures of other classes and covered "
        "where they came from; searches look for the smallest trigger: a mask at one place, a mask "
        "at random places, a colour map and a convolution; whole pictures are changed",
        "source": "after Wang et al. 2019 (Neural Cleanse); Casper et al. 2023",
        "pictures of other classes": f"at most {options.hosts}",
        "pictures of a class": f"at most {options.carriers}",
        "searches": f"{options.search_steps} steps on {options.search_pictures} pictures each, of "
        "filters half as many",
        "control": "the same of pictures of other classes, on the same pictures",
        "probability": "exact sign test, corrected over all trials (Benjamini and Hochberg 1995)",
        "seed": setting.seed,
        "check": CHECK,
    }


CHECK = "each effect stands beside its control, with an interval and a corrected probability"

method(
    "experiments",
    kind="experiment",
    summary="What marks call up a class, and whether the answer needs them.",
    options=ExperimentOptions,
    source="after Wang et al. 2019 (Neural Cleanse); Casper et al. 2023",
    cost="about 300 passes a class, 540 with searches, and their steps",
    check=CHECK,
    describe=_described,
)(try_class)
