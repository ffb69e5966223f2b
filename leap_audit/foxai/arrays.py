"""Arrays and tensors: numbers in as NumPy arrays, results out as what came in."""

from typing import Any

import numpy as np

from leap_audit.errors import PictureRefused
from leap_audit.ingest.source import framework_of
from leap_audit.run.fallback import pytorch
from leap_audit.run.session import Array

__all__ = ["as_before", "input_batch", "numbers_of"]


def numbers_of(value: Any) -> Array:
    """Return the numbers of an array or a tensor of PyTorch, on any device."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def input_batch(value: Any) -> Array:
    """Return inputs, (n, channels, height, width) float32. Raises PictureRefused: another shape."""
    found = np.ascontiguousarray(numbers_of(value), np.float32)
    if found.ndim != 4 or not found.size:
        raise PictureRefused(
            f"input_data: inputs of the shape {list(found.shape)}; give (n, channels, height, "
            "width)."
        )
    return found


def as_before(found: Array, like: Any) -> Any:
    """Return an array as float32, as a tensor on the processor where `like` is one of PyTorch."""
    values = np.ascontiguousarray(found, np.float32)
    return pytorch().from_numpy(values) if framework_of(like) == "torch" else values
