"""Load Keras models, read their input shape, and trace them in inference mode."""

import contextlib
import io
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from leap_audit.errors import ModelRefused
from leap_audit.files import open_regular, read_regular
from leap_audit.ingest.files.archives import LARGEST_FILE, open_archive, write_archive
from leap_audit.ingest.files.hdf5 import require_plain_hdf5
from leap_audit.ingest.files.nested import nested_tables
from leap_audit.ingest.frameworks.export_check import reason
from leap_audit.ingest.frameworks.tf_conversion import TracedFunction, resolved_shape
from leap_audit.ingest.frameworks.tf_runtime import keras, quiet, tensorflow
from leap_audit.ingest.inputs.conversion import as_tensor_info, select_inputs
from leap_audit.ingest.inputs.selection import Inputs
from leap_audit.ingest.sandbox.trust import require_walls

__all__ = ["in_float32", "keras_source", "load_keras", "picture_shape"]

PACKAGES = ("keras", "keras_cv", "keras_hub", "keras_nlp")
"""Keras's own: what a file names outside of them must have been registered in this process."""
RUNS_CODE = {
    "Lambda": "a Lambda layer, which runs code that is stored in the file",
    "__lambda__": "a lambda function, which runs code that is stored in the file",
    "FlaxLayer": "a FlaxLayer, which runs code of another framework",
    "JaxLayer": "a JaxLayer, which runs code of another framework",
    "TFSMLayer": "a TFSMLayer, which loads another file",
    "TorchModuleWrapper": "a TorchModuleWrapper, which unpickles objects",
}
OUTSIDE = re.compile(
    r"keras\.(?!((src|_tf_keras|api)\.)*(layers|models|initializers|regularizers|constraints"
    r"|activations|optimizers|losses|metrics|dtype_policies|quantizers|ops|random|engine|legacy)\b)"
)
"""Modules of Keras that are no parts of networks: utils fetches files, saving loads them."""
FILES = ("vocabulary", "idf_weights", "filepath", "file_path")
"""Settings of layers that may be the name of a file, which the layer then reads."""
KEPT = re.compile(r"metadata\.json|model(_\d+)?\.weights\.(h5|json)")
"""Entries of a .keras file that are handed on: assets are not."""
LARGEST_CONFIG = 1 << 28
"""Bytes of a description; that of a network with 10,000 layers has some 10 MB."""
HALVES = ("float16", "bfloat16")


def keras_source(model: Any, shape: Sequence[int] | None, inputs: Inputs) -> TracedFunction:
    """Return a Keras model or layer, in inference, as a function of pictures.

    Built where it was not yet, on pictures of that shape. Raises ModelRefused: several inputs, or
    none that says what it takes, or the model fails on them.
    """
    label = f"the model {type(model).__name__}"
    if len(symbolic := _inputs(model)) > 1:
        return _several(model, label, shape, inputs, symbolic)
    size = picture_shape(model, label, shape)
    if not model.built:
        _build(model, label, size)
    symbolic = _inputs(model)
    return TracedFunction(
        label,
        lambda x: model(x, training=False),
        size,
        str(symbolic[0].dtype) if symbolic else "float32",
        _output_names(model),
    )


def _several(
    model: Any, label: str, shape: Sequence[int] | None, inputs: Inputs, symbolic: Sequence[Any]
) -> TracedFunction:
    """Return a model with several inputs, of which all but the picture's have a value."""
    infos = [as_tensor_info(each.name, str(each.dtype), tuple(each.shape)) for each in symbolic]
    chosen = select_inputs(infos, inputs, label)
    picture = next(each for each in symbolic if each.name == chosen.picture.name)
    tf = tensorflow()

    def call(x: Any) -> Any:
        found = chosen.around(tf, x)
        return model([found[each.name] for each in symbolic], training=False)

    size = resolved_shape(label, tuple(picture.shape)[1:], shape)
    return TracedFunction(label, call, size, str(picture.dtype), _output_names(model), chosen)


def _output_names(model: Any) -> tuple[str, ...]:
    return tuple(getattr(model, "output_names", None) or ())


def picture_shape(model: Any, label: str, shape: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of one picture that a Keras model takes. Raises ModelRefused."""
    symbolic = _inputs(model)
    if len(symbolic) > 1:
        raise ModelRefused(f"{label} has {len(symbolic)} inputs; an audit needs one, the picture.")
    if symbolic:
        return resolved_shape(label, tuple(symbolic[0].shape)[1:], shape)
    built = list((getattr(model, "_build_shapes_dict", None) or {}).values())
    if len(built) == 1 and built[0] and not isinstance(built[0][0], (tuple, list)):
        known = tuple(built[0])[1:]
        # A model that was called once says the size it was called with, not one that it needs.
        return resolved_shape(label, None if shape is not None else known, shape)
    return resolved_shape(label, None, shape)


@contextlib.contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Set layers that compute in half precision to float32, in which they are audited.

    Their variables are what they are, mostly float32: mixed precision is a way to train.
    """
    kept = [
        (layer, layer.dtype_policy)
        for layer in model._flatten_layers()
        if layer.compute_dtype in HALVES
    ]
    try:
        for layer, _ in kept:
            layer.dtype_policy = "float32"
        yield
    finally:
        for layer, policy in kept:
            layer.dtype_policy = policy


def load_keras(path: Path) -> Any:
    """Return the Keras model in a .keras, .h5 or .hdf5 file, not compiled.

    Its description is checked before Keras uses it: what would run code, load
    another file, or name what neither Keras has nor this process registered is refused, however
    deep it lies. (Keras's own safe mode, which is on as well, knows what it wraps, and not in
    every version the Lambda layers of a .h5 file.)

    Raises ModelRefused: such a description, no such file, a damaged one, or weights alone.
    """
    zipped = _is_zip(path)
    require_walls(path, "a Keras file")
    whole, clean = _cleaned_zip(path) if zipped else _cleaned_hdf5(path)
    whole.pop("compile_config", None)  # losses and metrics, which are not loaded
    library = keras()
    _require_harmless(path, whole, library.saving.get_custom_objects())
    with tempfile.TemporaryDirectory(prefix="leap-audit-") as scratch, quiet():
        copy = Path(scratch) / ("model.keras" if zipped else "model.h5")
        copy.write_bytes(clean)
        try:
            return library.saving.load_model(
                copy,
                custom_objects={} if zipped else _older(library),
                compile=False,
                safe_mode=True,
            )
        except Exception as error:  # Keras has no one class for what can go wrong
            raise ModelRefused(f"{path}: Keras cannot load it: {reason(error)}") from error


def _inputs(model: Any) -> list[Any]:
    """The symbolic inputs of a model, none of one that is subclassed or not built."""
    return list(getattr(model, "inputs", None) or ())


def _build(model: Any, label: str, size: tuple[int, ...]) -> None:
    with quiet():
        try:
            model(keras().ops.zeros((1, *size)), training=False)
        except Exception as error:  # a model may raise anything
            raise ModelRefused(f"{label} cannot be built: {reason(error)}") from error


def _is_zip(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(4) == b"PK\x03\x04" or path.suffix.lower() == ".keras"
    except FileNotFoundError:
        raise ModelRefused(f"{path}: there is no such file.") from None
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror or error}).") from None


def _cleaned_zip(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the description in a .keras file, and the file rewritten from the checked parts."""
    with open_archive(path) as archive:
        if "config.json" not in archive.entries:
            raise ModelRefused(f"{path}: is not a Keras model; save it again with model.save.")
        config = _parsed(path, archive.read("config.json", LARGEST_CONFIG))
        clean = {"config.json": json.dumps(config).encode()}
        for name in archive.entries:
            if not KEPT.fullmatch(name):
                continue
            clean[name] = archive.read(name)
            if name.endswith(".h5"):
                require_plain_hdf5(clean[name], path)
    return config, write_archive(clean)


def _cleaned_hdf5(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the description in a .h5 file, and its bytes, after a check."""
    keras()  # h5py comes with it
    import h5py

    data = read_regular(path, LARGEST_FILE)
    require_plain_hdf5(data, path)
    with h5py.File(io.BytesIO(data), "r") as file:
        config = file.attrs.get("model_config")
    if config is None:
        raise ModelRefused(
            f"{path}: holds weights alone, without the model; save the whole of it with model.save."
        )
    return _parsed(path, config), data


def _parsed(path: Path, text: str | bytes) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{path}: its description is damaged ({reason(error)[:-1]}).") from None
    if not isinstance(config, dict):
        raise ModelRefused(f"{path}: its description is not one of a model.")
    return config


def _require_harmless(path: Path, config: Any, registered: dict[str, Any]) -> None:
    for part in nested_tables(config):
        if "class_name" not in part:
            continue
        name = str(part["class_name"])
        if what := RUNS_CODE.get(name.rpartition(">")[2].rpartition(".")[2]):
            raise ModelRefused(
                f"{path}: holds {what}; build the model again without it and load the weights."
            )
        module = part.get("module", "keras")
        if OUTSIDE.match(str(module)) or (name == "function" and str(module) == "keras"):
            raise ModelRefused(
                f"{path}: names {str(part.get('config', name))[:80]!r} of {module}, which is no "
                "part of a network; build the model again without it and load the weights."
            )
        settings = part.get("config")
        if isinstance(settings, dict) and any(isinstance(settings.get(k), str) for k in FILES):
            raise ModelRefused(
                f"{path}: its layer {name} would read a file of this machine; build the model "
                "again with the words themselves in it."
            )
        foreign = module != "builtins" and str(module).partition(".")[0] not in PACKAGES
        if foreign and str(part.get("registered_name")) not in registered:
            raise ModelRefused(
                f"{path}: needs {name} of {module or 'the code that made it'}, which is not in the "
                "file; register it (keras.saving.register_keras_serializable), or export the model."
            )


def _older(library: Any) -> dict[str, Any]:
    """Convert settings of Keras 2 in .h5 files that Keras 3 does not accept."""

    class DepthwiseConv2D(library.layers.DepthwiseConv2D):  # type: ignore[misc]
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            if config.get("groups") == 1:
                config = {key: value for key, value in config.items() if key != "groups"}
            return super().from_config(config)

    return {"DepthwiseConv2D": DepthwiseConv2D}
