"""Convert a TensorFlow Lite file to ONNX, and check the result against TensorFlow Lite.

The operators of TensorFlow in the file are checked before TensorFlow Lite opens it.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from leap_audit.errors import ModelRefused
from leap_audit.files import read_regular
from leap_audit.ingest.frameworks.export_check import reason
from leap_audit.ingest.frameworks.tf_allowlist import require_allowed
from leap_audit.ingest.frameworks.tf_conversion import (
    TF2ONNX_OPSET,
    TracedFunction,
    clean_conversion,
    converting,
    require_same,
    resolved_shape,
)
from leap_audit.ingest.frameworks.tf_runtime import (
    converter,
    lite_schema,
    node_definition,
    quiet,
    tensorflow,
)
from leap_audit.ingest.inputs.conversion import as_tensor_info, record_inputs, select_inputs
from leap_audit.ingest.inputs.selection import Inputs, fix_inputs
from leap_audit.ingest.sandbox.trust import require_walls

__all__ = ["checked_tflite", "export_tflite"]

LARGEST = 2 << 30
FLEX = "Flex"
"""Operators whose names begin so are TensorFlow's own, which may do more than compute."""


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
        as_tensor_info(y["name"], np.dtype(y["dtype"]).name, y["shape_signature"].tolist()): y
        for y in details
    }
    chosen = select_inputs(list(named), inputs, label)
    taken = named[chosen.picture]

    def call(x: Any) -> list[Any]:
        arguments = chosen.around(tf, x)
        for info, detail in named.items():
            value = arguments[info.name].numpy()
            interpreter.resize_tensor_input(detail["index"], value.shape)
        interpreter.allocate_tensors()
        for info, detail in named.items():
            interpreter.set_tensor(detail["index"], arguments[info.name].numpy())
        interpreter.invoke()
        return [tf.constant(interpreter.get_tensor(y["index"])) for y in outputs]

    known = [int(side) if side > 0 else None for side in taken["shape_signature"][1:]]
    dtype = np.dtype(taken["dtype"]).name
    names = tuple(str(y["name"]) for y in outputs)
    source = TracedFunction(label, call, resolved_shape(label, known, shape), dtype, names)
    with tempfile.TemporaryDirectory(prefix="leap-audit-") as scratch:
        copy = Path(scratch) / "model.tflite"
        copy.write_bytes(data)
        with quiet(), converting(tf2onnx, label):
            proto, _ = tf2onnx.convert.from_tflite(str(copy), opset=TF2ONNX_OPSET)
    if chosen.values:
        values = dict(chosen.values)
        proto, *_ = fix_inputs(proto, Inputs(chosen.picture.name, values), label)
    proto = record_inputs(
        clean_conversion(proto, label, names if len(names) > 1 else ["logits"]), chosen, ""
    )
    require_same(proto, source)
    return proto


def checked_tflite(path: Path) -> bytes:
    """Return the bytes of a TensorFlow Lite file after its operators were checked.

    Raises ModelRefused: damaged; it holds operators of TensorFlow that reach outside the model, or
    any of them where no wall stands and the file is not trusted.
    """
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror or error}).") from None
    try:
        found = sorted(set(_flex(data)))
    except Exception:  # flatbuffers checks nothing, and may stumble anywhere
        raise ModelRefused(f"{path}: TensorFlow Lite cannot load it: it is damaged.") from None
    if found:
        require_walls(path, "TensorFlow Lite with operators of TensorFlow")
        require_allowed(path, found)
    return data


def _flex(data: bytes) -> list[str]:
    model = lite_schema().Model.GetRootAsModel(data, 0)
    codes = [model.OperatorCodes(i).CustomCode() or b"" for i in range(model.OperatorCodesLength())]
    names = [code.decode("utf-8", "backslashreplace") for code in codes]
    found = [name.removeprefix(FLEX) for name in names if name.startswith(FLEX)]
    for s in range(model.SubgraphsLength()):
        graph = model.Subgraphs(s)
        for o in range(graph.OperatorsLength()):
            operator = graph.Operators(o)
            if names[operator.OpcodeIndex()].startswith(FLEX):
                found += _defined(operator)
    return found


def _defined(operator: Any) -> list[str]:
    """Return the operators that run: the node in an operator's options, whatever its name."""
    from flatbuffers import flexbuffers

    options = operator.CustomOptionsAsNumpy()
    if isinstance(options, int):  # none
        return []
    name, written = flexbuffers.Loads(bytearray(options.tobytes()))[:2]
    node = node_definition()
    node.ParseFromString(written if isinstance(written, bytes) else written.encode("latin-1"))
    called = [value.func.name for value in node.attr.values() if value.func.name]
    return [str(name), node.op, *called]
