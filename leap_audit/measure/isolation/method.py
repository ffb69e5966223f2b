"""Isolations in the registry of methods: what the method page says of them."""

from typing import Any

from leap_audit.config import IsolationOptions
from leap_audit.measure.isolation.ranking import rankings
from leap_audit.measure.methods import GRADIENT, Setting, method
from leap_audit.measure.subject import SURE
from leap_audit.measure.validation import validated

__all__: list[str] = []


def _described(i: IsolationOptions, setting: Setting) -> dict[str, Any]:
    return {
        "method": "One smooth ranking of the pixels per picture and class, optimised to keep "
        "the class at every area from 3 % to 60 % and to lose it when erased; of it, of the "
        "squared slopes of the score over noisy copies (SmoothGrad), and of their mean, the "
        "one that keeps and loses the class best is taken",
        "source": SOURCE,
        "optimiser": f"Adam, learning rate {i.lr:g}, {i.steps} steps, grid of {i.grid} cells",
        "loss": f"-log p(kept) + {i.delete_weight:g} p(erased)",
        "loss of an encoder": f"the same, with p of the whole picture at most {SURE:.0%}",
        "seed": setting.seed,
        "erased": "replaced by one of three blurs; measured under the blur that leaves least",
        "region": f"the smallest of twelve areas that keeps {i.enough:.0%} of what the picture "
        "adds to the probability, against the picture fully erased",
        "region of an encoder": f"the same with {i.enough_cosine:.0%} of the cosine",
        "validated": validated("isolation"),
        "check": CHECK,
    }


SOURCE = "after Fong, Patrick and Vedaldi 2019, Petsiuk et al. 2018 and Smilkov et al. 2017"
CHECK = "probability, of an encoder cosine, with only the region kept, and with it erased"

method(
    "isolation",
    kind="region",
    summary="The smallest region of a picture that carries a class, checked by erasing it.",
    options=IsolationOptions,
    needs=(GRADIENT,),
    source=SOURCE,
    cost="about 6 passes a step, and 80 to read the region",
    check=CHECK,
    describe=_described,
)(rankings)
