"""The method page: how each figure was got, with the numbers it ran with and its source."""

import math
from typing import Any

from leap_audit.config import AuditOptions
from leap_audit.measure.entanglement import GRADIENTS, WEIGHTS
from leap_audit.measure.run import Run
from leap_audit.measure.validation import validated

__all__ = ["methods_of"]


def methods_of(options: AuditOptions, spread: float, run: Run) -> dict[str, Any]:
    """Return stage -> what was done, for the report."""
    p, i = options.prototype, options.isolation
    strongest = "highest" if p.objective_weight > 0 else "lowest"
    return {
        "prototype": {
            "method": "Activation maximisation of the target's logit in a 1/f-scaled cosine basis "
            "with decorrelated colours, under random zoom, shift, mirror and noise",
            "source": "Erhan et al. 2009; Olah et al. 2017",
            "optimiser": f"Adam (Kingma and Ba 2015), learning rate {p.lr:g}, {p.steps} steps",
            "views": f"{p.views} a step, their gradients averaged"
            if (p.views or 1) > 1
            else "1 a step",
            "seed": options.seed,
            "prototypes per class": f"{options.seeds}; the one with the {strongest} logit is shown"
            if options.seeds > 1
            else "1",
            "window": f"{p.scale[0]:g} to {p.scale[1]:g} of the side" if p.scale else "whole",
            "shift": f"up to {p.shift:g} of the short side",
            "mirrored": "half of the views" if p.flip else "never",
            "light": _light(p.jitter or 0.0),
            "noise": f"standard deviation {p.noise:g} of the range",
            "total variation": f"weight {p.total_variation:g} × {spread:.3g}, the spread of the "
            "logits over random pictures",
            "ground": _ground(p.plain_ground or False, p.hold or 0.0, p.ink or 0.0),
            "converged": "the last eighth of the steps at full learning rate rose by less than a "
            "tenth of the whole rise",
            "check": "logit, probability and rank are measured on the finished PNG, neither moved "
            "nor noisy",
        },
        "entanglement": {
            "method": WEIGHTS if run.weights is not None else GRADIENTS,
            "standardised logit": "deviations from the mean logit of the class over the other "
            "prototypes; needs at least four prototypes",
            "validated": validated("entanglement")
            if run.weights is not None
            else "not measured for gradients",
            "check": "on this model none: an interval, or agreement with a confusion matrix",
        },
        "isolation": {
            "method": "One smooth ranking of the pixels per picture and class, optimised to keep "
            "the class at every area from 3 % to 60 % and to lose it when erased; of it, of the "
            "squared slopes of the score over noisy copies (SmoothGrad), and of their mean, the "
            "one that keeps and loses the class best is taken",
            "source": "after Fong, Patrick and Vedaldi 2019, Petsiuk et al. 2018 and Smilkov et "
            "al. 2017",
            "optimiser": f"Adam, learning rate {i.lr:g}, {i.steps} steps, grid of {i.grid} cells",
            "loss": f"-log p(kept) + {i.delete_weight:g} p(erased)",
            "seed": options.seed,
            "erased": "replaced by one of three blurs; measured under the blur that leaves least",
            "region": f"the smallest of twelve areas that keeps {i.enough:.0%} of what the picture "
            "adds to the probability, against the picture fully erased",
            "validated": validated("isolation"),
            "check": "probability with only the region kept, and with the region erased",
        },
    }


def _ground(plain: bool, hold: float, ink: float) -> str:
    beyond = "black or white beyond the border" if plain else "reflected beyond the border"
    held = f"; pixels at the border held to it by {hold:g} logits" if hold else ""
    price = f"; weight {ink:g} of the mean distance from it, in spreads of the logits"
    return beyond + held + (price if ink else "")


def _light(jitter: float) -> str:
    if not jitter:
        return "unchanged"
    return (
        f"brightness and each colour moved by up to {jitter:g} of the range, contrast by a factor "
        f"of {math.exp(-2 * jitter):.2f} to {math.exp(2 * jitter):.2f}"
    )
