"""FoXAI's API on any model that leap-audit reads: change the import, keep the code.

    from leap_audit.foxai.context_manager import FoXaiExplainer  # was: from foxai.context_manager

What differs, and why: docs/from-foxai.md.
"""

from leap_audit.foxai.context_manager import (
    CVClassificationExplainers,
    CVObjectDetectionExplainers,
    ExplainerClassWithParams,
    Explainers,
    ExplainerWithParams,
    FoXaiExplainer,
)

__all__ = [
    "CVClassificationExplainers",
    "CVObjectDetectionExplainers",
    "ExplainerClassWithParams",
    "ExplainerWithParams",
    "Explainers",
    "FoXaiExplainer",
]
