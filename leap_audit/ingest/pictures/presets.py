"""Read preprocessing from configurations of Hugging Face, timm, torchvision and Keras.

Each is brought to the fields of `DeclaredPreprocessing`, so that it reads like one of our own.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from leap_audit.errors import PreprocessingRefused, RuntimeMissing

__all__ = ["PRESETS", "foreign_preprocessing", "preset"]

Table = dict[str, Any]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which Hugging Face writes down."""
KERAS_MODES: dict[str, Table] = {
    "tf": {"range": (-1.0, 1.0), "mean": (0.0,), "std": (1.0,), "channel_order": "RGB"},
    "caffe": {
        "range": (0.0, 255.0),
        "mean": (103.939, 116.779, 123.68),
        "std": (1.0,),
        "channel_order": "BGR",
    },
    "torch": {
        "range": (0.0, 1.0),
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "channel_order": "RGB",
    },
    "raw": {"range": (0.0, 255.0), "mean": (0.0,), "std": (1.0,), "channel_order": "RGB"},
}
"""keras.applications.imagenet_utils.preprocess_input; raw: what scales its input itself."""
KERAS_NETWORKS = {
    "caffe": "resnet50 resnet101 resnet152 vgg16 vgg19",
    "tf": "inception_resnet_v2 inception_v3 mobilenet mobilenet_v2 nasnet resnet50v2 resnet101v2 "
    "resnet152v2 xception",
    "torch": "densenet121 densenet169 densenet201",
    "raw": "convnext efficientnet efficientnet_v2 mobilenet_v3 regnet",
}
"""Mode -> the networks of keras.applications that were trained so."""


def foreign_preprocessing(table: Mapping[str, Any]) -> tuple[Table, str] | None:
    """Read the preprocessing in another project's configuration, and name the project; else None.

    table: Hugging Face's preprocessor_config.json; timm's config.json or its pretrained_cfg.
    Raises PreprocessingRefused: it asks for what an audit cannot do to a picture.
    """
    if {"image_processor_type", "feature_extractor_type", "image_mean", "do_rescale"} & set(table):
        return _hugging_face(table), "Hugging Face's preprocessor configuration"
    inner = table.get("pretrained_cfg")
    config = inner if isinstance(inner, dict) else table
    if "crop_pct" in config or (isinstance(inner, dict) and "mean" in config):
        return _timm(config), "timm's configuration"
    return None


def preset(name: str) -> tuple[Table, str]:
    """Return what a name declares, and what it is: torchvision.NAME, timm.NAME or keras.NAME.

    torchvision.resnet50 or torchvision.ResNet50_Weights.IMAGENET1K_V1; timm.resnet50.a1_in1k;
    keras.tf, keras.caffe, keras.torch, keras.raw or a network of keras.applications.

    Raises PreprocessingRefused: no such name. RuntimeMissing: torchvision or timm is not there.
    """
    package, _, rest = name.partition(".")
    return PRESETS[package](rest)


def _hugging_face(table: Mapping[str, Any]) -> Table:
    scales = table.get("do_rescale", True)
    factor = float(table.get("rescale_factor", 1 / 255)) if scales else 1.0
    low, high = (-1.0, 255 * factor - 1) if table.get("rescale_offset") else (0.0, 255 * factor)
    normalises = table.get("do_normalize", "image_mean" in table)
    found: Table = {
        "range": (low, high),
        "mean": tuple(table.get("image_mean", (0.0,))) if normalises else (0.0,),
        "std": tuple(table.get("image_std", (1.0,))) if normalises else (1.0,),
        "channel_order": "BGR" if table.get("do_flip_channel_order") else "RGB",
    }
    if isinstance(table.get("resample"), int) and table["resample"] in RESAMPLE:
        found["interpolation"] = RESAMPLE[table["resample"]]
    size, crop = _sides(table.get("size")), _sides(table.get("crop_size"))
    if table.get("do_center_crop", False) and crop is not None:
        found |= {"resize": "crop", "input_size": crop}
        if size is not None:
            found["crop"] = _fraction(min(crop), min(size))
    elif size is not None and "crop_pct" in table and min(size) < 384:
        found |= {"resize": "crop", "crop": float(table["crop_pct"]), "input_size": size}
    elif size is not None:
        found |= {"resize": "stretch", "input_size": size}
    return found


def _timm(config: Mapping[str, Any]) -> Table:
    found: Table = {"range": (0.0, 1.0), "channel_order": "RGB"}
    for key, value in (("mean", config.get("mean")), ("std", config.get("std"))):
        if value is not None:
            found[key] = tuple(value)
    sides = config.get("input_size")
    if isinstance(sides, list | tuple) and len(sides) == 3:
        found["input_size"] = tuple(sides[1:])
        if sides[0] == 1:
            found["channel_order"] = "GRAY"
    if config.get("interpolation") in RESAMPLE.values():
        found["interpolation"] = config["interpolation"]
    if config.get("crop_mode", "center") == "squash":
        found["resize"] = "stretch"
    else:
        found |= {"resize": "crop", "crop": _fraction(float(config.get("crop_pct") or 0.875), 1.0)}
    return found


def _torchvision(name: str) -> tuple[Table, str]:
    models = _imported("torchvision", "torchvision.models")
    network, _, member = name.partition(".")
    try:
        if member or network.endswith("_Weights"):
            weights = models.get_weight(name if member else f"{network}.DEFAULT")
        else:
            weights = models.get_model_weights(network).DEFAULT
        step = weights.transforms()
    except (ValueError, AttributeError, KeyError):
        raise _unknown("torchvision", network, models.list_models()) from None
    if not hasattr(step, "crop_size"):
        raise PreprocessingRefused(
            f"torchvision.{name}: is no classifier; write its preprocessing into a file."
        )
    size = tuple(step.crop_size) * (3 - len(step.crop_size))
    return {
        "range": (0.0, 1.0),
        "mean": tuple(step.mean),
        "std": tuple(step.std),
        "channel_order": "RGB",
        "resize": "crop",
        "crop": _fraction(min(size), min(step.resize_size)),
        "interpolation": step.interpolation.value,
        "input_size": size,
    }, f"torchvision's {weights}"


def _of_timm(name: str) -> tuple[Table, str]:
    timm = _imported("timm", "timm.models")
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        raise _unknown("timm", name, timm.list_models()) from None
    return _timm(config.to_dict()), f"timm's {name}"


def _keras(name: str) -> tuple[Table, str]:
    networks = {n: mode for mode, names in KERAS_NETWORKS.items() for n in names.split()}
    mode = name if name in KERAS_MODES else networks.get(name.casefold())
    if mode is None:
        raise _unknown("keras", name, [*KERAS_MODES, *networks])
    return dict(KERAS_MODES[mode]), f"Keras's mode {mode!r}"


PRESETS: dict[str, Callable[[str], tuple[Table, str]]] = {
    "torchvision": _torchvision,
    "timm": _of_timm,
    "keras": _keras,
}
"""Whose preprocessing can be named, and who knows the name."""


def _sides(size: object) -> tuple[int, int] | None:
    """(height, width) of Hugging Face's size: a number, a pair, or a table."""
    if isinstance(size, Mapping):
        short = size.get("shortest_edge")
        height, width = size.get("height", short), size.get("width", short)
    elif isinstance(size, list | tuple) and len(size) == 2:
        height, width = size
    else:
        height = width = size
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    return None


def _fraction(part: float, whole: float) -> float:
    if not 0 < part <= whole:
        raise PreprocessingRefused(
            f"the preprocessing crops {part:g} of {whole:g}, which is not a part of it; say how "
            "with --resize and --input-size."
        )
    return round(part / whole, 6)


def _imported(package: str, module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise RuntimeMissing(f"{package} is not installed: pip install {package}.") from None
    except (ImportError, RuntimeError) as error:  # its operators may not fit this PyTorch
        raise RuntimeMissing(
            f"{package} does not load ({str(error).splitlines()[0][:200]}); install torch and "
            f"{package} from the same place."
        ) from None


def _unknown(package: str, name: str, known: list[str]) -> PreprocessingRefused:
    near = difflib.get_close_matches(name, known, 1, 0.0)
    return PreprocessingRefused(
        f"--preprocessing {package}.{name}: {package} has none of that name; did you mean "
        f"'{package}.{near[0]}'?"
    )
