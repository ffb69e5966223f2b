"""LFXAI's API on any model that leap-audit reads: change the import, keep the code.

    from leap_audit.lfxai.explanations.features import attribute_auxiliary  # was: from lfxai...

What differs, and why: docs/from-lfxai.md.
"""

from leap_audit.lfxai.explanations.examples import (
    ExampleBasedExplainer,
    InfluenceFunctions,
    NearestNeighbours,
    SimplEx,
    TracIn,
)
from leap_audit.lfxai.explanations.features import attribute_auxiliary, attribute_individual_dim

__all__ = [
    "ExampleBasedExplainer",
    "InfluenceFunctions",
    "NearestNeighbours",
    "SimplEx",
    "TracIn",
    "attribute_auxiliary",
    "attribute_individual_dim",
]
