"""Class activation maps, with the parameters and shapes of keras_explainable.methods.cams.

Each returns (scores, maps): float32 of (n, units) and (n, rows, columns, units), signed, of the
places of the exposed tensor (`expose`), or of the map that is averaged before the classes.
"""

from typing import Any

import numpy as np

from leap_audit.keras_explainable.filters import SPATIAL_AXIS
from leap_audit.keras_explainable.inspection import KERNEL_AXIS
from leap_audit.keras_explainable.units import unit_maps
from leap_audit.pipeline.explain import PictureExplanation
from leap_audit.run.session import Array

__all__ = ["METHODS", "cam", "gradcam", "gradcampp", "scorecam"]


def _values(explanation: PictureExplanation) -> Array:
    return np.asarray(explanation.values)


def cam(
    model: Any,
    inputs: Any,
    indices: Any = None,
    indices_axis: int = KERNEL_AXIS,
    indices_batch_dims: int = -1,
    spatial_axis: tuple[int, ...] = SPATIAL_AXIS,
    logits_layer: object = None,  # noqa: ARG001 - the graph's own final layer is found
) -> tuple[Array, Array]:
    """Return CAM: sum_k A_k w_ku, the map's channels by the class's own weights, without bias."""
    return unit_maps(
        *(model, inputs, indices, "cam", {"relu": False}, _values),
        at=False,
        axis=indices_axis,
        batch_dims=indices_batch_dims,
        spatial_axis=spatial_axis,
    )


def gradcam(
    model: Any,
    inputs: Any,
    indices: Any = None,
    indices_axis: int = KERNEL_AXIS,
    indices_batch_dims: int = -1,
    spatial_axis: tuple[int, ...] = SPATIAL_AXIS,
) -> tuple[Array, Array]:
    """Return Grad-CAM without its ReLU: sum_k A_k mean(df_u/dA_k)."""
    return unit_maps(
        *(model, inputs, indices, "gradcam", {"relu": False}, _values),
        axis=indices_axis,
        batch_dims=indices_batch_dims,
        spatial_axis=spatial_axis,
    )


def gradcampp(
    model: Any,
    inputs: Any,
    indices: Any = None,
    indices_axis: int = KERNEL_AXIS,
    indices_batch_dims: int = -1,
    spatial_axis: tuple[int, ...] = SPATIAL_AXIS,
) -> tuple[Array, Array]:
    """Return Grad-CAM++ of exp(f): a scores' exponential is taken of 80 at most."""
    options = {"relu": False, "epsilon": 0.0, "exponential": True}
    return unit_maps(
        *(model, inputs, indices, "gradcam++", options, _values),
        axis=indices_axis,
        batch_dims=indices_batch_dims,
        spatial_axis=spatial_axis,
    )


def scorecam(
    model: Any,
    inputs: Any,
    indices: Any = None,
    indices_axis: int = KERNEL_AXIS,
    indices_batch_dims: int = -1,
    spatial_axis: tuple[int, ...] = SPATIAL_AXIS,
) -> tuple[Array, Array]:
    """Return Score-CAM by raw scores: sum_k f_u(x · M_k) M_k, of the size of the inputs."""
    options = {"relu": False, "weights": "raw", "weighed": "masks"}
    return unit_maps(
        *(model, inputs, indices, "scorecam", options, _values),
        axis=indices_axis,
        batch_dims=indices_batch_dims,
        spatial_axis=spatial_axis,
    )


METHODS = [cam, gradcam, gradcampp, scorecam]
