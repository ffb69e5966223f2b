"""Convert a TensorFlow function by tf2onnx, and check the result against the function."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.canonical.agreement import SCALES, STEPS
from leap_audit.canonical.layers import TOLERANCE, agree
from leap_audit.errors import ModelRefused
from leap_audit.graph.operators import ROUNDING
from leap_audit.graph.weights import into_proto
from leap_audit.ingest.frameworks.export_check import (
    CHECKED,
    random_pictures,
    reason,
    run_graph,
    shape_text,
)
from leap_audit.ingest.frameworks.tf_determinism import with_stable_names
from leap_audit.ingest.frameworks.tf_operators import handlers
from leap_audit.ingest.frameworks.tf_runtime import converter, quiet, tensorflow
from leap_audit.ingest.inputs.conversion import SelectedInputs, record_inputs
from leap_audit.run.session import Array

__all__ = [
    "TF2ONNX_OPSET",
    "TracedFunction",
    "clean_conversion",
    "convert_function",
    "converting",
    "require_numbers",
    "require_same",
    "resolved_shape",
]

TF2ONNX_OPSET = 18
"""The newest that tf2onnx writes."""


@dataclass(frozen=True)
class TracedFunction:
    """A function from a batch of pictures to tensors, to be converted."""

    label: str
    """What to call it in a message."""
    call: Callable[[Any], Any]
    """Gives a tensor, several, or a dict of them."""
    shape: tuple[int, ...]
    """Of one picture, without the batch."""
    dtype: str = "float32"
    """NumPy's name of what the function takes."""
    names: tuple[str, ...] = ()
    """Of several tensors, if they have names."""
    chosen: SelectedInputs | None = None
    """Where the function has several inputs: what goes in beside the picture."""
    signature: str = ""
    """Which of several functions it is."""

    @property
    def picture_dtype(self) -> str:
        """float32, unless the function takes whole numbers."""
        return self.dtype if "int" in self.dtype else "float32"


def require_numbers(source: TracedFunction) -> None:
    """Raise ModelRefused where a function takes no numbers, but such as the bytes of a file."""
    if "int" not in source.dtype and "float" not in source.dtype:
        raise ModelRefused(
            f"{source.label} takes {source.dtype} instead of a picture's numbers; save what comes "
            "after its decoding."
        )


def resolved_shape(
    label: str, known: Sequence[int | None] | None, shape: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the shape of one picture: what the model says of it, and what was given.

    Raises ModelRefused: they contradict each other, or leave a side open.
    """
    if known is None and shape is None:
        raise ModelRefused(
            f"{label} does not say what pictures it takes; give the shape of one, such as "
            "(224, 224, 3)."
        )
    taken = tuple(known if known is not None else shape or ())
    declared = tuple(shape) if shape is not None else taken
    fits = len(declared) == len(taken)
    if not fits or any(a not in (None, b) for a, b in zip(taken, declared, strict=True)):
        raise ModelRefused(
            f"{label} takes pictures of {shape_text(taken)}, not of {shape_text(declared)}."
        )
    if not declared or not all(declared):
        raise ModelRefused(
            f"{label} takes pictures of {shape_text(taken)}, which leaves their size free; pass "
            "--input-size HEIGHT,WIDTH, such as --input-size 224,224."
        )
    return tuple(int(side) for side in declared if side)


def convert_function(source: TracedFunction) -> onnx.ModelProto:
    """Convert a source to ONNX, without names and paths of this machine.

    Its input `picture` is float32 (or the whole numbers that the function takes) of (batch,
    *shape), its only output `logits`; several have the names they have. The batch is free.
    Variables are frozen as by tf2onnx.convert.from_function, which keras.Model.export calls, but
    what the function captured besides stays constant too, and no second graph is built to be
    thrown away.

    Raises RuntimeMissing: no TensorFlow, no tf2onnx. ModelRefused: the function fails on such
    pictures, or tf2onnx has no ONNX for it.
    """
    require_numbers(source)
    tf, tf2onnx = tensorflow(), converter()
    names: list[str] = []

    def call(picture: Any) -> list[Any]:
        found = _outputs(tf, source, picture)
        names[:] = found
        return list(found.values())

    picture = tf.TensorSpec((None, *source.shape), source.picture_dtype, "picture")
    with quiet(), tf.device("/CPU:0"):
        try:
            function = tf.function(call, input_signature=[picture], autograph=False)
            concrete = function.get_concrete_function()
        except Exception as error:  # a model may raise anything
            raise _failing(source, error) from error
        with converting(tf2onnx, source.label):
            loader = tf2onnx.tf_loader
            frozen = loader.convert_variables_to_constants_large_model(concrete)
            frozen = loader.fix_freezing_errors_part2(loader.fix_freezing_errors(frozen))
            proto, _ = tf2onnx.convert.from_graph_def(
                frozen,
                input_names=[concrete.inputs[0].name],  # what is captured stands behind it
                output_names=[tensor.name for tensor in concrete.outputs],
                opset=TF2ONNX_OPSET,
                custom_op_handlers=handlers(tf),
            )
    return record_inputs(
        clean_conversion(proto, source.label, names), source.chosen, source.signature
    )


def require_same(proto: onnx.ModelProto, source: TracedFunction) -> None:
    """Compare a graph with its source on random pictures, in 0..1 and in 0..255.

    Raises ModelRefused: the source or the graph fails, or they give other numbers.
    """
    batch = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value or CHECKED
    rounds = any(node.op_type in ROUNDING for node in proto.graph.node)
    for scale in SCALES:
        x = (random_pictures(batch, source.shape) * scale).astype(source.picture_dtype)
        wants = _evaluated(source, x)
        haves = run_graph(proto, x, f"{source.label}, as tf2onnx writes it,")
        for want, have in zip(wants, haves, strict=True):
            if not agree(want, have.astype(want.dtype), STEPS / 127 if rounds else TOLERANCE):
                raise ModelRefused(
                    f"{source.label}: what tf2onnx writes gives other numbers than TensorFlow "
                    "itself; take out what is drawn at random or depends on the batch."
                )


def clean_conversion(proto: onnx.ModelProto, label: str, names: Sequence[str]) -> onnx.ModelProto:
    """Return what tf2onnx wrote with `picture` and names for the outputs, and without traces.

    Raises ModelRefused: operators that are not ONNX's are left in it; they are named.
    """
    model = ir.from_proto(proto)
    graph = model.graph
    foreign = sorted(
        {n.op_type for n in graph.all_nodes() if not onnx.defs.has(n.op_type, n.domain)}
    )
    if foreign:
        raise ModelRefused(
            f"{label}: tf2onnx has no ONNX for {', '.join(foreign)}; replace the layer that "
            "computes it, or export the model to ONNX yourself."
        )
    common.ClearMetadataAndDocStringPass()(model)
    with_stable_names(model)
    graph.name = "model"
    graph.inputs[0].name = "picture"
    for value, name in zip(graph.outputs, names, strict=True):
        value.name = name
    for value in (*graph.inputs, *graph.outputs):
        if value.shape is not None:  # free sides are named by counting through the process
            known = [d if isinstance(d, int) else None for d in value.shape]
            value.shape = ir.Shape([known[0] or "batch", *known[1:]] if known else [])
    return into_proto(model)


@contextlib.contextmanager
def converting(tf2onnx: Any, label: str) -> Iterator[None]:
    """Let tf2onnx count its names from 1, and say in one sentence that it fails."""
    with patch.object(tf2onnx.utils, "INTERNAL_NAME", 1):
        try:
            yield
        except Exception as error:  # it has no one class for what can go wrong
            raise ModelRefused(f"tf2onnx cannot write {label} as ONNX: {reason(error)}") from error


def _outputs(tf: Any, source: TracedFunction, picture: Any) -> dict[str, Any]:
    """Return what a source gives of pictures, float32 where it is floating-point, by name."""
    result = source.call(tf.cast(picture, source.dtype))
    if isinstance(result, dict):
        found = dict(result)
    else:
        several = list(result) if isinstance(result, (list, tuple)) else [result]
        counted = tuple(f"output_{i}" for i in range(len(several)))
        names = source.names if len(source.names) == len(several) else counted
        found = dict(zip(names, several, strict=True))
    if len(found) == 1:
        found = {"logits": next(iter(found.values()))}
    return {
        str(name): tf.cast(y, tf.float32) if y.dtype.is_floating else tf.identity(y)
        for name, y in found.items()
    }


def _evaluated(source: TracedFunction, x: Array) -> list[Array]:
    tf = tensorflow()
    with quiet(), tf.device("/CPU:0"):
        try:
            return [y.numpy() for y in _outputs(tf, source, tf.constant(x)).values()]
        except Exception as error:  # a model may raise anything
            raise _failing(source, error) from error


def _failing(source: TracedFunction, error: Exception) -> ModelRefused:
    size = shape_text(source.shape)
    return ModelRefused(f"{source.label} fails on pictures of {size}: {reason(error)}")
