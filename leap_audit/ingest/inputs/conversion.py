"""Select the picture's input of a model before its conversion, and the values of the others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from leap_audit.artifacts import FixedInput, TensorInfo
from leap_audit.errors import ModelRefused
from leap_audit.graph.protos import dtype_name
from leap_audit.ingest.inputs.selection import Inputs, recorded_value, select_picture
from leap_audit.ingest.inputs.values import array_for

__all__ = [
    "SelectedInputs",
    "as_tensor_info",
    "record_inputs",
    "recorded_inputs",
    "select_inputs",
    "select_signature",
    "takes_pictures",
]

SERVED = "serving_default"
NOTE = "leap_audit.inputs"
"""The key under which the metadata of a conversion names the input and the values fixed in it."""


@dataclass(frozen=True)
class SelectedInputs:
    """The input that takes the picture, and the values of the others."""

    picture: TensorInfo
    values: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    """Those of `values` that are repeated for each picture of the batch."""

    def around(self, tf: Any, x: Any) -> dict[str, Any]:
        """Return the tensor of every input, by name, for a batch of pictures."""
        found = {self.picture.name: x}
        for name, array in self.values.items():
            value = tf.constant(array)
            found[name] = tf.repeat(value, tf.shape(x)[0], 0) if name in self.repeated else value
        return found


def as_tensor_info(name: str, dtype: str, shape: Sequence[int | None] | None) -> TensorInfo:
    """Describe an input of TensorFlow in ONNX's terms.

    dtype: TensorFlow's name. shape: with the batch; None: of any rank.
    """
    try:
        kind = dtype_name(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    except (TypeError, KeyError, ValueError):
        kind = dtype
    sides = tuple("?" if side is None or side < 0 else int(side) for side in shape or ())
    return TensorInfo(name=name, dtype=kind, shape=sides)


def select_inputs(infos: Sequence[TensorInfo], inputs: Inputs, label: str) -> SelectedInputs:
    """Select the picture's input and the values of the others. Raises ModelRefused."""
    picture = select_picture(infos, inputs, label)
    others = [each for each in infos if each.name != picture.name]
    values = {each.name: array_for(each, inputs.values[each.name], picture) for each in others}
    free = {e.name for e in others if e.shape and e.shape[0] == "?"}
    repeated = frozenset(name for name in free if values[name].shape[:1] == (1,))
    return SelectedInputs(picture, values, repeated)


def select_signature(label: str, takes: Mapping[str, bool], wanted: str | None) -> str:
    """Return the name of the signature to audit.

    takes: name -> whether it takes pictures: a tensor of numbers of 4 dimensions. wanted: the one
    asked for; None: what is served by default, unless only another one takes pictures.

    Raises ModelRefused: there is none of that name, or it is not clear which one is meant.
    """
    listed = ", ".join(f"{name!r}" for name in sorted(takes))
    if wanted is not None:
        if wanted not in takes:
            raise ModelRefused(f"--signature {wanted}: {label} has the signatures {listed}.")
        return wanted
    if len(takes) == 1 or takes.get(SERVED, False):
        return SERVED if SERVED in takes else next(iter(takes))
    pictures = [name for name, each in takes.items() if each]
    if len(pictures) == 1:
        return pictures[0]
    said = ", ".join(f"{name!r}" for name in sorted(pictures))
    what = f"{said} take pictures" if pictures else "none of them takes pictures as numbers"
    raise ModelRefused(
        f"{label} has the signatures {listed}, of which {what}: say which with --signature NAME."
    )


def takes_pictures(infos: Sequence[TensorInfo]) -> bool:
    """Return whether one of a signature's inputs can be a batch of pictures."""
    return any(each.dtype != "string" and len(each.shape) in (0, 4) for each in infos)


def record_inputs(
    proto: onnx.ModelProto, chosen: SelectedInputs | None, signature: str
) -> onnx.ModelProto:
    """Record the selected inputs in a model's metadata; return the model."""
    values = {} if chosen is None else chosen.values
    if not values and not signature:
        return proto
    said = {
        "picture": chosen.picture.name if chosen is not None and values else "",
        "fixed": [
            recorded_value(name, array).model_dump(mode="json") for name, array in values.items()
        ],
        "signature": signature,
    }
    proto.metadata_props.add(key=NOTE, value=json.dumps(said, sort_keys=True))
    return proto


def recorded_inputs(proto: onnx.ModelProto) -> tuple[str, tuple[FixedInput, ...], str]:
    """Read the picture's input, the fixed inputs and the signature from a model's metadata."""
    for each in proto.metadata_props:
        if each.key == NOTE:
            said = json.loads(each.value)
            fixed = tuple(FixedInput.model_validate(one) for one in said["fixed"])
            return said["picture"], fixed, said["signature"]
    return "", (), ""
