"""Convert the arguments of `generate`, a network and a batch of pictures, to a Model and arrays."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from leap_audit.artifacts import Preprocessing
from leap_audit.config import DeclaredPreprocessing
from leap_audit.engine.settings import Settings
from leap_audit.errors import ConfigRefused, ExportFailed, PictureRefused
from leap_audit.graph.protos import real_inputs, tensor_info
from leap_audit.ingest import load
from leap_audit.ingest.frameworks.torch import chained, export_module, put_before
from leap_audit.ingest.loading import autograd_model, read_source
from leap_audit.ingest.model import Model
from leap_audit.ingest.pictures.callables import Encode, Fit
from leap_audit.ingest.source import framework_of
from leap_audit.progress import Progress
from leap_audit.run.providers import Provider, choose_provider
from leap_audit.run.session import Array

__all__ = ["Mode", "network_of", "pictures_of", "provider_of"]

Mode = Literal["pt", "tf", "onnx"]
Function = Callable[[Any], Any]
PHOTOGRAPH = (3, 224, 224)
EXPORTED = "model.onnx"


def provider_of(device: object) -> Provider:
    """Return the execution provider a device's name stands for: None, 'cpu', 'cuda:0', 'mps'."""
    if device is None:
        return choose_provider()
    name = str(device).partition(":")[0].lower()
    return choose_provider({"gpu": "cuda", "mps": "coreml"}.get(name, name))


def network_of(
    model: object,
    preprocessing: Function | Sequence[Function] | None,
    settings: Settings,
    mode: Mode,
    provider: Provider,
    folder: Path,
    told: Progress,
    names: int | None = None,
) -> Model:
    """Return the Model of a network: a file, an ONNX ModelProto, a torch.nn.Module, a Keras model.

    preprocessing: functions that stand between pictures in 0..1 and the network; they are traced
    into its graph, unless they are leap-audit's own. A graph made here is kept as
    `folder`/model.onnx. names: how many classes were named.

    Raises ModelRefused, ConfigRefused and what `load`, `export_module` and `put_before` raise.
    """
    functions = _functions(preprocessing)
    shape = _shape(settings, mode)
    if isinstance(model, str | Path | onnx.ModelProto):
        own = next((f.preprocessing for f in functions if isinstance(f, Fit | Encode)), None)
        foreign = [f for f in functions if not isinstance(f, Fit | Encode)]
        if not foreign:
            return load(
                model, _declared(settings, mode, own), provider, names=names, output=settings.output
            )
        proto = read_source(model, _declared(settings, mode, own)).proto
        shape = shape or _input_shape(proto)
        made = put_before(proto, functions, shape)
    elif framework_of(model) == "torch":
        if shape is None:
            shape = PHOTOGRAPH if mode != "tf" else (*PHOTOGRAPH[1:], PHOTOGRAPH[0])
            told.note(f"input_dim was not given: the network is taken to see {list(shape)}.")
        try:
            made = export_module(model, shape, functions)
        except ExportFailed as error:
            whole = chained(model, functions) if functions else model
            declared = _as_it_is(shape, settings, mode)
            return autograd_model(whole, str(error), declared, output=settings.output)
    elif framework_of(model):
        from leap_audit.ingest.frameworks.tensorflow import export_keras

        made, mode = export_keras(model, shape, functions), "tf"
        shape = _input_shape(made)
    else:
        return load(
            model, _declared(settings, mode, None), provider, names=names, output=settings.output
        )
    if not functions:
        told.note(
            "No preprocessing was given: the network is shown pixels from 0 to 1 as they are."
        )
    declared = _as_it_is(shape, settings, mode)
    _save(made, folder)
    return load(made, declared, provider, names=names, output=settings.output)


def pictures_of(
    samples: Any, model: Model, preprocessing: object, mode: Mode, told: Progress
) -> tuple[Array, Model]:
    """Return the batch as (n, channels, height, width) in 0..1, and the model to see it with.

    samples: an array or tensor, one picture or a batch, channels first or last. Whole numbers and
    numbers up to 255 are levels. Where they reach beyond 0..1 otherwise, they are what the network
    takes, already prepared: the model returned takes them so.

    Raises PictureRefused: not a batch of such pictures, or with numbers that are none.
    """
    array = np.asarray(samples.detach().cpu() if hasattr(samples, "detach") else samples)
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or not len(array) or array.dtype.kind not in "fiu":
        raise PictureRefused(
            f"samples: shape {list(array.shape)} of {array.dtype} is not a batch of pictures; give "
            "[pictures, channels, height, width], or channels last with mode='tf'."
        )
    channels, height, width = model.picture_shape
    axis = _channel_axis(array.shape, channels, mode)
    pictures = np.moveaxis(array, axis, 1).astype(np.float32)
    if not np.isfinite(pictures).all():
        raise PictureRefused("samples: hold numbers that are NaN or infinite.")
    fit = next((f for f in _functions(preprocessing) if isinstance(f, Fit)), None)
    if fit is not None:
        pictures = np.asarray(fit(pictures), np.float32)
    if pictures.shape[2:] != (height, width):
        raise PictureRefused(
            f"samples: the pictures are {pictures.shape[2]} × {pictures.shape[3]} pixels, the "
            f"network sees {height} × {width}; resize them first."
        )
    low, high = float(pictures.min()), float(pictures.max())
    if array.dtype.kind in "iu" or (low >= 0 and high > 2):
        return np.clip(pictures / 255, 0, 1), model
    if low >= -1e-3 and high <= 1 + 1e-3:
        return np.clip(pictures, 0, 1), model
    told.note(f"The samples reach from {low:.3g} to {high:.3g}: shown as from black to white.")
    raw = {"range": (low, high), "mean": (0.0,) * channels, "std": (1.0,) * channels}
    as_given = model.preprocessing.model_copy(update=raw)
    return (pictures - low) / (high - low), replace(model, preprocessing=as_given)


def _functions(preprocessing: object) -> list[Function]:
    if preprocessing is None:
        return []
    several = preprocessing if isinstance(preprocessing, list | tuple) else [preprocessing]
    for each in several:
        if not callable(each):
            raise ConfigRefused(
                f"preprocessing: a {type(each).__name__} cannot be called; give a function on "
                "batches of tensors, or a list of them."
            )
    return list(several)


def _shape(settings: Settings, mode: Mode) -> tuple[int, int, int] | None:
    """The three numbers of input_dim, in the order of the network's input."""
    if settings.input_dim is None:
        return None
    if len(settings.input_dim) not in (3, 4) or min(settings.input_dim) < 1:
        raise ConfigRefused(
            f"config: input_dim is {list(settings.input_dim)}; give 3 numbers, such as "
            f"{[224, 224, 3] if mode == 'tf' else [3, 224, 224]}, or 4 with the batch in front."
        )
    first, second, third = settings.input_dim[-3:]
    return first, second, third


def _last(shape: tuple[int, int, int], settings: Settings, mode: Mode) -> bool:
    """Whether the channels of (three numbers) stand last."""
    if settings.channel_ix is not None:
        return settings.channel_ix in (3, -1)
    if mode == "onnx":
        return shape[2] in (1, 3) and shape[0] not in (1, 3)
    return mode == "tf"


def _declared(settings: Settings, mode: Mode, own: Preprocessing | None) -> DeclaredPreprocessing:
    """What is known of the input of an ONNX file; its own layout is inferred from it."""
    known: dict[str, Any] = {}
    if own is not None:
        known = own.model_dump(exclude={"assumed"})
    shape = _shape(settings, mode)
    if shape is not None:
        known["input_size"] = shape[:2] if _last(shape, settings, mode) else shape[1:]
    if settings.channel_ix is not None:
        known["layout"] = "NHWC" if settings.channel_ix in (3, -1) else "NCHW"
    return DeclaredPreprocessing.model_validate(known)


def _as_it_is(shape: tuple[int, int, int], settings: Settings, mode: Mode) -> DeclaredPreprocessing:
    """The input of a graph that does its own preprocessing."""
    last = _last(shape, settings, mode)
    channels, size = (shape[2], shape[:2]) if last else (shape[0], shape[1:])
    orders = {1: "GRAY", 3: "RGB"}
    return DeclaredPreprocessing.model_validate(
        {
            "layout": "NHWC" if last else "NCHW",
            "channel_order": orders.get(channels, "BANDS"),
            "range": (0.0, 1.0),
            "mean": (0.0,),
            "std": (1.0,),
            "input_size": size,
        }
    )


def _input_shape(proto: onnx.ModelProto) -> tuple[int, int, int]:
    sides = tensor_info(real_inputs(proto)[0]).shape[1:]
    if len(sides) != 3 or not all(isinstance(side, int) for side in sides):
        raise ConfigRefused(
            f"the network leaves its input's size open ({list(sides)}); say it in "
            "config['input_dim']."
        )
    first, second, third = (int(side) for side in sides)
    return first, second, third


def _channel_axis(shape: Sequence[int], channels: int, mode: Mode) -> int:
    wanted = {"pt": (1, 3), "tf": (3, 1), "onnx": (1, 3)}[mode]
    for axis in wanted:
        if shape[axis] == channels:
            return axis
    raise PictureRefused(
        f"samples: shape {list(shape)} has no axis of {channels} channels; give [pictures, "
        f"{channels}, height, width], or channels last."
    )


def _save(proto: onnx.ModelProto, folder: Path) -> None:
    large = proto.ByteSize() > 2_000_000_000
    path = folder / EXPORTED
    onnx.save(proto, path, save_as_external_data=large, location=f"{EXPORTED}.data")
