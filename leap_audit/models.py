"""Models by name, each with its preprocessing and the names of its classes."""

import difflib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ClassesRefused, ModelRefused, RuntimeMissing
from leap_audit.ingest import load
from leap_audit.ingest.classes.names import match_classes
from leap_audit.ingest.classes.sandboxed import read_classes_in_child, read_metadata_names_in_child
from leap_audit.ingest.pictures.callables import steps
from leap_audit.run.fallback import pytorch
from leap_audit.run.providers import choose_provider

__all__ = ["get_model"]

Step = Callable[[Any], Any]
Loaded = tuple[list[Step], Any, list[str]]

OWN_FILES = (".classes.txt", ".classes.json", ".labels.txt", ".labels.json")
"""Ends that take the place of .onnx in the name of a list of the model's classes."""
COMMON_FILES = ("classes.txt", "classes.json", "labels.txt", "labels.json")
"""Lists of the folder's classes: the model's where they have as many names as it has outputs."""
TO_TENSOR = frozenset({"MaybePILToTensor", "MaybeToTensor", "PILToTensor", "ToTensor"})
"""Steps that timm's transforms take with files, not with tensors."""

log = logging.getLogger(__name__)


def get_model(name: str) -> Loaded:
    """Return (preprocessing, model, class_list) of a model.

    name: 'torchvision.NAME' or 'timm.NAME' for a torch.nn.Module with its published weights,
    'onnx:PATH' for the path of an ONNX file.

    preprocessing is a list of functions on batches (n, channels, height, width) in 0..1. The
    first brings pictures of any size to the model's, as the model was evaluated; the others are
    what is done with those, and all together give the model's input. For an ONNX file they are
    what leap-audit infers of it, and work on NumPy arrays too. class_list has one name per
    output: of an ONNX file from a list beside it or from its metadata, else numbers, which is
    logged.

    Raises RuntimeMissing: the package is not installed. ModelRefused: there is no such model, or
    its weights cannot be had. For an ONNX file whatever `load` raises, and ClassesRefused where
    the model's own list of classes does not fit it.
    """
    if name.startswith("onnx:"):
        return _from_file(Path(name.removeprefix("onnx:")))
    package, _, model = name.partition(".")
    if model and package == "torchvision":
        return _from_torchvision(model)
    if model and package == "timm":
        return _from_timm(model)
    raise ModelRefused(
        f"{name!r} names no model; say 'torchvision.NAME', 'timm.NAME' or 'onnx:PATH'."
    )


def _from_torchvision(name: str) -> Loaded:
    torch = pytorch()
    try:
        from torchvision import models, transforms
    except (ImportError, RuntimeError) as error:  # its operators may not fit this PyTorch
        raise _missing("torchvision", error) from None
    if name not in (known := models.list_models()):
        raise ModelRefused(_unknown("torchvision", name, known))
    weights = models.get_model_weights(name).DEFAULT
    preset, classes = weights.transforms(), weights.meta.get("categories")
    if classes is None or not hasattr(preset, "crop_size") or not hasattr(preset, "antialias"):
        raise ModelRefused(
            f"torchvision.{name} is not a classifier of pictures; leap-audit audits classifiers."
        )
    try:
        model = models.get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:  # no connection; a file cut off on its way
        raise ModelRefused(
            f"torchvision.{name}: its weights could not be downloaded ({_first_line(error)}); "
            f"put {weights.url} into {Path(torch.hub.get_dir()) / 'checkpoints'} by hand, or "
            "give a torch.nn.Module or an ONNX file of your own."
        ) from None
    fit = transforms.Compose(
        [
            transforms.Resize(
                preset.resize_size, interpolation=preset.interpolation, antialias=preset.antialias
            ),
            transforms.CenterCrop(preset.crop_size),
        ]
    )
    normalise = transforms.Normalize(preset.mean, preset.std)
    return [fit, normalise], model.eval(), list(match_classes(classes, len(classes))[0])


def _from_timm(name: str) -> Loaded:
    pytorch()
    try:
        import timm
        from timm.data import create_transform, resolve_data_config
        from torchvision import transforms
    except (ImportError, RuntimeError) as error:
        raise _missing("timm", error) from None
    if not timm.is_model(name):
        raise ModelRefused(_unknown("timm", name, timm.list_models()))
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub raises whatever its HTTP client raises
        raise ModelRefused(
            f"timm.{name}: its weights could not be downloaded ({_first_line(error)}); download "
            "them where there is a connection and copy the cache of the Hugging Face hub "
            "(HF_HOME) here, or give a torch.nn.Module or an ONNX file of your own."
        ) from None
    config = resolve_data_config(model=model)
    every = create_transform(**config, is_training=False).transforms
    taken = [step for step in every if type(step).__name__ not in TO_TENSOR]
    fit = [step for step in taken if not isinstance(step, transforms.Normalize)]
    after = [step for step in taken if isinstance(step, transforms.Normalize)]
    return [transforms.Compose(fit), *after], model.eval(), _timm_classes(name, model)


def _timm_classes(name: str, model: Any) -> list[str]:
    from timm.data import ImageNetInfo, infer_imagenet_subset

    names = model.pretrained_cfg.get("label_names")
    if names is None and (subset := infer_imagenet_subset(model)) is not None:
        info = ImageNetInfo(subset)
        names = [info.index_to_description(index) for index in range(model.num_classes)]
    return _named(f"timm.{name}", names, model.num_classes)


def _from_file(path: Path) -> Loaded:
    model = load(path, DeclaredPreprocessing(), choose_provider())
    names: Sequence[str] | None = _names_beside(path, model.classes)
    if (
        names is None
        and (inside := read_metadata_names_in_child(model.proto, model.classes)) is not None
    ):
        names = inside[0]
    return list(steps(model.preprocessing)), path, _named(str(path), names, model.classes)


def _named(model: str, names: Sequence[str] | None, outputs: int) -> list[str]:
    """One name per output, or its number, which is logged."""
    if names is None:
        log.warning("%s: no class names were found; the classes are called by numbers.", model)
    return list(match_classes(names, outputs)[0])


def _names_beside(path: Path, outputs: int) -> tuple[str, ...] | None:
    """The names in a list that says it is the model's, or in one that may be, if it fits."""
    for end in OWN_FILES:
        if (own := path.with_suffix(end)).is_file():
            names = read_classes_in_child(own)[0]
            try:
                return match_classes(names, outputs)[0]
            except ClassesRefused as error:
                raise ClassesRefused(f"{own}: {error}") from None
    for common in (path.with_suffix(".txt"), *(path.parent / file for file in COMMON_FILES)):
        if common.is_file():
            names = read_classes_in_child(common)[0]
            if len(names) == outputs:
                return names
            log.info("%s: has %d names for %d outputs; passed over.", common, len(names), outputs)
    return None


def _missing(package: str, error: Exception) -> RuntimeMissing:
    if isinstance(error, ModuleNotFoundError):
        return RuntimeMissing(f"{package} is not installed: pip install {package}.")
    return RuntimeMissing(
        f"{package} does not load beside this PyTorch ({_first_line(error)}); install the two "
        f"from the same place: pip install torch {package}."
    )


def _unknown(package: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.0)
    return f"{package} has no model {name!r}; did you mean '{package}.{near[0]}'?"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
