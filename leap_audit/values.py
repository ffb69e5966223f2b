"""Values of a model's inputs, in options and in audit.json."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer

__all__ = ["InputValue"]

LISTED = 64
"""Numbers of a value up to which audit.json holds them."""


def _value(value: object) -> object:
    """Return the value of an input: a number, a truth value, a path, or an array."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool | int | float | str | Path):
        return value
    if isinstance(value, dict):
        raise ValueError("the numbers are not recorded, only their SHA-256; give the array again")
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise ValueError("give a number, true or false, a list of numbers, or a .npy file")
    return array


def _written(value: object) -> object:
    """Return the value of an input as audit.json records it: of many numbers, the SHA-256."""
    if not isinstance(value, np.ndarray):
        return str(value) if isinstance(value, Path) else value
    if value.size <= LISTED:
        return value.tolist()
    digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return {"dtype": str(value.dtype), "shape": list(value.shape), "sha256": digest}


InputValue = Annotated[
    Any, BeforeValidator(_value), PlainSerializer(_written, when_used="json", return_type=Any)
]
"""What `set` gives an input."""
