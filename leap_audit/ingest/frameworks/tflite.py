"""TensorFlow Lite files as ONNX, by tf2onnx, held against TensorFlow Lite's own numbers."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from leap_audit.errors import ModelRefused
from leap_audit.ingest.frameworks.exported import reason
from leap_audit.ingest.frameworks.tf_runtime import converter, quiet, tensorflow
from leap_audit.ingest.frameworks.tf_trace import (
    OPSET,
    Source,
    cleaned,
    converting,
    require_same,
    settled,
)
from leap_audit.ingest.frameworks.tflite_checked import checked_tflite
from leap_audit.ingest.inputs.converted import choose, info_of, note
from leap_audit.ingest.inputs.selection import Inputs, fix_inputs

__all__ = ["export_tflite"]


def export_tflite(path: Path, shape: Sequence[int] | None, inputs: Inputs) -> onnx.ModelProto:
    """Return the model in a .tflite file as ONNX, as `export_tensorflow_file` does."""
    tf, tf2onnx = tensorflow(), converter()
    label = f"the model {path.name}"
    data = checked_tflite(path)
    with quiet():
        try:
            interpreter = tf.lite.Interpreter(model_content=data)
            interpreter.allocate_tensors()
        except Exception as error:  # TensorFlow Lite raises what its readers raise
            raise ModelRefused(f"{path}: TensorFlow Lite cannot load it: {reason(error)}") from None
    details, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    named = {
        info_of(y["name"], np.dtype(y["dtype"]).name, y["shape_signature"].tolist()): y
        for y in details
    }
    chosen = choose(list(named), inputs, label)
    taken = named[chosen.picture]

    def call(x: Any) -> list[Any]:
        given = chosen.around(tf, x)
        for info, detail in named.items():
            value = given[info.name].numpy()
            interpreter.resize_tensor_input(detail["index"], value.shape)
        interpreter.allocate_tensors()
        for info, detail in named.items():
            interpreter.set_tensor(detail["index"], given[info.name].numpy())
        interpreter.invoke()
        return [tf.constant(interpreter.get_tensor(y["index"])) for y in outputs]

    known = [int(side) if side > 0 else None for side in taken["shape_signature"][1:]]
    dtype = np.dtype(taken["dtype"]).name
    names = tuple(str(y["name"]) for y in outputs)
    source = Source(label, call, settled(label, known, shape), dtype, names)
    with tempfile.TemporaryDirectory(prefix="leap-audit-") as scratch:
        copy = Path(scratch) / "model.tflite"
        copy.write_bytes(data)
        with quiet(), converting(tf2onnx, label):
            proto, _ = tf2onnx.convert.from_tflite(str(copy), opset=OPSET)
    if chosen.values:
        values = dict(chosen.values)
        proto, *_ = fix_inputs(proto, Inputs(chosen.picture.name, values), label)
    proto = note(cleaned(proto, label, names if len(names) > 1 else ["logits"]), chosen, "")
    require_same(proto, source)
    return proto
