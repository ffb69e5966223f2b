"""Unpickle data, and refuse any other object."""

import dataclasses
import pickle
from enum import Enum
from typing import Any

__all__ = ["DataUnpickler"]

PLAIN = frozenset(
    {
        *(("builtins", name) for name in ("bytearray", "complex", "frozenset", "set", "slice")),
        *(("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")),
        *(("numpy", name) for name in ("dtype", "ndarray")),
        *(("numpy._core.multiarray", name) for name in ("_reconstruct", "scalar")),
        ("numpy._core.numeric", "_frombuffer"),
        *(("pathlib", name) for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")),
    }
)
"""What is called, of others than this package and ONNX, to make data of a pickle."""


class DataUnpickler(pickle.Unpickler):
    """An unpickler of numbers, text, arrays, paths, ONNX messages and this package's dataclasses.

    These are its dataclasses, its pydantic models and its enumerations. No other class is made
    and no other function is called: `load` raises pickle.UnpicklingError.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle may call under this name."""
        if "." not in name:  # which would lead through the attributes of what is allowed
            if (module, name) in PLAIN:
                return super().find_class(module, name)
            own = module == "leap_audit" or module.startswith("leap_audit.")
            if own and _is_data(found := super().find_class(module, name), module):
                return found
            if module == "onnx.onnx_ml_pb2" and _is_message(
                found := super().find_class(module, name)
            ):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not data")


def _is_data(found: object, module: str) -> bool:
    """Whether this is a class of data, and of that module: not one that it imports."""
    if not isinstance(found, type) or found.__module__ != module:
        return False
    return (
        dataclasses.is_dataclass(found)
        or issubclass(found, Enum)
        or hasattr(found, "__pydantic_fields__")
    )


def _is_message(found: object) -> bool:
    from google.protobuf.message import Message

    return isinstance(found, type) and issubclass(found, Message)
