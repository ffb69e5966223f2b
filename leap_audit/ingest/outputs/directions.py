"""Directions of an embedding's space that stand for classes: an encoder as a classifier.

The score of a class is a scale times the cosine of the angle between the model's vector and the
class's direction: the zero-shot classifier of CLIP (Radford et al. 2021), whose directions are the
vectors of texts. Class centroids and principal directions do as well.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from leap_audit.errors import ModelRefused
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.run.session import Array

__all__ = ["Directions", "with_directions"]

SCORES = "leap_audit_cosines"
"""The output that holds the scores of the directions."""


@dataclass(frozen=True, eq=False)
class Directions:
    """One direction for each class; at least two."""

    vectors: Array
    """(classes, features), none of length 0."""
    scale: float
    """What the cosines are multiplied by, above 0: the higher, the surer the probabilities."""
    names: tuple[str, ...] = ()
    """Of the classes, in the order of the vectors; empty: the file has none."""
    file: str = ""
    """The base name of the file they were read from."""
    sha256: str = ""
    """Of that file."""


def with_directions(proto: onnx.ModelProto, directions: Directions) -> tuple[onnx.ModelProto, str]:
    """Return an encoder with the scores of directions for its one output, and their text.

    Raises ModelRefused: no output, or more than one, holds vectors of the directions' length.
    """
    classes, features = directions.vectors.shape
    output = _of_vectors(proto.graph.output, features)
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    graph = changed.graph
    units = directions.vectors / np.linalg.norm(directions.vectors, axis=1, keepdims=True)
    weights = np.asarray(directions.scale * units.T, np.float32)
    graph.initializer.append(numpy_helper.from_array(weights, f"{SCORES}_weights"))
    graph.node.extend(
        [
            helper.make_node(
                "Cast", [output.name], [f"{SCORES}_vector"], to=onnx.TensorProto.FLOAT
            ),
            helper.make_node("Flatten", [f"{SCORES}_vector"], [f"{SCORES}_flat"], axis=1),
            helper.make_node("LpNormalization", [f"{SCORES}_flat"], [f"{SCORES}_unit"], axis=1),
            helper.make_node("MatMul", [f"{SCORES}_unit", f"{SCORES}_weights"], [SCORES]),
        ]
    )
    if not any(each.domain in ("", ONNX_DOMAIN) for each in changed.opset_import):
        changed.opset_import.append(helper.make_opsetid("", 17))
    batch = output.type.tensor_type.shape.dim[:1]
    first = (batch[0].dim_value or batch[0].dim_param or None) if batch else None
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(SCORES, onnx.TensorProto.FLOAT, (first, classes))
    )
    where = f" of {directions.file}" if directions.file else ""
    return changed, (
        f"the cosines of output {output.name!r} and {classes} directions{where}, times "
        f"{directions.scale:g}"
    )


def _of_vectors(outputs: Sequence[onnx.ValueInfoProto], features: int) -> onnx.ValueInfoProto:
    """The one output that may hold `features` numbers for a picture."""
    sizes = {value.name: _numbers(value) for value in outputs}
    fitting = [value for value in outputs if sizes[value.name] == features]
    open_ = [value for value in outputs if sizes[value.name] is None]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and len(open_) == 1:
        return open_[0]
    held = ", ".join(f"{name!r} {size or 'an open number'}" for name, size in sizes.items())
    what = "several outputs hold" if fitting or open_ else "no output holds"
    raise ModelRefused(
        f"--directions: the directions have {features} numbers each, and {what} as many for a "
        f"picture ({held}); name the tensor that does with --output, or give other directions."
    )


def _numbers(value: onnx.ValueInfoProto) -> int | None:
    """How many numbers a picture gets; None where the file leaves it open."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    sides = [each.dim_value for each in kind.shape.dim[1:]]
    return math.prod(sides) if sides and all(sides) else None
