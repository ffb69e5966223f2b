"""Read an ONNX file, refusing what is not one with a sentence that helps."""

import stat
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from leap_audit.artifacts import TensorInfo
from leap_audit.errors import ModelRefused, reason_of
from leap_audit.ingest.claims import require_modest
from leap_audit.ingest.external import every_tensor, named, read_external
from leap_audit.ingest.kinds import HEAD, described
from leap_audit.ingest.weights import apart

__all__ = [
    "ONNX_DOMAIN",
    "dtype_name",
    "is_float",
    "model_of",
    "opset_of",
    "parameters",
    "read_onnx",
    "real_inputs",
    "runtime_operators_apart",
    "tensor_info",
]

ONNX_DOMAIN = ("", "ai.onnx")
"""The two names of ONNX's own domain."""
RUNTIMES_OWN = {"LayerNormalization": 17, "SimplifiedLayerNormalization": 1000}
"""What ONNX Runtime's optimiser writes into ONNX's domain -> the opset from which it is ONNX's."""
LARGEST_FILE = 2 << 30  # protobuf's own limit


def read_onnx(path: Path) -> onnx.ModelProto:
    """Return the model in the file.

    Raises ModelRefused: missing, unreadable, truncated, empty, or not ONNX at all.
    """
    if path.is_dir():
        raise ModelRefused(f"{path}: is a folder; give the .onnx file in it.")
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelRefused(f"{path}: is not a file; give an ONNX file.")
        if status.st_size > LARGEST_FILE:
            raise ModelRefused(
                f"{path}: {status.st_size / 2**30:.1f} GiB is more than one ONNX file can hold."
            )
        # Whatever the file is called; what lies beside it is read when it has been looked at.
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except FileNotFoundError:
        raise ModelRefused(f"{path}: there is no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise ModelRefused(f"{path}: cannot be read ({reason}).") from None
    except (DecodeError, UnicodeDecodeError) as error:
        if "alloc" in str(error):
            raise MemoryError from None
        otherwise = "not an ONNX model, or was cut off on its way; export or copy it again"
        raise ModelRefused(f"{path}: is {_kind(path) or otherwise}.") from None
    if not model.graph.node and (kind := _kind(path)):
        raise ModelRefused(f"{path}: is {kind}.")
    require_modest(model, str(path))
    try:
        read_external(model, path)
    except (onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        raise ModelRefused(f"{path}: its external data is refused ({reason_of(error)}).") from None
    return checked(model, str(path))


def _kind(path: Path) -> str:
    """What a file is that is no ONNX model; empty where its beginning does not tell."""
    with path.open("rb") as file:
        words = described(file.read(HEAD))
    return f"{words}, not an ONNX model" if words else ""


def model_of(model: str | Path | onnx.ModelProto) -> onnx.ModelProto:
    """Return the model itself, or the one in the file. Raises ModelRefused."""
    if isinstance(model, onnx.ModelProto):
        require_modest(model, "the model")
        for tensor in every_tensor(model):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise ModelRefused(
                    f"the model: the numbers of tensor {named(tensor)} stand in another file; load "
                    "it with its external data, or give the path of the file."
                )
        return checked(model, "the model")
    return read_onnx(Path(model))


def checked(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return the model if it is one: with nodes, outputs and an opset.

    Raises ModelRefused: bytes that happen to parse, or a graph that breaks ONNX's rules.
    """
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise ModelRefused(f"{name}: holds no ONNX graph; give a model exported to ONNX.")
    try:
        onnx.checker.check_model(runtime_operators_apart(apart(model)[0]))
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ModelRefused(f"{name}: is not a valid ONNX model ({reason_of(error)}).") from None
    return model


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a model is written in."""
    return next((o.version for o in model.opset_import if o.domain in ONNX_DOMAIN), 1)


def runtime_operators_apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with operators of ONNX Runtime's alone in the domain com.microsoft."""
    version = opset_of(model)
    foreign = [
        i
        for i, node in enumerate(model.graph.node)
        if node.domain in ONNX_DOMAIN and RUNTIMES_OWN.get(node.op_type, 0) > version
    ]
    named = any(node.domain == "com.microsoft" for node in model.graph.node)
    declared = any(o.domain == "com.microsoft" for o in model.opset_import)
    if not foreign and (declared or not named):
        return model
    apart = onnx.ModelProto()
    apart.CopyFrom(model)
    for i in foreign:
        apart.graph.node[i].domain = "com.microsoft"
    if not declared:  # ONNX Runtime's tools leave it out, and ONNX Runtime does not mind
        apart.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return apart


def real_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller must give: old exporters list the weights as inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def tensor_info(value: onnx.ValueInfoProto) -> TensorInfo:
    """Return name, dtype and shape; a dimension without a size is its name or '?'."""
    tensor = value.type.tensor_type
    dims = [
        d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim
    ]
    return TensorInfo(name=value.name, dtype=dtype_name(tensor.elem_type), shape=tuple(dims))


def dtype_name(elem_type: int) -> str:
    """Return ONNX's own word for a type: 'float', 'uint8', ..."""
    return str(onnx.TensorProto.DataType.Name(elem_type)).lower()


def is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type in (
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.DOUBLE,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
    )


def parameters(model: onnx.ModelProto) -> int:
    """Return how many numbers the model's floating-point and quantised weights hold."""
    return sum(
        int(np.prod(tensor.dims, dtype=np.int64))
        for tensor in model.graph.initializer
        if tensor.data_type not in (onnx.TensorProto.INT64, onnx.TensorProto.STRING)
    )
