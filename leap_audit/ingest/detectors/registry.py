"""The registry of formats of detectors' outputs: how each is recognised, and how it is decoded.

    @detector("yolo8", about="YOLOv8, v9, 11 and 12", resize="letterbox")
    def yolo8(outputs: Outputs) -> Signature | None:
        \"\"\"Return what the outputs are in this format; None where they are not.\"\"\"

A `Signature` names the outputs that are read and says in words what they are; its `write` appends
to the graph what makes scores and boxes of them. docs/detectors.md is about each format.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import onnx_ir as ir

from leap_audit.artifacts import ChannelOrder, Resize
from leap_audit.errors import ModelRefused
from leap_audit.graph.emit import Emitter
from leap_audit.graph.operators import FLOATS
from leap_audit.graph.shapes import static_shape
from leap_audit.text.names import did_you_mean

__all__ = [
    "Counting",
    "DeclaredDetector",
    "DetectorFormat",
    "Outputs",
    "RawDetections",
    "Signature",
    "detector",
    "load_detectors",
    "recognised",
]


@dataclass(frozen=True)
class DeclaredDetector:
    """What the user says of a detector."""

    format: str | None = None
    """The name of a format; None: recognised."""
    threshold: float | None = None
    """The least confidence of a detection that counts; None: as is usual for the format."""
    overlap: float | None = None
    """The share of their union from which on two boxes of a class are one; None: as usual."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of a canonical graph of one picture, as the formats look at them."""

    graph: ir.Graph
    size: tuple[int, int]
    """(height, width) of the picture that the model sees, in pixels."""
    names: int | None = None
    """How many classes were named; None: none were."""
    declared: bool = False
    """Whether the user named the format."""

    @property
    def floats(self) -> list[ir.Value]:
        """Return the outputs of floating-point numbers."""
        return [value for value in self.graph.outputs if value.dtype in FLOATS]

    def shaped(self, *shape: int | None) -> list[ir.Value]:
        """Return the outputs of this shape after the axis of the pictures; None: any size."""
        return [
            value
            for value in self.floats
            if value.shape is not None
            and len(value.shape) == len(shape) + 1
            and all(
                wanted in (None, side)
                for wanted, side in zip(shape, static_shape(value)[1:], strict=True)
            )
        ]

    def cells(self, *strides: int) -> int:
        """Return how many cells maps of these strides have together."""
        return sum(-(-self.size[0] // s) * -(-self.size[1] // s) for s in strides)


@dataclass(frozen=True)
class RawDetections:
    """What a format makes of a model's outputs, in the graph."""

    scores: ir.Value
    """(n, classes, rows): the log-odds of each class's confidence, float32."""
    boxes: ir.Value
    """(n, 4, rows): left, top, right and bottom as fractions of the model's picture, float32."""


Write = Callable[[Emitter, Sequence[ir.Value], tuple[int, int]], RawDetections]
"""Append to the graph what decodes the outputs, for any batch; the last: (height, width)."""


@dataclass(frozen=True)
class Signature:
    """What the outputs of a model are in a format."""

    outputs: tuple[str, ...]
    """Names of those that are read."""
    classes: int
    rows: int
    words: str
    """What they are, such as "1 × 84 × 8400: centre, size and 80 classes in each of 8400 rows"."""
    write: Write
    pixels: bool = False
    """Whether the boxes are computed in the graph, in pixels as the format has them. Some exporters
    divide by the size of the picture, so the unit is measured."""


@dataclass(frozen=True)
class Counting:
    """Which detections the users of a format count, unless they say otherwise."""

    threshold: float
    """Confidence from which on."""
    overlap: float
    """Share of their union from which on two boxes of a class are one object."""
    source: str
    """Whose values these are, as in "as in FastestDet's test.py"."""


COUNTING = Counting(0.25, 0.45, "as in YOLOv5's detect.py")

Fits = Callable[[Outputs], Signature | None]


@dataclass(frozen=True)
class DetectorFormat:
    """A format of a detector's outputs."""

    name: str
    about: str
    """Which detectors have it."""
    fits: Fits
    several: bool = True
    """Whether several rows may name one object, so that overlapping boxes are sorted out."""
    resize: Resize = "stretch"
    """How its detectors are usually shown photographs."""
    channel_order: ChannelOrder = "RGB"
    plain: bool = True
    """Whether its detectors usually take 0..1 or 0..255 with no mean subtracted."""
    range: tuple[float, float] | None = None
    """What black and white usually are in the input; None: as for other models."""
    counting: Counting = COUNTING
    """Which detections usually count."""


DETECTORS: dict[str, DetectorFormat] = {}


def detector(
    name: str,
    *,
    about: str,
    several: bool = True,
    resize: Resize = "stretch",
    channel_order: ChannelOrder = "RGB",
    plain: bool = True,
    range: tuple[float, float] | None = None,
    counting: Counting = COUNTING,
) -> Callable[[Fits], Fits]:
    """Return a decorator that enters a function of the outputs as the format `name`.

    What the arguments mean: `DetectorFormat`. Raises ValueError: the name is taken.
    """

    def enter(fits: Fits) -> Fits:
        if name in DETECTORS:
            raise ValueError(f"two formats of detectors are called {name!r}")
        DETECTORS[name] = DetectorFormat(
            name, about, fits, several, resize, channel_order, plain, range, counting
        )
        return fits

    return enter


@cache
def load_detectors() -> Mapping[str, DetectorFormat]:
    """Return the registry, after importing every module beside this one, by name."""
    package = importlib.import_module("leap_audit.ingest.detectors")
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
    return dict(sorted(DETECTORS.items()))


def recognised(
    outputs: Outputs, declared: DeclaredDetector
) -> tuple[DetectorFormat, Signature] | None:
    """Return the format that the outputs have, and what they are in it; None: no known one.

    Raises ModelRefused: there is no format of the declared name, or it does not fit, or several
    fit and none is declared.
    """
    formats = load_detectors()
    if declared.format is not None:
        if declared.format not in formats:
            hint = did_you_mean(declared.format, list(formats))
            raise ModelRefused(
                f"--detector {declared.format}: there is no such format{hint} There are "
                f"{', '.join(formats)}."
            )
        found = formats[declared.format].fits(replace(outputs, declared=True))
        if found is None:
            raise ModelRefused(
                f"--detector {declared.format} does not fit: its outputs are "
                f"{formats[declared.format].about}, and this model has {described(outputs)}."
            )
        return formats[declared.format], found
    fitting = [(each, found) for each in formats.values() if (found := each.fits(outputs))]
    if len(fitting) > 1:
        names = ", ".join(each.name for each, _ in fitting)
        raise ModelRefused(
            f"the outputs, {described(outputs)}, fit {len(fitting)} formats of detectors; choose "
            f"one with --detector: {names}."
        )
    return fitting[0] if fitting else None


def described(outputs: Outputs) -> str:
    """Return the outputs in words."""
    return ", ".join(
        f"{value.name!r} ({' × '.join(map(str, value.shape or ()))})"
        for value in outputs.graph.outputs
    )
