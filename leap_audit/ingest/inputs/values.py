"""Read the fixed value of an input: a number, an array or a .npy file, in the input's type."""

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from leap_audit.artifacts import TensorInfo
from leap_audit.errors import ModelRefused, UsageError, reason_of
from leap_audit.ingest.sandbox.parent import run_in_child

__all__ = ["NUMERIC", "Value", "array_for", "describe_input", "read_array", "read_values"]

Value = bool | int | float | NDArray[Any]

LARGEST = 64 << 20
"""Bytes of a .npy file that is read as the value of an input."""
NUMERIC = re.compile(r"b?float\d*|double|u?int\d+|bool")
"""ONNX's names of types that hold numbers or truth values."""


def read_values(values: Mapping[str, Any]) -> dict[str, Value]:
    """Return the values of inputs, with the numbers of .npy files read.

    Raises UsageError: a file that is missing, too large or no array of finite numbers.
    """
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, str | Path):
            found[name] = _require_finite(array_in(Path(value)), f"--set {name}={value}")
        elif isinstance(value, bool | int | float):
            found[name] = _require_finite(value, f"--set {name}")
        else:
            try:
                array = np.asarray(value)
            except ValueError:
                raise UsageError(f"--set {name}: the value is no array of numbers.") from None
            found[name] = _require_finite(array, f"--set {name}")
    return found


def array_for(info: TensorInfo, value: Value, picture: TensorInfo) -> NDArray[Any]:
    """Return the value of an input in the input's own type and shape.

    A single number fills the whole shape. A free batch is 1, and may be left out of an array: the
    value is the same for every picture. picture: the input that takes the picture.

    Raises ModelRefused: the value has another shape, or numbers that the type cannot hold.
    """
    flag = f"--set {info.name}"
    takes = describe_input(info)
    if not NUMERIC.fullmatch(info.dtype):
        raise ModelRefused(f"{flag}: {takes} takes no numbers, and cannot be set.")
    array = _typed(np.asarray(value), info, f"{flag}: {takes}")
    shape = list(info.shape)
    known = [side if isinstance(side, int) and side > 0 else None for side in shape]
    batched = [1 if i == 0 and side is None else side for i, side in enumerate(known)]
    if array.size == 1 and all(side is not None for side in batched):
        return np.full([side for side in batched if side is not None], array.reshape(()))
    if array.ndim == len(shape) - 1 and known[0] in (None, 1):
        array = array[None]
    if shape and picture.shape and shape[0] == picture.shape[0] != "?":
        known[0] = known[0] or 1  # the picture's own batch
    fits = array.ndim == len(shape) and all(
        side in (None, have) for side, have in zip(known, array.shape, strict=True)
    )
    if not fits:
        own = " × ".join(map(str, np.shape(value))) or "a single number"
        raise ModelRefused(f"{flag}: {takes} does not take {own}; give that shape.")
    return array


def describe_input(info: TensorInfo) -> str:
    """Return an input in words: its name, type and shape."""
    sides = " × ".join(map(str, info.shape)) or "a single value"
    return f"{info.name!r} ({info.dtype}, {sides})"


def _typed(array: NDArray[Any], info: TensorInfo, where: str) -> NDArray[Any]:
    """The numbers in the input's type. Raises ModelRefused: it cannot hold them."""
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(info.dtype.upper())))
    if array.dtype.kind not in "biuf":
        raise ModelRefused(f"{where} needs numbers, not {array.dtype}.")
    if kind == np.bool_:
        if not np.isin(array, (0, 1)).all():
            raise ModelRefused(f"{where} takes true or false (1 or 0).")
        return array.astype(kind)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        whole = array.dtype.kind != "f" or bool((array == np.rint(array)).all())
        if not whole or (array < limits.min).any() or (array > limits.max).any():
            raise ModelRefused(
                f"{where} takes whole numbers between {limits.min} and {limits.max}."
            )
        return array.astype(kind)
    with np.errstate(over="ignore"):
        found = array.astype(kind)
    if not np.isfinite(found.astype(np.float64)).all():
        raise ModelRefused(f"{where} cannot hold numbers that large.")
    return found


def _require_finite(value: Value, where: str) -> Value:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise UsageError(f"{where}: the value is not a number, nor an array of numbers.")
    if not np.isfinite(array).all():
        raise UsageError(f"{where}: holds NaN or infinite numbers.")
    return value


def read_array(path: Path) -> NDArray[Any]:
    """Return the array in a .npy file. Raises UsageError: missing, too large, or no such array.

    NumPy parses the head of the file as Python, so that files are read in a child: `array_in`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path}: is not a file; give a .npy file.")
        if status.st_size > LARGEST:
            raise UsageError(f"{path}: is above {LARGEST >> 20} MiB, too large for an input.")
        # Mapped, so that a size that the file only claims takes no memory.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(values, np.ndarray):
            values.close()
            raise UsageError(f"{path}: holds several arrays; save one with numpy.save.")
        return np.array(values)
    except UsageError:
        raise
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file; give a number or a .npy file.") from None
    except Exception as error:  # NumPy parses the head of the file as Python, which may fail anyhow
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise UsageError(f"{path}: is no .npy file of numbers ({reason}).") from None


def array_in(path: Path) -> "NDArray[Any]":
    """Return the array in a .npy file, the value of an input. Raises UsageError."""
    return run_in_child(_array, path, alone=True, refusal=UsageError)


def _array(path: Path) -> "NDArray[Any]":
    return read_array(path)
