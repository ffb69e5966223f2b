"""Entanglement in the registry of methods: what the method page says of it."""

from typing import Any

from leap_audit.measure.entanglement import GRADIENTS, WEIGHTS, measure_entanglement
from leap_audit.measure.methods import NoOptions, Setting, method
from leap_audit.measure.overlap import OVERLAP
from leap_audit.measure.validation import validated

__all__: list[str] = []


def _described(_: NoOptions, setting: Setting) -> dict[str, Any]:
    return {
        "method": WEIGHTS if setting.linear else GRADIENTS,
        "class overlap": OVERLAP if setting.linear else "not measured: the last step is not linear",
        "standardised logit": "deviations from the mean logit of the class over the other "
        "prototypes; needs at least four prototypes",
        "validated": validated("entanglement") if setting.linear else "not measured for gradients",
        "check": CHECK,
    }


CHECK = "on this model none: an interval, or agreement with a confusion matrix"

method(
    "entanglement",
    kind="comparison",
    summary="Which classes share features with a prototype.",
    source="this project",
    cost="1 pass a prototype; without a linear final layer 3 for each class compared",
    check=CHECK,
    describe=_described,
)(measure_entanglement)
