"""Several inputs of a model that is converted: which takes the picture, what the others hold."""

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
from leap_audit.ingest.inputs.selection import Inputs, choose_picture, recorded
from leap_audit.ingest.inputs.values import array_for

__all__ = ["Chosen", "choose", "choose_signature", "info_of", "note", "noted", "pictures_in"]

SERVED = "serving_default"
NOTE = "leap_audit.inputs"
"""The key under which the metadata of a conversion names the input and the values fixed in it."""


@dataclass(frozen=True)
class Chosen:
    """The input that takes the picture, and the values of the others."""

    picture: TensorInfo
    values: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    """Those of `values` that are given once for each picture."""

    def around(self, tf: Any, x: Any) -> dict[str, Any]:
        """Return the tensor of every input, by name, for a batch of pictures."""
        found = {self.picture.name: x}
        for name, array in self.values.items():
            value = tf.constant(array)
            found[name] = tf.repeat(value, tf.shape(x)[0], 0) if name in self.repeated else value
        return found


def info_of(name: str, dtype: str, shape: Sequence[int | None] | None) -> TensorInfo:
    """Return an input of TensorFlow as it would be described in ONNX.

    dtype: TensorFlow's name. shape: with the batch; None: of any rank.
    """
    try:
        kind = dtype_name(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    except (TypeError, KeyError, ValueError):
        kind = dtype
    sides = tuple("?" if side is None or side < 0 else int(side) for side in shape or ())
    return TensorInfo(name=name, dtype=kind, shape=sides)


def choose(infos: Sequence[TensorInfo], inputs: Inputs, label: str) -> Chosen:
    """Return the picture's input and the values of the others. Raises ModelRefused."""
    picture = choose_picture(infos, inputs, label)
    others = [each for each in infos if each.name != picture.name]
    values = {each.name: array_for(each, inputs.values[each.name], picture) for each in others}
    free = {e.name for e in others if e.shape and e.shape[0] == "?"}
    repeated = frozenset(name for name in free if values[name].shape[:1] == (1,))
    return Chosen(picture, values, repeated)


def choose_signature(label: str, takes: Mapping[str, bool], wanted: str | None) -> str:
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


def pictures_in(infos: Sequence[TensorInfo]) -> bool:
    """Return whether one of a signature's inputs can be a batch of pictures."""
    return any(each.dtype != "string" and len(each.shape) in (0, 4) for each in infos)


def note(proto: onnx.ModelProto, chosen: Chosen | None, signature: str) -> onnx.ModelProto:
    """Return a conversion with a note of what was chosen; itself where nothing was."""
    values = {} if chosen is None else chosen.values
    if not values and not signature:
        return proto
    said = {
        "picture": chosen.picture.name if chosen is not None and values else "",
        "fixed": [recorded(name, array).model_dump(mode="json") for name, array in values.items()],
        "signature": signature,
    }
    proto.metadata_props.add(key=NOTE, value=json.dumps(said, sort_keys=True))
    return proto


def noted(proto: onnx.ModelProto) -> tuple[str, tuple[FixedInput, ...], str]:
    """Return the picture's input, the fixed inputs and the signature that `note` wrote."""
    for each in proto.metadata_props:
        if each.key == NOTE:
            said = json.loads(each.value)
            fixed = tuple(FixedInput.model_validate(one) for one in said["fixed"])
            return said["picture"], fixed, said["signature"]
    return "", (), ""
