"""FoXAI's functions on arrays of attributions and images."""

from typing import Any

import numpy as np

from leap_audit.errors import PictureRefused, UsageError
from leap_audit.measure.attribution.entry import enlarged
from leap_audit.run.session import Array

__all__ = [
    "convert_standardized_float_to_uint8",
    "normalize_attributes",
    "resize_attributes",
    "retain_only_positive",
    "standardize_array",
    "transpose_color_first_in_array_np",
    "transpose_color_first_in_array_pt",
    "transpose_color_last_in_array_np",
    "transpose_color_last_in_array_pt",
    "validate_result",
]


def standardize_array(array: Array) -> Array:
    """Return values brought to 0..1, float64; all 0 where they are the same."""
    values = np.asarray(array, np.float64)
    spread = float(np.ptp(values))
    return np.asarray((values - values.min()) / (spread if spread > 0 else 1.0))


def convert_standardized_float_to_uint8(array: Array) -> Array:
    """Return values in 0..1 as integers in 0..255."""
    return (np.asarray(array, np.float64) * 255).astype(np.uint8)


def retain_only_positive(array: Array) -> Array:
    """Return max(array, 0), leaving the array as it is; the original writes into it."""
    return np.maximum(array, 0)


def normalize_attributes(attributes: Array) -> Array:
    """Return the mean over the channels of (channels, height, width), or (height, width) itself."""
    if np.ndim(attributes) == 3:
        return np.asarray(np.mean(attributes, axis=0))
    if np.ndim(attributes) == 2:
        return np.asarray(attributes)
    raise PictureRefused(
        f"attributions: the shape {list(np.shape(attributes))}; give those of one input, "
        "(channels, height, width) or (height, width)."
    )


def resize_attributes(attributes: Array, dest_width: int, dest_height: int) -> Array:
    """Return (height, width) at another size, bilinearly, float64."""
    return np.asarray(enlarged(np.asarray(attributes, np.float64), (dest_height, dest_width)))


def transpose_color_last_in_array_np(array: Array) -> Array:
    """Return (..., channels, height, width) as (..., height, width, channels)."""
    return np.transpose(array, _order(np.ndim(array), last=True))


def transpose_color_first_in_array_np(array: Array) -> Array:
    """Return (..., height, width, channels) as (..., channels, height, width)."""
    return np.transpose(array, _order(np.ndim(array), last=False))


def transpose_color_last_in_array_pt(array: Any) -> Any:
    """Return a tensor (..., channels, height, width) as (..., height, width, channels)."""
    return array.permute(_order(len(array.shape), last=True))


def transpose_color_first_in_array_pt(array: Any) -> Any:
    """Return a tensor (..., height, width, channels) as (..., channels, height, width)."""
    return array.permute(_order(len(array.shape), last=False))


def _order(rank: int, *, last: bool) -> tuple[int, ...]:
    if rank not in (3, 4):
        raise PictureRefused(f"array: {rank} dimensions; give 3 or 4.")
    order = (1, 2, 0) if last else (2, 0, 1)
    return order if rank == 3 else (0, *(axis + 1 for axis in order))


def validate_result(attributions: Any) -> None:
    """Raise UsageError where there are no attributions."""
    if attributions.shape[0] == 0:
        raise UsageError("attributions: there are none.")
