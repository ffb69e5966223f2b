"""Prototypes in the registry of methods: what the method page says of them."""

import math
from typing import Any

from leap_audit.config import PrototypeOptions
from leap_audit.measure.methods import GRADIENT, Setting, method
from leap_audit.measure.prototype.generate import make_prototypes

__all__: list[str] = []


def _described(p: PrototypeOptions, setting: Setting) -> dict[str, Any]:
    strongest = "highest" if p.objective_weight > 0 else "lowest"
    return {
        "method": "Raise the logit of the target (activation maximisation). The picture is a sum "
        "of cosines, scaled by 1/f, with decorrelated colours. Each step zooms, shifts and mirrors "
        "it at random and adds noise.",
        "source": SOURCE,
        "objective": OBJECTIVES[p.objective or "logit"],
        "optimiser": f"Adam (Kingma and Ba 2015), learning rate {p.lr:g}, {p.steps} steps",
        "views": f"{p.views} a step, their gradients averaged"
        if (p.views or 1) > 1
        else "1 a step",
        "seed": setting.seed,
        "prototypes per class": f"{setting.seeds}; the one with the {strongest} logit is shown"
        if setting.seeds > 1
        else "1",
        "window": f"{p.scale[0]:g} to {p.scale[1]:g} of the side" if p.scale else "whole",
        "shift": f"up to {p.shift:g} of the short side",
        "mirrored": "half of the views" if p.flip else "never",
        "light": _light(p.jitter or 0.0),
        "noise": f"standard deviation {p.noise:g} of the range",
        "total variation": f"weight {p.total_variation:g}, of the standardised logit"
        if p.objective == "standardised"
        else f"weight {p.total_variation:g} × {setting.spread:.3g}, the spread of the logits over "
        "random pictures",
        "ground": _ground(p.plain_ground or False, p.hold or 0.0, p.ink or 0.0),
        "converged": "along the line through the later half of the steps at full learning rate, "
        "another eighth of them brings less than a tenth of the whole rise",
        "check": CHECK,
    }


def _light(jitter: float) -> str:
    if not jitter:
        return "unchanged"
    return (
        f"brightness and each colour moved by up to {jitter:g} of the range, contrast by a factor "
        f"of {math.exp(-2 * jitter):.2f} to {math.exp(2 * jitter):.2f}"
    )


def _ground(plain: bool, hold: float, ink: float) -> str:
    beyond = "black or white beyond the border" if plain else "reflected beyond the border"
    held = f"; pixels at the border held to it by {hold:g} logits" if hold else ""
    price = f"; weight {ink:g} of the mean distance from it, in spreads of the logits"
    return beyond + held + (price if ink else "")


OBJECTIVES = {
    "logit": "the target's logit",
    "standardised": "the target's logit less the mean over all classes, in deviations of logits",
}
SOURCE = "Erhan et al. 2009; Olah et al. 2017"
CHECK = "logit, probability and rank are measured on the finished PNG, neither moved nor noisy"

method(
    "prototype",
    kind="prototype",
    summary="Inputs made to raise a class's score: what the class looks like to the model.",
    options=PrototypeOptions,
    needs=(GRADIENT,),
    source=SOURCE,
    cost="about 3 passes a view and step",
    check=CHECK,
    describe=_described,
)(make_prototypes)
