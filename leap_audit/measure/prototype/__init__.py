"""Prototypes: inputs synthesised to maximise a class (Erhan et al. 2009, Olah et al. 2017)."""

from leap_audit.measure.prototype.generate import (
    Drawn,
    Painting,
    PrototypeSearch,
    Request,
    Stage,
    batches_of,
    make_prototypes,
)
from leap_audit.measure.prototype.logits import settled_for
from leap_audit.measure.prototype.middle import has_a_middle, middle_places
from leap_audit.measure.prototype.settings import settled

__all__ = [
    "Drawn",
    "Painting",
    "PrototypeSearch",
    "Request",
    "Stage",
    "batches_of",
    "has_a_middle",
    "make_prototypes",
    "middle_places",
    "settled",
    "settled_for",
]
