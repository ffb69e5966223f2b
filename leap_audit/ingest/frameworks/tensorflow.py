"""Convert TensorFlow and Keras models, live and in files, to ONNX."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from leap_audit.artifacts import TensorInfo
from leap_audit.errors import ModelRefused
from leap_audit.ingest.frameworks.export_check import reason
from leap_audit.ingest.frameworks.keras import in_float32, keras_source, load_keras, picture_shape
from leap_audit.ingest.frameworks.saved_model import clean_saved_model
from leap_audit.ingest.frameworks.tf_allowlist import nodes_of, require_allowed
from leap_audit.ingest.frameworks.tf_conversion import (
    TracedFunction,
    convert_function,
    require_numbers,
    require_same,
    resolved_shape,
)
from leap_audit.ingest.frameworks.tf_runtime import quiet, tensorflow
from leap_audit.ingest.frameworks.tflite import export_tflite
from leap_audit.ingest.frameworks.torch import export_module
from leap_audit.ingest.inputs.conversion import (
    SelectedInputs,
    as_tensor_info,
    select_inputs,
    select_signature,
    takes_pictures,
)
from leap_audit.ingest.inputs.selection import Inputs
from leap_audit.ingest.sandbox.trust import require_walls
from leap_audit.run.fallback import pytorch

__all__ = ["KERAS_SUFFIXES", "export_keras", "export_tensorflow_file"]

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras", ".tflite")


def export_keras(
    model: Any,
    shape: Sequence[int] | None = None,
    functions: Sequence[Callable[[Any], Any]] = (),
    inputs: Inputs | None = None,
) -> onnx.ModelProto:
    """Return a live Keras or TensorFlow model, behind preprocessing functions, as ONNX.

    model: a Keras 3 model or layer (Sequential, functional, subclassed); or a tf.Module, a
    tf.function, a concrete function or a loaded SavedModel. shape: of one picture as the model
    takes it, mostly (height, width, channels), without the batch; needed where the model does
    not say it. functions: on batches of tensors, one after the other; then `shape` is what the
    first of them takes. inputs: of a model with several, which takes the picture and what the
    others hold; of one with several signatures, which is meant. The batch is free, the layout the
    model's. The graph's input is `picture`, its only output `logits`; several have the model's
    names. It is traced in inference mode whatever state it was left in, mixed precision in
    float32, and the graph is run against it.

    Through tf2onnx, as keras.Model.export(format="onnx") goes: that does not say that it is not
    training, has fewer operators (no exact GELU, no antialiased or cubic resizing, no constants
    of a Normalization layer), takes no model that was not called, and writes a file. A Keras
    model on the PyTorch backend is a torch.nn.Module and goes through `export_module`.

    Raises RuntimeMissing: TensorFlow or tf2onnx is not installed. ModelRefused: no such model,
    several inputs, a shape that is missing or does not fit, operators without ONNX, Keras on
    JAX, or a graph that gives other numbers.
    """
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(model, keras.Layer):
        return _of_keras(keras, model, shape, functions, inputs or Inputs())
    source = _tensorflow_source(model, None if functions else shape, inputs or Inputs())
    return _checked(_behind(source, functions, shape))


def export_tensorflow_file(
    path: Path, shape: Sequence[int] | None = None, inputs: Inputs | None = None
) -> onnx.ModelProto:
    """Return the model in a .keras, .h5 or .tflite file or a SavedModel folder, as ONNX.

    shape, inputs and result are as in `export_keras`. Files of Keras are read in its safe mode,
    after their description was looked through (`load_keras`). Of a SavedModel what it serves by
    default is taken, or the only signature that takes pictures; one with operators that read or
    write files or call Python is not loaded. A .tflite file keeps the batch it has, mostly 1.

    Raises RuntimeMissing, ModelRefused: as `export_keras`; no such file, or one that is damaged,
    of another kind, or refused for what it would do.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return _checked(_served(path, shape, inputs or Inputs()))
    if not path.exists():
        raise ModelRefused(f"{path}: there is no such file.")
    if suffix == ".tflite":
        return export_tflite(path, shape, inputs or Inputs())
    if suffix in KERAS_SUFFIXES:
        return export_keras(load_keras(path), shape, inputs=inputs)
    raise ModelRefused(
        f"{path}: is none of {', '.join(KERAS_SUFFIXES)} and no SavedModel folder; "
        "save the model as one."
    )


def _checked(source: TracedFunction) -> onnx.ModelProto:
    proto = convert_function(source)
    require_same(proto, source)
    return proto


def _behind(
    source: TracedFunction, functions: Sequence[Callable[[Any], Any]], shape: Sequence[int] | None
) -> TracedFunction:
    """The source behind functions that are traced with it."""
    if not functions:
        return source

    def call(x: Any) -> Any:
        for function in functions:
            x = function(x)
        return source.call(x)

    return replace(source, call=call, shape=tuple(shape or source.shape), dtype="float32")


def _of_keras(
    keras: Any,
    model: Any,
    shape: Sequence[int] | None,
    functions: Sequence[Callable[[Any], Any]],
    inputs: Inputs,
) -> onnx.ModelProto:
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "torch"):
        raise ModelRefused(
            f"the model {type(model).__name__} runs on Keras's {backend} backend, of which there "
            "is no ONNX; save it as .keras and load it with KERAS_BACKEND=tensorflow."
        )
    with in_float32(model):
        if backend == "torch":
            own = None if functions else shape
            size = picture_shape(model, f"the model {type(model).__name__}", own)
            return export_module(_inference(model), shape or size, functions)
        source = keras_source(model, None if functions else shape, inputs)
        return _checked(_behind(source, functions, shape))


def _inference(model: Any) -> Any:
    """A Keras model on the PyTorch backend as a module that always calls it for inference."""
    torch = pytorch()

    class Inference(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, picture: Any) -> Any:
            return self.model(picture, training=False)

    Inference.__name__ = type(model).__name__
    return Inference()


def _tensorflow_source(model: Any, shape: Sequence[int] | None, inputs: Inputs) -> TracedFunction:
    tf = tensorflow()
    label = f"the model {type(model).__name__}"
    if signatures := getattr(model, "signatures", None):
        function, name = _signature(tf, label, signatures, inputs)
        return _signature_source(tf, model, function, label, shape, inputs, name)
    if hasattr(model, "structured_input_signature"):
        return _signature_source(tf, model, model, label, shape, inputs)
    if not callable(model) or not (
        isinstance(model, tf.Module) or hasattr(model, "get_concrete_function")
    ):
        raise ModelRefused(
            f"the model is a {type(model).__name__}, not a Keras model, tf.Module or tf.function; "
            "give one of them."
        )
    function = model if hasattr(model, "get_concrete_function") else model.__call__
    specs = tf.nest.flatten(getattr(function, "input_signature", None) or ())
    if not specs:
        return TracedFunction(label, model, resolved_shape(label, None, shape))
    infos = [_info(spec, f"input_{i}") for i, spec in enumerate(specs)]
    chosen = select_inputs(infos, inputs, label)

    def call(x: Any) -> Any:
        found = chosen.around(tf, x)
        return model(*(found[info.name] for info in infos))

    return _specified(label, call, specs[infos.index(chosen.picture)], shape, chosen)


def _signature(tf: Any, label: str, signatures: Any, inputs: Inputs) -> tuple[Any, str]:
    """The function that is audited, and its name where there are others."""
    infos = {name: list(_infos(tf, signatures[name])) for name in signatures}
    takes = {name: takes_pictures(each) for name, each in infos.items()}
    found = select_signature(label, takes, inputs.signature)
    return signatures[found], found if len(takes) > 1 else ""


def _signature_source(
    tf: Any,
    owner: Any,
    function: Any,
    label: str,
    shape: Sequence[int] | None,
    inputs: Inputs,
    name: str = "",
) -> TracedFunction:
    """A concrete function, whose variables live as long as its owner."""
    infos = _infos(tf, function)
    named = function.structured_input_signature[1]
    chosen = select_inputs(list(infos), inputs, label)

    def call(x: Any) -> Any:
        assert owner is not None
        found = chosen.around(tf, x)
        return function(**found) if named else function(*(found[each.name] for each in infos))

    source = _specified(label, call, infos[chosen.picture], shape, chosen)
    return replace(source, signature=name)


def _infos(tf: Any, function: Any) -> dict[TensorInfo, Any]:
    """The inputs of a concrete function -> what TensorFlow says of each."""
    positional, named = function.structured_input_signature
    found = {_info(spec, key, key): spec for key, spec in named.items()}
    for i, spec in enumerate(tf.nest.flatten(positional)):
        if isinstance(spec, tf.TensorSpec):
            found[_info(spec, f"input_{i}")] = spec
    return found


def _info(spec: Any, otherwise: str, name: str = "") -> TensorInfo:
    shape = None if spec.shape.rank is None else tuple(spec.shape)
    return as_tensor_info(name or str(spec.name or otherwise), spec.dtype.name, shape)


def _specified(
    label: str, call: Any, spec: Any, shape: Sequence[int] | None, chosen: SelectedInputs
) -> TracedFunction:
    known = None if spec.shape.rank is None else tuple(spec.shape)[1:]
    source = TracedFunction(label, call, (), spec.dtype.name, chosen=chosen)
    require_numbers(source)
    return replace(source, shape=resolved_shape(label, known, shape))


def _served(path: Path, shape: Sequence[int] | None, inputs: Inputs) -> TracedFunction:
    """What the SavedModel in a folder serves."""
    require_walls(path, "a SavedModel")
    tf = tensorflow()
    with tempfile.TemporaryDirectory(prefix="leap-audit-") as scratch, quiet():
        clean = clean_saved_model(path, Path(scratch))
        try:
            model = tf.saved_model.load(str(clean))
        except Exception as error:  # TensorFlow raises what its readers raise
            raise ModelRefused(f"{path}: TensorFlow cannot load it: {reason(error)}") from error
    label = f"the SavedModel {path.name}"
    if not model.signatures:
        raise ModelRefused(f"{label} serves nothing; save it with a signature.")
    function, name = _signature(tf, label, model.signatures, inputs)
    require_allowed(path, (node.op for node in nodes_of(function.graph.as_graph_def())))
    return _signature_source(tf, model, function, label, shape, inputs, name)
