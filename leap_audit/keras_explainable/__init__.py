"""keras-explainable's API on any model that leap-audit reads: change the import, keep the code.

    import leap_audit.keras_explainable as ke  # was: import keras_explainable as ke

What differs, and why: docs/from-keras-explainable.md. Nothing here needs TensorFlow.
"""

from leap_audit.keras_explainable import explaining, filters, inspection, methods, utils
from leap_audit.keras_explainable.explaining import explain, partial_explain

__all__ = [
    "cam",
    "explain",
    "explaining",
    "filters",
    "full_gradients",
    "gradcam",
    "gradcampp",
    "gradients",
    "inspection",
    "methods",
    "partial_explain",
    "scorecam",
    "utils",
]

cam = partial_explain(methods.cams.cam, postprocessing=filters.positive_normalize)
gradcam = partial_explain(methods.cams.gradcam, postprocessing=filters.positive_normalize)
gradcampp = partial_explain(methods.cams.gradcampp, postprocessing=filters.positive_normalize)
scorecam = partial_explain(
    methods.cams.scorecam, postprocessing=filters.positive_normalize, resizing=False
)
gradients = partial_explain(
    methods.gradient.gradients, postprocessing=filters.normalize, resizing=False
)
full_gradients = partial_explain(
    methods.gradient.full_gradients, postprocessing=filters.normalize, resizing=False
)
