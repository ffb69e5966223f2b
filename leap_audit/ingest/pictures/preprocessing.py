"""Resolve the preprocessing: what is declared, what the model shows, what is assumed."""

import math
from collections.abc import Sequence
from pathlib import Path

from leap_audit.artifacts import ChannelOrder, Layout, Preprocessing
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import PreprocessingRefused
from leap_audit.ingest.inputs.layout import require_declared, resolve_layout
from leap_audit.ingest.pictures.bands import IN_COLOUR
from leap_audit.ingest.pictures.presets import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PRESETS,
    foreign_preprocessing,
    preset,
)
from leap_audit.ingest.pictures.scaling import Scaling
from leap_audit.tables import read_table
from leap_audit.text.filenames import legible

__all__ = ["NO_RANGE", "read_preprocessing", "resolve", "shown_bands", "statement"]

CROP = 0.875
"""The part of the short side that a crop keeps unless it is declared: 224 of 256."""
MAX_SIDE = 8192
"""Pixels. A larger input is a slip of the keyboard."""
NO_RANGE = "no range was declared"
"""How the reason begins why a range was assumed of which the model shows nothing."""


def read_preprocessing(what: str | Path) -> DeclaredPreprocessing:
    """Return what a file or a name declares.

    A JSON or TOML file of our own, Hugging Face's preprocessor_config.json, timm's config.json;
    or a name: torchvision.NAME, timm.NAME, keras.NAME (see presets.py).

    Raises ConfigRefused as `read_table` does. PreprocessingRefused, RuntimeMissing: see `preset`.
    """
    path = Path(what)
    if path.exists() or str(what).partition(".")[0] not in PRESETS:
        table = read_table(path)
        found = foreign_preprocessing(table)
        if found is None:
            return DeclaredPreprocessing.parse(table, str(path))
        table, whose = found
        whose = f"{whose}, {legible(path.name)}"
    else:
        table, whose = preset(str(what))
    return DeclaredPreprocessing.parse({**table, "declared_by": whose}, str(what))


def resolve(
    declared: DeclaredPreprocessing,
    shape: Sequence[int | str | None],
    *,
    name: str = "",
    scaling: Scaling | None = None,
    pixels: tuple[float, float] | None = None,
) -> Preprocessing:
    """Return the whole preprocessing for an input of this shape; what is inferred is in `assumed`.

    `shape` has four entries, a name or None where the model leaves one free. name: of the input,
    for messages. scaling: what the graph itself does to its input. pixels: what black and white
    are in an input of whole numbers.

    Raises PreprocessingRefused: what was declared contradicts the model, does not make sense,
    or is not enough; then one sentence asks for everything that is missing.
    """
    sides = tuple(side if isinstance(side, int) and side > 0 else None for side in shape)
    if len(sides) != 4:
        raise PreprocessingRefused(
            f"The model's input has {len(sides)} dimensions; pictures need 4: a batch, "
            "a height, a width and channels."
        )
    named = tuple(side.lower() if isinstance(side, str) else "" for side in shape)
    require_declared(declared, sides, named, f"The input {name!r}" if name else "The model's input")
    assumed: dict[str, str] = {}
    layout = resolve_layout(declared, sides, named, assumed)
    channels = _channels(declared, layout, sides)
    order = _channel_order(declared, channels, scaling, assumed)
    size = _input_size(declared, layout, sides, assumed)
    low_high, mean, std = _scaling(declared, layout, order, scaling, pixels, assumed)
    resize = declared.resize
    if resize is None:
        resize = "crop"
        assumed["resize"] = "the usual way to test on photographs"
    return Preprocessing(
        layout=layout,
        channel_order=order,
        range=low_high,
        mean=_per_channel("--mean", mean, channels),
        std=_per_channel("--std", std, channels),
        resize=resize,
        input_size=size,
        crop=CROP if declared.crop is None else declared.crop,
        interpolation=declared.interpolation or "bilinear",
        declared_by=declared.declared_by,
        assumed=assumed,
    )


def statement(preprocessing: Preprocessing) -> tuple[str, ...]:
    """Return in plain lines what happens to a picture, marking what was assumed and why."""
    p = preprocessing
    height, width = p.input_size
    fit = "stretched straight to it"
    if p.resize == "crop":
        fit = "scaled to cover it, then cropped to the centre"
        if p.crop < 1:
            fit = f"scaled (the short side to size / {p.crop:g}), then cropped to the centre"
    elif p.resize == "letterbox":
        fit = "scaled to fit into it, in the middle of grey"
    if p.interpolation != "bilinear":
        fit += f", {p.interpolation}"
    colours = {"RGB": "red, green, blue", "BGR": "blue, green, red", "GRAY": "one grey channel"}
    colours["BANDS"] = f"{len(p.mean)} bands, as they are; {shown_bands(len(p.mean))}"
    last = "before height and width" if p.layout == "NCHW" else "after height and width"
    plain = not any(p.mean) and all(value == 1 for value in p.std)
    lines = (
        (f"Size: {width} × {height} pixels (width × height)", "input_size"),
        (f"Pictures of another size: {fit}", "resize"),
        (f"Channels: {colours[p.channel_order]}", "channel_order"),
        (f"Layout: {p.layout}, the channels {last}", "layout"),
        (f"Black becomes {p.range[0]:g}, white {p.range[1]:g}", "range"),
        (f"Then subtracted: {'nothing' if plain else _listed(p.mean)}", "mean"),
        (f"Then divided by: {'nothing' if plain else _listed(p.std)}", "std"),
    )
    source = (f"Declared by {p.declared_by}.",) if p.declared_by else ()
    return source + tuple(
        f"{line} (assumed: {p.assumed[field]})." if field in p.assumed else f"{line}."
        for line, field in lines
    )


def shown_bands(count: int) -> str:
    """Return in words which of `count` bands a picture shows in which colour."""
    red, green, blue = (min(band, count - 1) + 1 for band in IN_COLOUR)
    if count == 1:
        return "shown as grey"
    return f"band {red} is shown as red, {green} as green, {blue} as blue"


def _channels(
    declared: DeclaredPreprocessing, layout: Layout, sides: tuple[int | None, ...]
) -> int:
    found = sides[1 if layout == "NCHW" else 3]
    if found is not None:
        return found
    if declared.channel_order != "BANDS":
        return 1 if declared.channel_order == "GRAY" else 3
    return max(len(declared.mean or ()), len(declared.std or ()))


def _channel_order(
    declared: DeclaredPreprocessing,
    channels: int,
    scaling: Scaling | None,
    assumed: dict[str, str],
) -> ChannelOrder:
    order = declared.channel_order
    if order is None:
        if channels == 3 and scaling is not None and scaling.order is not None:
            assumed["channel_order"] = "the model subtracts the means of these colours itself"
            return scaling.order
        if channels in (1, 3):
            assumed["channel_order"] = "it has 1 channel" if channels == 1 else "the usual order"
            return "GRAY" if channels == 1 else "RGB"
        assumed["channel_order"] = f"it has {channels} channels"
        return "BANDS"
    if order != "BANDS" and channels != (1 if order == "GRAY" else 3):
        raise PreprocessingRefused(
            f"--channel-order {order} does not fit a model whose input has {channels} "
            f"channel{'s' if channels > 1 else ''}."
        )
    return order


def _input_size(
    declared: DeclaredPreprocessing,
    layout: Layout,
    sides: tuple[int | None, ...],
    assumed: dict[str, str],
) -> tuple[int, int]:
    height, width = sides[2:] if layout == "NCHW" else sides[1:3]
    if declared.input_size is None:
        assert height is not None
        assert width is not None  # require_known has asked for them
        assumed["input_size"] = "the model's input is fixed"
        return height, width
    wanted = declared.input_size
    if not all(1 <= side <= MAX_SIDE for side in wanted):
        raise PreprocessingRefused(
            f"--input-size {wanted[0]},{wanted[1]} is not between 1 and {MAX_SIDE} pixels."
        )
    for name, side, fixed in zip(("height", "width"), wanted, (height, width), strict=True):
        if fixed not in (None, side):
            raise PreprocessingRefused(
                f"--input-size {wanted[0]},{wanted[1]} contradicts the model, whose input has "
                f"a {name} of {fixed}."
            )
    return wanted


_Scaling = tuple[tuple[float, float], tuple[float, ...], tuple[float, ...]]


def _scaling(
    declared: DeclaredPreprocessing,
    layout: Layout,
    order: ChannelOrder,
    scaling: Scaling | None,
    pixels: tuple[float, float] | None,
    assumed: dict[str, str],
) -> _Scaling:
    """Return range, mean and std: declared, or the convention of the models that look like it."""
    read = scaling or Scaling(None)
    found = read.range if pixels is None else pixels
    if (declared.range, declared.mean, declared.std) == (None, None, None) and (
        layout == "NCHW" and order == "RGB" and found is None
    ):
        reason = "the common convention of PyTorch image models"
        reason += f"; {read.why}" if read.why else ""
        assumed.update(dict.fromkeys(("range", "mean", "std"), reason))
        return (0.0, 1.0), IMAGENET_MEAN, IMAGENET_STD
    low_high = declared.range
    if low_high is None:
        low_high, assumed["range"] = _range(declared, read, pixels)
    mean, std = declared.mean, declared.std
    if mean is None:
        mean, assumed["mean"] = (0.0,), "no mean was declared"
    if std is None:
        std, assumed["std"] = (1.0,), "no deviation was declared"
    if not all(map(math.isfinite, (*low_high, *mean, *std))):
        raise PreprocessingRefused("--range, --mean and --std need finite numbers.")
    if not low_high[0] < low_high[1]:
        raise PreprocessingRefused(
            f"--range {low_high[0]:g},{low_high[1]:g} is empty; give the value of black, then "
            "the larger value of white, such as 0,255."
        )
    if min(std, default=0) <= 0:
        raise PreprocessingRefused(f"--std {_listed(std)}: each number must be above 0.")
    return low_high, mean, std


def _range(
    declared: DeclaredPreprocessing, scaling: Scaling, pixels: tuple[float, float] | None
) -> tuple[tuple[float, float], str]:
    if pixels is not None:
        return pixels, "the input takes whole numbers"
    if scaling.range is not None:
        return scaling.range, scaling.why
    if max((*(declared.mean or ()), *(declared.std or ())), default=0) > 2:
        return (0.0, 255.0), "the mean and deviation declared are in units of 0 to 255"
    return (0.0, 1.0), f"{NO_RANGE}{f'; {scaling.why}' if scaling.why else ''}"


def _per_channel(flag: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise PreprocessingRefused(
            f"{flag} has {len(values)} numbers for {channels} "
            f"channel{'s' if channels > 1 else ''}; give 1 or {channels}."
        )
    return values * channels if len(values) == 1 else values


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
