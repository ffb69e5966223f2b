"""Identify a source, and convert it to ONNX."""

import hashlib
import importlib.metadata
import io
import pickletools
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx

from leap_audit.artifacts import FixedInput
from leap_audit.digests import digest_of, files_of
from leap_audit.errors import ModelRefused
from leap_audit.files import open_regular, read_regular
from leap_audit.ingest.files.hashing import read_hashed
from leap_audit.ingest.files.magic import HEAD, identify
from leap_audit.ingest.files.onnx import checked, read_onnx
from leap_audit.ingest.inputs.selection import Inputs

__all__ = ["Picture", "Source", "framework_of", "open_file", "open_object"]

SAVED_MODEL = "saved_model.pb"
HDF5 = b"\x89HDF\r\n\x1a\n"
TFLITE = b"TFL3"
"""From the fifth byte on."""
ZIP = b"PK\x03\x04"
CHUNK = 1 << 20
PICKLE = "a Python pickle"
LARGEST_PICKLE = 2 << 30
PICKLES = 4
"""Of which PyTorch before 1.6 wrote a file: the fourth is what was saved."""
WEIGHTS = re.compile(r"(torch(\._utils)?|collections|numpy.*|_codecs)( |$)")
"""Modules that a pickle of tensors alone refers to."""


@dataclass(frozen=True)
class Source:
    """A network as ONNX, and where it came from."""

    proto: onnx.ModelProto
    file: str
    """The file's base name, or the class of the object."""
    sha256: str
    """SHA-256 of the source: the file, the files of a folder, or the ONNX graph of an object."""
    size_bytes: int
    converted: str = ""
    """The source format and its exporter; empty for an ONNX file."""
    picture: str = ""
    """The name of the picture's input in the source; empty: as in `proto`."""
    fixed_inputs: tuple[FixedInput, ...] = ()
    """Other inputs, whose values were written into `proto` already."""
    signature: str = ""
    """Of a SavedModel: the function that `proto` is."""


@dataclass(frozen=True)
class Picture:
    """The declared shape of one picture, for sources that do not declare it themselves."""

    size: tuple[int, int] | None = None
    """(height, width) in pixels."""
    channels: int = 3
    inputs: Inputs = field(default_factory=Inputs)
    """The user's options for the other inputs."""

    @property
    def first(self) -> tuple[int, int, int] | None:
        """(channels, height, width), as PyTorch has them."""
        return self.size and (self.channels, *self.size)

    @property
    def last(self) -> tuple[int, int, int] | None:
        """(height, width, channels), as TensorFlow has them."""
        return self.size and (*self.size, self.channels)


def open_file(path: Path, picture: Picture) -> Source:
    """Return the network in a file or folder, identified by its contents, not by its name.

    ONNX; a torch.export program (.pt2) or TorchScript; .keras, .h5, a SavedModel folder or
    TensorFlow Lite. picture: what the file may leave open.

    Raises ModelRefused: none of these, or damaged; a pickle or bare weights, which only the code
    that made them can open. RuntimeMissing: the framework it needs is not installed.
    """
    if path.is_dir():
        return _from_tensorflow(_saved_model(path), "a SavedModel", picture)
    head = _head(path)
    if head.startswith(ZIP):
        return _open_archive(path, picture)
    if head.startswith(HDF5):
        return _from_tensorflow(path, "a Keras HDF5 file", picture)
    if head[4:8] == TFLITE:
        return _from_tensorflow(path, "a TensorFlow Lite file", picture)
    if identify(head) == PICKLE:
        raise ModelRefused(_pickled(path, read_regular(path, LARGEST_PICKLE)))
    proto, digest = read_hashed(path, lambda: read_onnx(path), ModelRefused)
    return Source(proto, path.name, digest, path.stat().st_size)


def open_object(model: Any, picture: Picture) -> Source:
    """Return the network that an object in memory is.

    An onnx.ModelProto; a torch.nn.Module, ScriptModule or ExportedProgram; a Keras model, a
    tf.function or a tf.Module. picture: what the object may leave open; a module always does.

    Raises ModelRefused: something else, or it cannot be exported. RuntimeMissing as `open_file`.
    """
    kind = framework_of(model)
    name = type(model).__name__
    if isinstance(model, onnx.ModelProto):
        return _of_proto(checked(model, "the model"), model.graph.name or "model", "")
    if kind == "torch":
        return _noted(_of_proto(_from_torch(model, picture), name, _by(f"a torch {name}", "torch")))
    if kind in ("keras", "tensorflow"):
        from leap_audit.ingest.frameworks.tensorflow import export_keras

        made = export_keras(model, picture.last, inputs=picture.inputs)
        return _noted(_of_proto(made, name, _by(f"a {kind} {name}", "tf2onnx")))
    raise ModelRefused(
        f"the model is a {type(model).__module__}.{name}; give the path of an ONNX file or "
        "of another model, an onnx.ModelProto, a torch.nn.Module or a Keras model."
    )


def framework_of(model: object) -> str:
    """Return the framework an object's class comes from: torch, keras, tensorflow or none, ''."""
    roots = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    return next((name for name in ("torch", "keras", "tensorflow") if name in roots), "")


def _from_torch(model: Any, picture: Picture) -> onnx.ModelProto:
    from leap_audit.ingest.frameworks.torch import export_module
    from leap_audit.ingest.frameworks.torch_programs import export_program, export_script
    from leap_audit.run.fallback import pytorch

    torch = pytorch()
    shape, inputs = picture.first, picture.inputs
    if isinstance(model, torch.export.ExportedProgram):
        return export_program(model, shape, inputs)
    if shape is None:
        raise ModelRefused(
            f"the model is a torch {type(model).__name__}, which does not say what pictures it "
            "takes; give input_size, such as input_size=(224, 224)."
        )
    if isinstance(model, torch.jit.ScriptModule):
        return export_script(model, shape, inputs)
    return export_module(model, shape, inputs=inputs)


def _open_archive(path: Path, picture: Picture) -> Source:
    from leap_audit.ingest.files.archives import open_archive
    from leap_audit.ingest.frameworks.pt2 import is_program
    from leap_audit.ingest.frameworks.torch_files import export_torch_file
    from leap_audit.ingest.frameworks.torchscript import is_script

    with open_archive(path) as archive:
        names = list(archive.entries)
        pickles = [name for name in names if name.endswith("data.pkl")]
        if is_program(names) or is_script(names):
            kind = "a torch.export program" if is_program(names) else "TorchScript"
        elif "config.json" in names and "model.weights.h5" in names:
            kind = "a Keras file"
        elif pickles:
            raise ModelRefused(_pickled(path, archive.read(pickles[0], LARGEST_PICKLE)))
        else:
            raise ModelRefused(
                f"{path}: is a ZIP archive without a model in it that is known here; unpack "
                "it, or give an ONNX, .pt2, TorchScript or .keras file."
            )
    if kind == "a Keras file":
        return _from_tensorflow(path, kind, picture)

    def exported() -> onnx.ModelProto:
        return export_torch_file(path, picture.first, picture.inputs)

    made, digest = read_hashed(path, exported, ModelRefused)
    return _noted(Source(made, path.name, digest, path.stat().st_size, _by(kind, "torch")))


def _from_tensorflow(path: Path, kind: str, picture: Picture) -> Source:
    from leap_audit.ingest.frameworks.tensorflow import export_tensorflow_file

    made = export_tensorflow_file(path, picture.last, picture.inputs)
    try:
        files = files_of(path)
        size = sum(file.stat().st_size for file in files)
        digest = digest_of(files)
    except OSError as error:  # such as a link among them to a place that may not be read
        where = error.filename or path
        raise ModelRefused(f"{where}: cannot be read ({error.strerror or error}).") from None
    return _noted(Source(made, path.name, digest, size, _by(kind, "tf2onnx")))


def _noted(source: Source) -> Source:
    """Return a converted source with the inputs that were selected."""
    from leap_audit.ingest.inputs.conversion import recorded_inputs

    picture, fixed, signature = recorded_inputs(source.proto)
    return replace(source, picture=picture, fixed_inputs=fixed, signature=signature)


def _of_proto(proto: onnx.ModelProto, name: str, converted: str) -> Source:
    written = proto.SerializeToString(deterministic=True)
    return Source(proto, name, hashlib.sha256(written).hexdigest(), len(written), converted)


def _by(kind: str, exporter: str) -> str:
    label = {"torch": "torch.onnx, PyTorch"}.get(exporter, exporter)
    return f"{kind}, written as ONNX by {label} {importlib.metadata.version(exporter)}"


def _saved_model(folder: Path) -> Path:
    if (folder / SAVED_MODEL).is_file():
        return folder
    inside = sorted(folder.glob("*.onnx"))
    hint = f"give the file in it, such as {inside[0].name!r}" if inside else "give a model file"
    raise ModelRefused(f"{folder}: is a folder without a {SAVED_MODEL}; {hint}.")


def _head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(HEAD)
    except FileNotFoundError:
        raise ModelRefused(f"{path}: there is no such file.") from None
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror or error}).") from None


def _pickled(path: Path, data: bytes) -> str:
    """Say what to use instead of a pickle, which is inspected and never loaded."""
    modules = set()
    stream = io.BytesIO(data)
    try:
        for _ in range(PICKLES):
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    modules.add(str(argument))
                elif opcode.name == "STACK_GLOBAL":
                    modules.add("?")
            if modules:
                break
    except Exception:  # a pickle may be cut off anywhere, or only look like one
        modules.add("?")
    instead = (
        "In Python, build the network and load the weights. Give the module itself, or save it "
        "with torch.export.save(torch.export.export(module, (example,)), 'model.pt2')."
    )
    if modules and all(WEIGHTS.match(module) for module in modules):
        return f"{path}: holds weights without the network they belong to. {instead}"
    return f"{path}: is a Python pickle, which could run any code and is not opened. {instead}"
