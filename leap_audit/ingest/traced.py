"""A function of TensorFlow's as ONNX, by tf2onnx, and held against itself.

TensorFlow, Keras and tf2onnx are imported lazily.
"""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.errors import ModelRefused, RuntimeMissing
from leap_audit.ingest.agreement import ROUNDING, SCALES, STEPS, TOLERANCE, agree
from leap_audit.ingest.exported import CHECKED, ran, random_pictures, reason, sides
from leap_audit.ingest.tf_operators import handlers
from leap_audit.ingest.weights import poured
from leap_audit.run.session import Array

__all__ = ["Source", "cleaned", "frameworks", "quiet", "require_same", "written"]

OPSET = 18
"""The newest that tf2onnx writes."""
MISSING = "{} is not installed: pip install 'leap-audit[tensorflow]'."


@dataclass(frozen=True)
class Source:
    """What is made ONNX: a function from a batch of pictures to tensors."""

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

    @property
    def picture_dtype(self) -> str:
        """float32, unless the function takes whole numbers."""
        return self.dtype if np.dtype(self.dtype).kind in "iu" else "float32"


def frameworks() -> tuple[Any, Any, Any]:
    """Return the modules tensorflow, keras and tf2onnx, imported without a word.

    Raises RuntimeMissing: one of them is not installed.
    """
    with quiet(), patch.dict(os.environ):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        try:
            import tensorflow
        except ImportError:
            raise RuntimeMissing(MISSING.format("TensorFlow")) from None
        try:
            import keras
        except ImportError:
            raise RuntimeMissing(MISSING.format("Keras 3, or its backend,")) from None
        try:
            import tf2onnx.convert
        except ImportError:
            raise RuntimeMissing(MISSING.format("tf2onnx")) from None
    return tensorflow, keras, tf2onnx


def written(source: Source) -> onnx.ModelProto:
    """Return a source as ONNX, without the traces of this machine.

    Its input `picture` is float32 (or the whole numbers that the function takes) of (batch,
    *shape), its only output `logits`; several have the names they have. The batch is free. The
    variables are frozen into a graph as `keras.Model.export` and tf2onnx.convert.from_function do
    it, but at once: constants that the function captured stay constants, and no graph is built
    to be thrown away.

    Raises ModelRefused: the function fails on such pictures, or tf2onnx has no ONNX for it.
    """
    tf, _, tf2onnx = frameworks()
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
        try:
            proto = _converted(tf, tf2onnx, concrete, names)
        except Exception as error:  # tf2onnx has no one class for what can go wrong
            raise ModelRefused(
                f"tf2onnx cannot write {source.label} as ONNX: {reason(error)}"
            ) from error
    return cleaned(proto, source.label)


def require_same(proto: onnx.ModelProto, source: Source) -> None:
    """Run a graph beside its source on random pictures, in 0..1 and in 0..255.

    Raises ModelRefused: the source or the graph fails, or they give other numbers.
    """
    tf, _, _ = frameworks()
    batch = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value or CHECKED
    rounds = any(node.op_type in ROUNDING for node in proto.graph.node)
    for scale in SCALES:
        x = (random_pictures(batch, source.shape) * scale).astype(source.picture_dtype)
        wants = _evaluated(tf, source, x)
        haves = ran(proto, x, f"{source.label}, as tf2onnx writes it,")
        for want, have in zip(wants, haves, strict=True):
            if not agree(want, have.astype(want.dtype), STEPS / 127 if rounds else TOLERANCE):
                raise ModelRefused(
                    f"{source.label}: what tf2onnx writes gives other numbers than TensorFlow "
                    "itself; take out what is drawn at random or depends on the batch."
                )


def cleaned(proto: onnx.ModelProto, label: str) -> onnx.ModelProto:
    """Return what tf2onnx wrote without doc strings, metadata and counted names of free sides.

    Raises ModelRefused: operators that are not ONNX's are left in it; they are named.
    """
    graph = ir.from_proto(proto)
    foreign = {
        node.op_type
        for node in graph.graph.all_nodes()
        if not onnx.defs.has(node.op_type, node.domain)
    }
    if foreign:
        raise ModelRefused(
            f"{label}: tf2onnx has no ONNX for {', '.join(sorted(foreign))}; replace what computes "
            "it, or export the model to ONNX yourself."
        )
    common.ClearMetadataAndDocStringPass()(graph)
    for value in (*graph.graph.inputs, *graph.graph.outputs):
        if value.shape is not None:
            dims = list(value.shape)
            free = [None if isinstance(d, ir.SymbolicDim) else d for d in dims]
            value.shape = ir.Shape(["batch" if free[:1] == [None] else free[0], *free[1:]])
    return poured(graph)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what TensorFlow and tf2onnx print, log and warn, from C++ too."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            stack.enter_context(_diverted(number, stream))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        yield


@contextlib.contextmanager
def _diverted(number: int, stream: Any) -> Iterator[None]:
    """Let what is written to a file descriptor vanish."""
    if stream is not None:
        stream.flush()
    kept, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


def _converted(tf: Any, tf2onnx: Any, concrete: Any, names: Sequence[str]) -> onnx.ModelProto:
    entry = concrete.inputs[0].name  # what is captured stands behind it
    outputs = [tensor.name for tensor in concrete.outputs]
    frozen = tf2onnx.tf_loader.convert_variables_to_constants_large_model(concrete)
    # The names that tf2onnx makes are counted on through the process.
    with patch.object(tf2onnx.utils, "INTERNAL_NAME", 1):
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen,
            input_names=[entry],
            output_names=outputs,
            opset=OPSET,
            custom_op_handlers=handlers(tf),
            tensors_to_rename={entry: "picture", **dict(zip(outputs, names, strict=True))},
        )
    assert isinstance(proto, onnx.ModelProto)
    return proto


def _outputs(tf: Any, source: Source, picture: Any) -> dict[str, Any]:
    """Return what a source gives of pictures, float32 where it is floating-point, by name."""
    result = source.call(tf.cast(picture, source.dtype))
    if isinstance(result, dict):
        found = dict(result)
    else:
        several = list(result) if isinstance(result, (list, tuple)) else [result]
        names = source.names if len(source.names) == len(several) else ()
        found = dict(zip(names or [f"output_{i}" for i in range(len(several))], several))
    if len(found) == 1:
        found = {"logits": next(iter(found.values()))}
    return {
        str(name): tf.cast(y, tf.float32) if y.dtype.is_floating else tf.identity(y)
        for name, y in found.items()
    }


def _evaluated(tf: Any, source: Source, x: Array) -> list[Array]:
    with quiet(), tf.device("/CPU:0"):
        try:
            return [y.numpy() for y in _outputs(tf, source, tf.constant(x)).values()]
        except Exception as error:  # a model may raise anything
            raise _failing(source, error) from error


def _failing(source: Source, error: Exception) -> ModelRefused:
    return ModelRefused(f"{source.label} fails on pictures of {sides(source.shape)}: {reason(error)}")
