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
import onnx_ir as ir

from leap_audit.errors import ModelRefused
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.outputs.reading import Reading
from leap_audit.ingest.outputs.tokens import tokens_hint
from leap_audit.run.session import Array

__all__ = ["DirectionReading", "Directions", "cosines_written", "output_of_vectors"]

PREFIX = "leap_audit/directions"


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


@dataclass(frozen=True)
class DirectionReading:
    """From an output of the graph of an encoder to the scores of directions."""

    vectors: Reading
    """From that output to the vectors."""
    directions: Directions


def cosines_written(graph: ir.Graph, vectors: ir.Value, directions: Directions) -> ir.Value:
    """Append the scores of directions, (n, classes) float32, and return them.

    vectors: (n, ...) with as many numbers for a picture as a direction has.
    """
    op = Emitter(graph, PREFIX)
    if vectors.dtype != ir.DataType.FLOAT:
        vectors = op.Cast(vectors, to=ir.DataType.FLOAT.value)
    rows = op.Reshape(vectors, (static_shape(vectors)[0], directions.vectors.shape[1]))
    lengths = np.linalg.norm(directions.vectors, axis=1, keepdims=True)
    units = directions.scale * directions.vectors / lengths
    return op.MatMul(op.LpNormalization(rows, axis=1), units.T)


def output_of_vectors(outputs: Sequence[onnx.ValueInfoProto], features: int) -> str:
    """Return the name of the one output that may hold `features` numbers for a picture.

    Raises ModelRefused: none does, or more than one.
    """
    sizes = {value.name: _numbers(value) for value in outputs}
    fitting = [name for name, size in sizes.items() if size == features]
    open_ = [name for name, size in sizes.items() if size is None]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and len(open_) == 1:
        return open_[0]
    held = ", ".join(f"{name!r} {size or 'an open number'}" for name, size in sizes.items())
    what = "several outputs hold" if fitting or open_ else "no output holds"
    long = [value.name for value in outputs if _is_of_tokens(value, features)]
    hint = f" {tokens_hint(long[0])}" if long and not fitting else ""
    raise ModelRefused(
        f"--directions: the directions have {features} numbers each, and {what} as many for a "
        f"picture ({held}); name the tensor that does with --output, or give other directions."
        f"{hint}"
    )


def _is_of_tokens(value: onnx.ValueInfoProto, features: int) -> bool:
    """Whether an output may hold so many numbers for each token: (batch, tokens, features)."""
    sides = value.type.tensor_type.shape.dim
    return len(sides) == 3 and sides[2].dim_value == features


def _numbers(value: onnx.ValueInfoProto) -> int | None:
    """How many numbers a picture gets; None where the file leaves it open."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    sides = [each.dim_value for each in kind.shape.dim[1:]]
    return math.prod(sides) if sides and all(sides) else None
