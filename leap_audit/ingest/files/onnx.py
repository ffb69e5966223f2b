"""Read an ONNX file; refuse any other with one sentence that says what to do."""

import stat
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from leap_audit.errors import ModelRefused, reason_of
from leap_audit.graph.protos import every_tensor, separate_runtime_operators
from leap_audit.graph.weights import split_weights
from leap_audit.ingest.files.declared_sizes import require_plausible_sizes
from leap_audit.ingest.files.external_data import quoted_tensor, read_external
from leap_audit.ingest.files.magic import HEAD, identify

__all__ = [
    "model_of",
    "read_onnx",
]

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
    require_plausible_sizes(model, str(path))
    try:
        read_external(model, path)
    except (onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        raise ModelRefused(f"{path}: its external data is refused ({reason_of(error)}).") from None
    return checked(model, str(path))


def _kind(path: Path) -> str:
    """Identify a file that is no ONNX model; empty where its first bytes do not tell."""
    with path.open("rb") as file:
        words = identify(file.read(HEAD))
    return f"{words}, not an ONNX model" if words else ""


def model_of(model: str | Path | onnx.ModelProto) -> onnx.ModelProto:
    """Return the model itself, or the one in the file. Raises ModelRefused."""
    if isinstance(model, onnx.ModelProto):
        require_plausible_sizes(model, "the model")
        for tensor in every_tensor(model):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise ModelRefused(
                    f"the model: tensor {quoted_tensor(tensor)} has external data in another file; "
                    "load it with its external data, or give the path of the file."
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
        onnx.checker.check_model(separate_runtime_operators(split_weights(model)[0]))
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ModelRefused(f"{name}: is not a valid ONNX model ({reason_of(error)}).") from None
    return model
