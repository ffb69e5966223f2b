"""Select the picture's input of a PyTorch network, and the values of the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from leap_audit.artifacts import TensorInfo
from leap_audit.errors import ModelRefused
from leap_audit.graph.protos import dtype_name
from leap_audit.ingest.inputs.conversion import SelectedInputs, record_inputs
from leap_audit.ingest.inputs.selection import Inputs

__all__ = ["called_with", "info_of_input", "note_values"]


def called_with(torch: Any, module: Any, inputs: Inputs) -> Callable[[Any], Any]:
    """Return a module as a function of pictures, with values for its other arguments by name.

    Arrays of one item are repeated for every picture; single numbers are passed as they are.
    """
    if not inputs.specified:
        return module  # type: ignore[no-any-return]
    values = {name: _value(torch, value) for name, value in inputs.values.items()}

    def call(x: Any) -> Any:
        others = {
            name: value.to(x.device).expand(x.shape[0], *value.shape[1:])
            if isinstance(value, torch.Tensor) and value.shape[:1] == (1,)
            else value
            for name, value in values.items()
        }
        if inputs.picture is not None:
            return module(**{inputs.picture: x}, **others)
        return module(x, **others)

    return call


def note_values(proto: onnx.ModelProto, inputs: Inputs) -> onnx.ModelProto:
    """Return what a module was written as, with a note of the values of its other arguments."""
    info = TensorInfo(name=inputs.picture or "picture", dtype="float", shape=())
    values = {name: np.asarray(value) for name, value in inputs.values.items()}
    return record_inputs(proto, SelectedInputs(info, values), "")


def info_of_input(name: str, value: Any, label: str) -> TensorInfo:
    """Return an input of a program as it would be described in ONNX. Raises ModelRefused."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise ModelRefused(
            f"{label}: its input {name!r} is a {type(value).__name__}, no tensor; export a module "
            "that takes tensors."
        )
    kind = str(value.dtype).removeprefix("torch.")
    try:
        word = dtype_name(ir.DataType.from_numpy(np.dtype(kind)).value)
    except TypeError:  # NumPy has no bfloat16
        word = kind
    sides = tuple(side if isinstance(side, int) else "?" for side in value.shape)
    return TensorInfo(name=name, dtype=word, shape=sides)


def _value(torch: Any, value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    array = np.asarray(value)
    return torch.tensor(array.astype(np.float32) if array.dtype == np.float64 else array)
