"""Load a file or an object as a `Model`."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from leap_audit.artifacts import Task
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import EngineFallback, ExportFailed, ModelRefused
from leap_audit.ingest.sandbox.parent import run_in_child
from leap_audit.ingest.sandbox.trust import trust_models
from leap_audit.run.providers import Provider, choose_provider

if TYPE_CHECKING:
    from leap_audit.ingest.detectors.registry import DeclaredDetector
    from leap_audit.ingest.inputs.selection import Inputs
    from leap_audit.ingest.model import Model
    from leap_audit.ingest.outputs.directions import Directions
    from leap_audit.ingest.source import Picture, Source

__all__ = ["autograd_model", "load", "read_source"]

Region = tuple[float, float, float, float]


def load(
    source: object,
    declared: DeclaredPreprocessing | None = None,
    provider: Provider | None = None,
    *,
    task: Task | None = None,
    names: int | None = None,
    region: Region | None = None,
    output: str | None = None,
    inputs: "Inputs | None" = None,
    directions: "Directions | None" = None,
    detector: "DeclaredDetector | None" = None,
    trust_model: bool = False,
) -> "Model":
    """Load a network as a `Model`, ready to be audited.

    source: the path of an ONNX file, a torch.export program (.pt2), TorchScript, a .keras or .h5
    file, a SavedModel folder or a TensorFlow Lite file; or an object: an onnx.ModelProto, a
    torch.nn.Module, a Keras model, a tf.function. declared: what is known of its input; where the
    source leaves open what pictures it takes, `input_size`. provider: what will run it; None: the
    best. task: what it answers, None: inferred. names: how many classes were named, which can
    settle what the graph leaves open. region: (top, left, bottom, right), the part of a map of
    answers to audit, as fractions. output: the name of the output, or tensor inside the graph,
    that holds the scores; None: chosen, and the reason said; NAME:first or NAME:mean, of the
    vectors of tokens. inputs: which input takes the picture and what values the others get, where
    there are several. directions: those that make a
    classifier of an encoder. detector: the format of a detector's outputs, and from when on its
    detections count.

    trust_model: open a format that is a program (all but ONNX and most of TensorFlow Lite) also
    where the system offers no sandbox for that; it can then do whatever the user can.

    A file is opened in a child process, within limits (sandbox/parent.py). A torch.nn.Module that
    cannot be exported is run and differentiated by PyTorch; EngineFallback is warned.

    Raises ModelRefused, PreprocessingRefused, CanonicalMismatch or RuntimeMissing, with a
    sentence saying why it cannot be audited.
    """
    declared = declared or DeclaredPreprocessing()
    chosen = provider or choose_provider()
    features = None if directions is None else directions.vectors.shape[1]
    if isinstance(source, str | Path):
        with trust_models(trust_model):
            model = run_in_child(
                load_file,
                Path(source),
                declared,
                task,
                names,
                region,
                output,
                inputs,
                features,
                detector,
            )
        return _classified(replace(model, provider=chosen), directions, task)
    from leap_audit.ingest.model import make_model
    from leap_audit.ingest.source import open_object

    try:
        opened = open_object(source, picture_of(declared, inputs))
    except ExportFailed as error:
        if (inputs is not None and inputs.specified) or directions is not None:
            raise  # PyTorch itself is asked about pictures alone
        return autograd_model(source, str(error), declared, task=task, region=region, output=output)
    model = make_model(
        opened,
        declared,
        chosen,
        task=task,
        names=names,
        region=region,
        output=output,
        inputs=inputs,
        features=features,
        detector=detector,
    )
    return _classified(model, directions, task)


def _classified(model: "Model", directions: "Directions | None", task: Task | None) -> "Model":
    if directions is None:
        return model
    from leap_audit.ingest.zero_shot import zero_shot

    return zero_shot(model, directions, task)


def autograd_model(
    module: object,
    why: str,
    declared: DeclaredPreprocessing | None = None,
    *,
    task: Task | None = None,
    region: Region | None = None,
    output: str | None = None,
) -> "Model":
    """Return a torch.nn.Module as a network that PyTorch runs and differentiates.

    why: what stood in the way of its graph; that is warned of, and stands in the report.
    Warns EngineFallback. Raises ModelRefused as `load` does, and where an output is named.
    """
    from leap_audit.ingest.opaque import make_module_model

    if output is not None:
        raise ModelRefused(
            f"--output {output} names an output of a graph, and the module has none ({why}); give "
            "a module that returns its scores alone."
        )
    declared = declared or DeclaredPreprocessing()
    model = make_module_model(module, why, declared, picture_of(declared), task=task, region=region)
    warnings.warn(f"PyTorch autograd: {why}", EngineFallback, stacklevel=3)
    return model


def read_source(
    source: object,
    declared: DeclaredPreprocessing | None = None,
    inputs: "Inputs | None" = None,
) -> "Source":
    """Return a network as ONNX, as `load` opens it, before it is analysed."""
    declared = declared or DeclaredPreprocessing()
    if isinstance(source, str | Path):
        return run_in_child(read_file, Path(source), declared, inputs)
    from leap_audit.ingest.source import open_object

    return open_object(source, picture_of(declared, inputs))


def load_file(
    path: Path,
    declared: DeclaredPreprocessing,
    task: Task | None,
    names: int | None,
    region: Region | None,
    output: str | None = None,
    inputs: "Inputs | None" = None,
    features: int | None = None,
    detector: "DeclaredDetector | None" = None,
) -> "Model":
    """What the child does for `load`, on the processor: a driver would not live in its limits."""
    from leap_audit.ingest.model import make_model

    opened = read_file(path, declared, inputs)
    return make_model(
        opened,
        declared,
        choose_provider("cpu"),
        task=task,
        names=names,
        region=region,
        output=output,
        inputs=inputs,
        features=features,
        detector=detector,
    )


def read_file(
    path: Path, declared: DeclaredPreprocessing, inputs: "Inputs | None" = None
) -> "Source":
    """Read a source in the child process."""
    from leap_audit.ingest.source import open_file

    return open_file(path, picture_of(declared, inputs))


def picture_of(declared: DeclaredPreprocessing, inputs: "Inputs | None" = None) -> "Picture":
    """Return the declared shape of one picture, and the values of the other inputs."""
    from leap_audit.ingest.inputs.selection import Inputs
    from leap_audit.ingest.source import Picture

    channels = max(len(declared.mean or ()), len(declared.std or ()))
    if declared.channel_order != "BANDS":
        channels = 1 if declared.channel_order == "GRAY" else 3
    return Picture(declared.input_size, channels, inputs or Inputs())
